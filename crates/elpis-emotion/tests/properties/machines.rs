//! The same journal gives the same bits on every machine.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;

use elpis_emotion::{
    DYNAMICS, EmotionConfig, EmotionEvent, EmotionTracker, JournalEntry, JournalRecord,
    KNOWN_EVENTS, SafetyLimits, replay_entry,
};

/// How many journals are replayed; 600 if `ELPIS_TEST_LONG` is set.
const JOURNALS: u64 = 100;
const LONG_JOURNALS: u64 = 600;
const ENTRIES: usize = 1000;

/// Tells a run of this test that it is the child.
const CHILD: &str = "ELPIS_TEST_WITHOUT_FMA";

/// glibc without the instructions that change the last bits of its functions.
const WITHOUT_FMA: &str = "glibc.cpu.hwcaps=-FMA,-AVX2,-FMA4,-AVX";

/// What all journals lead to under version 2 of the dynamics, on any machine. Other bits are
/// another version: keep this one beside it.
const EXPECTED: &str = "9fcd65f5ba3c6ae1";
const LONG_EXPECTED: &str = "94057cfd94efe6f9";

/// `SplitMix64`, which needs no arithmetic but that of integers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }
}

fn config(random: &mut Random, dynamics: u32) -> EmotionConfig {
    EmotionConfig::default()
        .dynamics(dynamics)
        .baseline_valence(random.between(-0.6, 0.6))
        .baseline_arousal(random.between(-0.6, 0.6))
        .decay_rate([0.0001, 0.01, 0.1, 1.0][random.below(4)])
        .decay_multiplier_frustrated(random.between(0.0, 2.0))
        .decay_multiplier_calm(random.between(0.0, 2.0))
        .spiral_damping(random.unit())
}

fn event(random: &mut Random) -> EmotionEvent {
    let event = if random.below(4) == 0 {
        let (valence, arousal) = (random.between(-1.0, 1.0), random.between(-1.0, 1.0));
        EmotionEvent::custom("own", valence, arousal).unwrap()
    } else {
        EmotionEvent::from(KNOWN_EVENTS[random.below(KNOWN_EVENTS.len())])
    };
    event.with_intensity(random.between(0.0, 2.2)).unwrap()
}

/// A journal of everything that can happen to a session.
fn journal(number: u64, dynamics: u32) -> Vec<JournalEntry> {
    let mut random = Random(number);
    let mut at = 1.7e9;
    let started = JournalRecord::Started(Arc::new(config(&mut random, dynamics)));
    let mut entries = vec![JournalEntry { at, what: started }];
    while entries.len() < ENTRIES {
        let longest = [0.5, 5.0, 60.0, 3000.0][random.below(4)];
        at += random.between(0.0, longest);
        let what = match random.below(100) {
            0 => JournalRecord::Reset,
            1 => JournalRecord::Configured(Arc::new(config(&mut random, dynamics))),
            2 => JournalRecord::Shifted(random.between(-1.0, 1.0)),
            3 => JournalRecord::Limits(SafetyLimits {
                valence: random.between(0.5, 1.0),
                arousal: random.between(0.5, 1.0),
                ..SafetyLimits::default()
            }),
            _ => JournalRecord::Felt(event(&mut random)),
        };
        entries.push(JournalEntry { at, what });
    }
    entries
}

/// The bits of everything that a journal leads to, at each of its entries and a moment after it.
fn bits(journal: &[JournalEntry]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut tracker: Option<EmotionTracker> = None;
    for entry in journal {
        replay_entry(&mut tracker, entry).unwrap();
        let tracker = tracker.as_ref().unwrap();
        let now = tracker.snapshot_at(entry.at + 0.7);
        let trajectory = now.trajectory;
        let mut note = |value: f64| {
            hasher.update(&value.to_bits().to_le_bytes());
        };
        for value in [now.valence, now.arousal, now.modulation.temperature] {
            note(value);
        }
        note(trajectory.valence_velocity);
        note(trajectory.arousal_velocity);
        hasher.update(trajectory.spiral.as_str().as_bytes());
    }
    hasher.finalize()
}

/// How many journals are replayed, and what they lead to.
fn extent() -> (u64, &'static str) {
    match std::env::var_os("ELPIS_TEST_LONG") {
        Some(_) => (LONG_JOURNALS, LONG_EXPECTED),
        None => (JOURNALS, EXPECTED),
    }
}

fn all(dynamics: u32) -> Vec<String> {
    let bits = |number| bits(&journal(number, dynamics)).to_hex().to_string();
    (0..extent().0).map(bits).collect()
}

