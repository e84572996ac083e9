//! A Hub, or a mirror of it, that means harm.

mod cached;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use elpis::hub::{Hub, HubError, ModelFormat, NoProgress};

use super::{TOKEN, body, gguf, hub};
use elpis_testkit::hub_server::{Faults, HubServer, Repo};

/// How long a Hub may be silent.
const SILENCE: Duration = Duration::from_secs(1);

/// No attack may take longer.
const SOON: Duration = Duration::from_secs(20);

/// A place with a cache in it and a file outside of it that must stay as it is.
struct Place {
    folder: tempfile::TempDir,
    victim: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        fs::create_dir(folder.path().join("cache")).unwrap();
        Self { folder, victim }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Sees that nothing but the cache changed, and that everything in it lies where the cache has it.
    fn assert_unharmed(&self, attack: &str) {
        let names = entries(self.folder.path());
        assert_eq!(names, ["cache", "victim"], "{attack}");
        assert_eq!(fs::read(&self.victim).unwrap(), b"mine", "{attack}");
        for name in entries(&self.cache()) {
            assert_eq!(name, "models--org--name", "{attack}");
            for name in entries(&self.cache().join(name)) {
                assert!(
                    ["blobs", "refs", "snapshots"].contains(&name.as_str()),
                    "{attack}: {name}"
                );
            }
        }
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn repo() -> Repo {
    Repo::new()
        .large("m.gguf", &body(2_000))
        .small("config.json", b"{}")
        .small("model.safetensors", &body(100))
}

fn folder(hub: &Hub) -> Result<PathBuf, HubError> {
    hub.resolve_blocking(
        "org/name",
        None,
        ModelFormat::Transformers,
        Arc::new(NoProgress),
    )
}

/// Runs an attack on a file kept outside git, and on files kept in it.
fn attack(
    name: &str,
    place: &Place,
    faults: impl Fn(&mut Faults),
) -> [Result<PathBuf, HubError>; 2] {
    attack_within(SILENCE, name, place, faults)
}

/// The same with another limit of silence.
fn attack_within(
    silence: Duration,
    name: &str,
    place: &Place,
    faults: impl Fn(&mut Faults),
) -> [Result<PathBuf, HubError>; 2] {
    let server = HubServer::start(repo());
    server.faults(|known| faults(known));
    let hub = hub(&server, &place.cache()).silence(silence);
    let start = Instant::now();
    let outcomes = [gguf(&hub, None), folder(&hub)];
    assert!(start.elapsed() < SOON, "{name} took {:?}", start.elapsed());
    assert!(
        server.requests().len() < 3_000,
        "{name}: {} requests",
        server.requests().len()
    );
    place.assert_unharmed(name);
    outcomes
}

fn kinds(outcomes: &[Result<PathBuf, HubError>; 2]) -> [&str; 2] {
    outcomes.each_ref().map(|outcome| match outcome {
        Ok(_) => "ok",
        Err(error) => error.kind(),
    })
}

#[test]
fn names_in_a_listing_stay_inside() {
    let names = [
        "../../../evil.gguf",
        "/tmp/evil.gguf",
        "a/../../evil.gguf",
        "./evil.gguf",
        "a//evil.gguf",
        "..\\\\..\\\\evil.gguf",
        "C:\\\\evil.gguf",
        "C:evil.gguf",
        "evil\\u0000.gguf",
        "evil\\u001b[2J.gguf",
        "evil\\n.gguf",
        "\\u202efugg.gguf",
        "evil.gguf/",
        &format!("{}.gguf", "e".repeat(300)),
        &format!("{}evil.gguf", "a/".repeat(1000)),
    ];
    let place = Place::new();
    for name in names {
        let listing = format!(r#"[{{"type":"file","path":"{name}","size":3}}]"#);
        let outcomes = attack(name, &place, |faults| {
            faults.listing = Some(listing.clone());
        });
        assert_eq!(kinds(&outcomes), ["no-model", "no-model"], "{name}");
    }
}

#[test]
fn listings_that_are_none_or_never_end_are_refused() {
    let place = Place::new();
    let long = format!("[{}]", " ".repeat(17 << 20));
    let deep = "[".repeat(100_000);
    for listing in ["", "<html>", "null", "[1]", &long, &deep] {
        // A busy machine takes a while for the longest, but is never silent.
        let outcomes = attack_within(SOON / 2, "listing", &place, |faults| {
            faults.listing = Some(listing.to_owned());
        });
        assert_eq!(
            kinds(&outcomes),
            ["bad-answer", "bad-answer"],
            "{listing:.20}"
        );
    }
    let missing = r#"[{"type":"file","path":"m.gguf"}]"#;
    let hash = r#"[{"type":"file","path":"m.gguf","size":3,"lfs":{"oid":"../../../victim"}}]"#;
    for listing in [missing, hash] {
        let outcomes = attack("entry", &place, |faults| {
            faults.listing = Some(listing.to_owned());
        });
        assert_eq!(kinds(&outcomes), ["bad-answer", "bad-answer"], "{listing}");
    }
    let own = "/api/models/org/name/tree/main?again=1".to_owned();
    let outcomes = attack("pages", &place, |faults| {
        faults.next_page = Some(own.clone());
    });
    assert_eq!(kinds(&outcomes), ["bad-answer", "bad-answer"]);
    for next in ["file:///etc/passwd", "x", "//"] {
        let outcomes = attack(next, &place, |faults| {
            faults.next_page = Some(next.to_owned());
        });
        assert_eq!(kinds(&outcomes), ["bad-answer", "bad-answer"], "{next}");
    }
    assert_eq!(entries(&place.cache()), [""; 0]);
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let other = HubServer::start(repo());
    let page = format!("{}/api/models/org/name/tree/main", other.address());
    let file = format!("{}/cdn/m.gguf", other.address());
    let place = Place::new();
    let server = HubServer::start(repo());
    server.faults(|faults| {
        faults.next_page = Some(page);
        faults.location = Some(file);
    });
    gguf(&hub(&server, &place.cache()), None).unwrap();
    let (seen, strange) = (server.requests(), other.requests());
    assert!(
        strange
            .iter()
            .any(|request| request.path.starts_with("/api/"))
    );
    assert!(
        strange
            .iter()
            .any(|request| request.path.starts_with("/cdn/"))
    );
    assert!(
        strange
            .iter()
            .all(|request| request.authorization.is_none()),
        "{strange:?}"
    );
    let bearer = format!("Bearer {TOKEN}");
    assert!(
        seen.iter()
            .all(|request| request.authorization.as_ref() == Some(&bearer))
    );
}

#[test]
fn a_token_over_plain_http_is_told_of() {
    let plain = |hub: Hub| hub.plain_token_endpoint();
    let with = |endpoint: &str| Hub::new().endpoint(endpoint).token(TOKEN);
    assert_eq!(
        plain(with("http://mirror")).as_deref(),
        Some("http://mirror")
    );
    assert_eq!(plain(with("https://mirror")), None);
    assert_eq!(plain(Hub::new().endpoint("http://mirror").token("")), None);
    for bad in ["a b", "a\r\nX-Evil: 1", "é"] {
        let place = Place::new();
        let hub = Hub::new()
            .endpoint("http://127.0.0.1:9")
            .cache_dir(place.cache())
            .token(bad);
        let error = gguf(&hub, None).unwrap_err();
        assert_eq!(error.kind(), "bad-token");
        assert!(!format!("{error} {error:?}").contains("Evil"));
    }
}

#[test]
fn redirects_end() {
    let place = Place::new();
    let loops = "/org/name/resolve/main/m.gguf";
    let outcomes = attack("loop", &place, |faults| {
        faults.location = Some(loops.to_owned());
    });
    assert_eq!(kinds(&outcomes), ["bad-answer", "bad-answer"]);
    for location in ["file:///etc/passwd", "", "ftp://127.0.0.1/x", "http://"] {
        let outcomes = attack(location, &place, |faults| {
            faults.location = Some(location.to_owned());
        });
        assert_eq!(kinds(&outcomes), ["bad-answer", "bad-answer"], "{location}");
    }
}

#[test]
fn a_file_is_as_long_as_it_is_listed() {
    let place = Place::new();
    for no_length in [false, true] {
        let outcomes = attack("longer", &place, |faults| {
            faults.extra = 1;
            faults.no_length = no_length;
        });
        assert_eq!(kinds(&outcomes), ["oversize", "oversize"], "{no_length}");
        let blobs = place.cache().join("models--org--name/blobs");
        assert_eq!(entries(&blobs), [""; 0]);
    }
    // Shorter: what came is kept, for the next attempt to go on from.
    let listing = r#"[{"type":"file","path":"m.gguf","size":9000},{"type":"file","path":"config.json","size":3},
            {"type":"file","path":"model.safetensors","size":500}]"#
    .to_owned();
    let outcomes = attack("shorter", &place, |faults| {
        faults.listing = Some(listing.clone());
    });
    assert_eq!(kinds(&outcomes), ["incomplete", "incomplete"]);
}

#[test]
fn a_download_that_crawls_or_trickles_is_given_up() {
    let place = Place::new();
    let outcomes = attack("crawl", &place, |faults| {
        faults.dribble = Some(Duration::from_millis(50));
    });
    assert_eq!(kinds(&outcomes), ["unreachable", "unreachable"]);
    // A few bytes for each request are no progress.
    let [model, _] = attack("trickle", &place, |faults| {
        faults.cut_after = vec![1; 10_000];
    });
    assert!(
        matches!(model, Err(HubError::Incomplete { found: 3, .. })),
        "{model:?}"
    );
}

#[test]
fn compressed_content_is_refused() {
    let place = Place::new();
    for encoding in ["gzip", "br", "x"] {
        let [model, _] = attack(encoding, &place, |faults| faults.encoding = Some(encoding));
        assert_eq!(model.unwrap_err().kind(), "bad-answer", "{encoding}");
    }
}

#[test]
fn a_pointer_in_the_place_of_a_model_is_called_that() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 98362432\n";
    let server = HubServer::start(Repo::new().small("m.gguf", pointer));
    let place = Place::new();
    let error = gguf(&hub(&server, &place.cache()), None).unwrap_err();
    assert_eq!(error.kind(), "lfs-pointer");
    assert!(
        error.to_string().contains("m.gguf is a Git LFS pointer"),
        "{error}"
    );
}

#[tokio::test]
async fn a_download_that_nobody_waits_for_ends() {
    let server = HubServer::start(repo());
    server.faults(|faults| faults.stall_after = Some(10));
    let place = Place::new();
    let hub = hub(&server, &place.cache());
    let progress = Arc::new(NoProgress);
    let still = Arc::downgrade(&progress);
    let resolve = hub.resolve("org/name", None, ModelFormat::Gguf, progress);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), resolve)
            .await
            .is_err()
    );
    let start = Instant::now();
    while still.upgrade().is_some() {
        assert!(start.elapsed() < SOON, "the download goes on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
