//! A process that is killed loses nothing that it acknowledged.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use elpis::SessionId;
use elpis::settings::Durability;
use elpis::store::{SqliteStore, StateStore};

use super::{replayed, settings, start};

const CHILD: &str = "ELPIS_TEST_STORE";

/// How often the process is killed; each number of events that it may tell before comes up once.
const KILLS: u32 = 40;

const LONG_KILLS: u32 = 200;

pub(super) const SESSIONS: usize = 4;

/// The process that is killed: tells each event once it is acknowledged.
fn feel_for_ever(path: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let elpis = start(settings(path, Durability::Sync)).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..SESSIONS {
            let session = elpis.session(format!("s{number}")).unwrap();
            tasks.spawn(async move {
                loop {
                    let before = session.state().await.unwrap().events_applied;
                    session.feel("success").await.unwrap();
                    let mut out = std::io::stdout().lock();
                    // The parent may be gone; then so is this soon.
                    let _ = writeln!(out, "ack {number} {}", before + 1);
                    let _ = out.flush();
                }
            });
        }
        tasks.join_all().await;
    });
}

/// Kills a writing process again and again, at any moment; whatever it has
/// acknowledged must be in the file.
#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    if let Some(path) = std::env::var_os(CHILD) {
        return feel_for_ever(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moods.db");
    let mut acknowledged = [0_u64; SESSIONS];
    let kills = elpis_testkit::repeats(KILLS, LONG_KILLS);
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "store::crash::a_killed_process_loses_nothing_that_it_acknowledged",
            ])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut left = 1 + kill * 7 % 40;
        for line in lines.map_while(Result::ok) {
            let mut words = line.split(' ').skip_while(|word| !word.ends_with("ack"));
            let Some((session, count)) = words.nth(1).zip(words.next()) else {
                continue;
            };
            let session: usize = session.parse().unwrap();
            // A line may be cut where the process was killed.
            let Ok(count) = count.parse::<u64>() else {
                continue;
            };
            acknowledged[session] = acknowledged[session].max(count);
            left -= 1;
            if left == 0 {
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        let store = SqliteStore::open_to_read(&path).unwrap();
        for (session, &acknowledged) in acknowledged.iter().enumerate() {
            let kept = store.load(&SessionId::new(format!("s{session}")).unwrap());
            let kept = kept
                .unwrap()
                .map_or(0, |kept| kept.tracker.events_applied());
            assert!(kept >= acknowledged, "s{session}: {kept} of {acknowledged}");
        }
    }
    let store = Arc::new(SqliteStore::open_to_read(&path).unwrap());
    store.check_file().unwrap();
    for session in 0..SESSIONS {
        replayed(&store, &format!("s{session}"));
    }
    let all: u64 = acknowledged.iter().sum();
    assert!(all > u64::from(kills), "{all} events were acknowledged");
}