fn digest(all: &[String]) -> String {
    blake3::hash(all.concat().as_bytes()).to_hex().to_string()
}

/// How many of many numbers the system's `exp` gives, in bits.
#[allow(clippy::disallowed_methods, reason = "what the dynamics must not use")]
fn system() -> String {
    let mut random = Random(7);
    let mut hasher = blake3::Hasher::new();
    for _ in 0..400_000 {
        let value = std::hint::black_box(random.between(-20.0, 0.0)).exp();
        hasher.update(&value.to_bits().to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

#[test]
fn a_journal_gives_the_same_bits_with_and_without_fused_multiply_add() {
    let (new, old) = (all(DYNAMICS), all(1));
    if std::env::var_os(CHILD).is_some() {
        let mut told = String::new();
        writeln!(told, "new {}", new.join(" ")).unwrap();
        writeln!(told, "old {}", old.join(" ")).unwrap();
        writeln!(told, "system {}", system()).unwrap();
        print!("\n{told}");
        return;
    }
    assert!(digest(&new).starts_with(extent().1), "{}", digest(&new));
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "machines::a_journal_gives_the_same_bits_with_and_without_fused_multiply_add",
        ])
        .arg("--nocapture")
        .env("GLIBC_TUNABLES", WITHOUT_FMA)
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    let told = String::from_utf8(child.stdout).unwrap();
    let of = |name: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(name));
        let words = line.unwrap_or_else(|| panic!("no {name} in {told}"));
        words
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let differing = |ours: &[String], theirs: &[String]| {
        assert_eq!(ours.len(), theirs.len());
        ours.iter().zip(theirs).filter(|(a, b)| a != b).count()
    };
    assert_eq!(
        differing(&new, &of("new ")),
        0,
        "journals under version {DYNAMICS}"
    );
    // The arithmetic of before shows that the child is another machine, where glibc has two forms.
    let other = of("system ") != [system()];
    let differ = differing(&old, &of("old "));
    println!("the system's exp differs: {other}; journals of version 1 that differ: {differ}");
    assert!(other || differ == 0, "{differ}");
}

#[test]
fn old_journals_replay_as_they_were_made() {
    // Written before dynamics were numbered: no version stands in it.
    let line = r#"{"at":0.0,"what":{"started":{"decay_rate":0.1,"mood_inertia_enabled":false}}}"#;
    let start: JournalEntry = serde_json::from_str(line).unwrap();
    let mut tracker = None;
    replay_entry(&mut tracker, &start).unwrap();
    let mut tracker = tracker.unwrap();
    assert_eq!(tracker.snapshot_at(0.0).dynamics, 1);
    assert!(!serde_json::to_string(&start).unwrap().contains("dynamics"));
    let mut random = Random(3);
    let mut at = 0.0;
    for _ in 0..2000 {
        at += random.between(0.0, 9.0);
        let before = tracker.state_at(tracker.last_at());
        let quiet = at - tracker.last_at();
        // In a quadrant with the baseline on its edge: one piece, in the system's arithmetic.
        let rate = 0.1 * tracker.config().decay_multiplier(before.quadrant());
        #[allow(
            clippy::disallowed_methods,
            reason = "what version 1 was computed with"
        )]
        let kept = (-rate * quiet).exp();
        let expected = 0.0 + (before.valence() - 0.0) * kept;
        assert_eq!(tracker.state_at(at).valence().to_bits(), expected.to_bits());
        tracker.apply(&event(&mut random), at).unwrap();
    }
    // With the settings of now it goes on under the dynamics of now, and says so.
    tracker
        .reconfigure(Arc::new(EmotionConfig::default()), at)
        .unwrap();
    assert_eq!(tracker.snapshot_at(at).dynamics, DYNAMICS);
    let text = serde_json::to_string(&tracker).unwrap();
    assert!(text.contains(r#""dynamics":2"#), "{text}");
    let again: EmotionTracker = serde_json::from_str(&text).unwrap();
    assert_eq!(again, tracker);
}

#[test]
fn dynamics_of_a_later_build_are_refused() {
    for version in [0, 3] {
        let line = format!(r#"{{"at":0.0,"what":{{"started":{{"dynamics":{version}}}}}}}"#);
        let start: JournalEntry = serde_json::from_str(&line).unwrap();
        let error = replay_entry(&mut None, &start).unwrap_err();
        assert_eq!(error.field(), "dynamics");
        assert!(error.to_string().contains("in 1..=2"), "{error}");
    }
}
