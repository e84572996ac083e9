//! Fetching models, against a server on loopback that speaks the Hub's routes.

mod hostile;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use elpis::hub::{DownloadProgress, Hub, HubError, ModelFormat, NoProgress, locate};
use elpis::settings::ModelSource;
use elpis_testkit::hub_server::{COMMIT, HubServer, Repo};

const TOKEN: &str = "hf_test_token";

/// A body that differs at every offset, so that a badly resumed file cannot pass.
fn body(length: u32) -> Vec<u8> {
    (0..length)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect()
}

fn hub(server: &HubServer, cache: &Path) -> Hub {
    Hub::new()
        .endpoint(server.address())
        .cache_dir(cache)
        .token(TOKEN)
        .offline(false)
        .retries(2, Duration::from_millis(1))
}

fn gguf(hub: &Hub, file: Option<&str>) -> Result<PathBuf, HubError> {
    hub.resolve_blocking("org/name", file, ModelFormat::Gguf, Arc::new(NoProgress))
}

/// Writes down what it hears.
#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl DownloadProgress for Recorder {
    fn started(&self, file: &str, done: u64, total: u64) {
        self.0
            .lock()
            .unwrap()
            .push(format!("start {file} {done}/{total}"));
    }
    fn advanced(&self, file: &str, done: u64, total: u64) {
        self.0
            .lock()
            .unwrap()
            .push(format!("at {file} {done}/{total}"));
    }
    fn finished(&self, file: &str) {
        self.0.lock().unwrap().push(format!("end {file}"));
    }
}

#[test]
fn a_model_is_fetched_once_and_served_from_the_cache_without_the_server() {
    let content = body(50_000);
    let server = HubServer::start(
        Repo::new()
            .large("m-Q8_0.gguf", &content)
            .small("README.md", b"hi"),
    );
    let cache = tempfile::tempdir().unwrap();
    let recorder = Arc::new(Recorder::default());
    let hub = hub(&server, cache.path());
    let path = hub
        .resolve_blocking("org/name", None, ModelFormat::Gguf, recorder.clone())
        .unwrap();

    assert_eq!(fs::read(&path).unwrap(), content);
    let expected = format!("models--org--name/snapshots/{COMMIT}/m-Q8_0.gguf");
    assert_eq!(
        path.strip_prefix(cache.path()).unwrap(),
        Path::new(&expected)
    );
    let heard = recorder.0.lock().unwrap().clone();
    assert_eq!(heard.first().unwrap(), "start m-Q8_0.gguf 0/200000");
    assert!(heard.contains(&"at m-Q8_0.gguf 200000/200000".to_owned()));
    assert_eq!(heard.last().unwrap(), "end m-Q8_0.gguf");
    assert_eq!(server.bodies_sent("/cdn/m-Q8_0.gguf"), 1);
    // The token goes to the Hub, and not to the other host that a download is redirected to.
    for request in server.requests() {
        let to_hub = !request.path.starts_with("/cdn/");
        assert_eq!(request.authorization.is_some(), to_hub, "{request:?}");
    }

    assert_eq!(gguf(&hub, None).unwrap(), path);
    assert_eq!(server.bodies_sent("/cdn/m-Q8_0.gguf"), 1);

    server.stop();
    assert_eq!(gguf(&hub, None).unwrap(), path);
    assert_eq!(gguf(&hub, Some("m-Q8_0.gguf")).unwrap(), path);
    assert_eq!(gguf(&hub.clone().offline(true), None).unwrap(), path);
    assert_eq!(
        gguf(&hub, Some("other.gguf")).unwrap_err().kind(),
        "unreachable"
    );
    assert_eq!(
        gguf(&hub.offline(true), Some("other.gguf"))
            .unwrap_err()
            .kind(),
        "offline"
    );
}

#[test]
fn a_folder_comes_whole_and_from_one_commit() {
    let weights = body(2_000);
    let repo = Repo::new()
        .small("config.json", b"{}")
        .small("tokenizer.json", b"{\"a\":1}")
        .small("chat_template.jinja", b"{{ x }}")
        .small("pytorch_model.bin.index.json", b"{}")
        .large("model.safetensors", &weights);
    let server = HubServer::start(repo);
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&server, cache.path());
    let fetch = |hub: &Hub| {
        hub.resolve_blocking(
            "org/name",
            None,
            ModelFormat::Transformers,
            Arc::new(NoProgress),
        )
    };
    let folder = fetch(&hub).unwrap();
    assert!(folder.ends_with(format!("snapshots/{COMMIT}")));
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "chat_template.jinja",
            "config.json",
            "model.safetensors",
            "tokenizer.json"
        ]
    );
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), weights);
    server.stop();
    assert_eq!(fetch(&hub).unwrap(), folder);
}

#[test]
fn a_broken_download_goes_on_where_it_ended() {
    let content = body(50_000);
    let server = HubServer::start(Repo::new().large("m.gguf", &content));
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&server, cache.path());

    // One break is mended within the call.
    server.faults(|faults| faults.cut_after = vec![60_000]);
    let path = gguf(&hub, None).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content);
    assert_eq!(server.ranges("/cdn/m.gguf"), [None, Some(60_000)]);
}

#[test]
fn a_later_call_resumes_what_an_earlier_one_left() {
    let content = body(50_000);
    let server = HubServer::start(Repo::new().large("m.gguf", &content));
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&server, cache.path());

    server.faults(|faults| faults.cut_after = vec![70_000, 0, 0, 0, 0]);
    let error = gguf(&hub, None).unwrap_err();
    assert!(
        matches!(
            error,
            HubError::Incomplete {
                expected: 200_000,
                found: 70_000,
                ..
            }
        ),
        "{error}"
    );
    server.faults(|faults| faults.cut_after.clear());
    let recorder = Arc::new(Recorder::default());
    let path = hub
        .resolve_blocking("org/name", None, ModelFormat::Gguf, recorder.clone())
        .unwrap();
    assert_eq!(fs::read(&path).unwrap(), content);
    assert_eq!(recorder.0.lock().unwrap()[0], "start m.gguf 70000/200000");
    assert_eq!(server.ranges("/cdn/m.gguf").last(), Some(&Some(70_000)));
}

#[test]
fn a_server_without_ranges_sends_the_file_again() {
    let content = body(10_000);
    let server = HubServer::start(Repo::new().large("m.gguf", &content));
    let cache = tempfile::tempdir().unwrap();
    server.faults(|faults| {
        faults.cut_after = vec![15_000];
        faults.no_ranges = true;
    });
    let path = gguf(&hub(&server, cache.path()), None).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content);
}

#[test]
fn wrong_content_is_refused_and_not_kept() {
    let content = body(10_000);
    let server = HubServer::start(Repo::new().large("m.gguf", &content));
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&server, cache.path());
    server.faults(|faults| faults.corrupt = true);
    let error = gguf(&hub, None).unwrap_err();
    assert_eq!(error.kind(), "checksum", "{error}");
    let blobs = cache.path().join("models--org--name/blobs");
    assert_eq!(fs::read_dir(blobs).unwrap().count(), 0);
    server.faults(|faults| faults.corrupt = false);
    assert_eq!(fs::read(gguf(&hub, None).unwrap()).unwrap(), content);
}

#[test]
fn an_error_page_is_not_taken_for_a_file() {
    let server = HubServer::start(Repo::new().large("m.gguf", &body(10_000)));
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&server, cache.path());
    server.faults(|faults| faults.download_status = Some(500));
    let error = gguf(&hub, None).unwrap_err();
    assert!(["server", "incomplete"].contains(&error.kind()), "{error}");
    server.faults(|faults| faults.download_status = None);
    assert_eq!(
        fs::metadata(gguf(&hub, None).unwrap()).unwrap().len(),
        40_000
    );
}

#[test]
fn refusals_have_their_own_errors() {
    let table = [
        (401, "RepoNotFound", "repo-not-found"),
        (401, "GatedRepo", "refused"),
        (403, "GatedRepo", "refused"),
        (404, "RepoNotFound", "repo-not-found"),
        (429, "", "rate-limited"),
        (418, "", "server"),
    ];
    for (status, code, kind) in table {
        let server = HubServer::start(Repo::new().large("m.gguf", &body(10)));
        let cache = tempfile::tempdir().unwrap();
        server.faults(|faults| faults.listing_status = Some((status, code)));
        let error = gguf(&hub(&server, cache.path()), None).unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {code}: {error}");
        assert!(!format!("{error} {error:?}").contains(TOKEN));
    }
    // A repository may be listed by anyone and its files be gated.
    let server = HubServer::start(Repo::new().large("m.gguf", &body(10)));
    let cache = tempfile::tempdir().unwrap();
    server.faults(|faults| faults.resolve_status = Some((403, "GatedRepo")));
    let error = gguf(&hub(&server, cache.path()), None).unwrap_err();
    assert_eq!(error.kind(), "refused", "{error}");
}

#[test]
fn several_models_need_a_name_or_a_preferred_quantisation() {
    let repo = Repo::new()
        .large("a-Q2_K.gguf", &body(10))
        .large("a-IQ3_M.gguf", &body(20));
    let server = HubServer::start(repo);
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&server, cache.path());
    let error = gguf(&hub, None).unwrap_err();
    assert!(
        matches!(&error, HubError::Ambiguous { choices, .. } if choices.len() == 2),
        "{error}"
    );
    assert_eq!(
        fs::read(gguf(&hub, Some("a-IQ3_M.gguf")).unwrap()).unwrap(),
        body(20)
    );
    let error = gguf(&hub, Some("b.gguf")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "org/name has no file b.gguf; it has a-IQ3_M.gguf, a-Q2_K.gguf"
    );

    let repo = Repo::new()
        .large("a-Q2_K.gguf", &body(10))
        .large("a-Q5_K_M.gguf", &body(20));
    let server = HubServer::start(repo);
    let cache = tempfile::tempdir().unwrap();
    assert_eq!(
        fs::read(gguf(&self::hub(&server, cache.path()), None).unwrap()).unwrap(),
        body(20)
    );
}

#[test]
fn a_split_model_comes_with_all_its_parts() {
    let repo = Repo::new()
        .large("q/m-00001-of-00002.gguf", &body(10))
        .large("q/m-00002-of-00002.gguf", &body(20));
    let server = HubServer::start(repo);
    let cache = tempfile::tempdir().unwrap();
    let path = gguf(&hub(&server, cache.path()), None).unwrap();
    assert!(path.ends_with("q/m-00001-of-00002.gguf"));
    assert_eq!(
        fs::read(path.with_file_name("m-00002-of-00002.gguf")).unwrap(),
        body(20)
    );
}

#[test]
fn a_server_cannot_write_outside_the_cache() {
    let server = HubServer::start(Repo::new().large("../../../evil.gguf", &body(10)));
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&server, cache.path());
    assert_eq!(gguf(&hub, None).unwrap_err().kind(), "no-model");
    assert_eq!(
        gguf(&hub, Some("../../../evil.gguf")).unwrap_err().kind(),
        "file-not-found"
    );
}

#[tokio::test]
async fn it_works_within_a_runtime_and_for_two_at_once() {
    let content = body(100_000);
    let server = HubServer::start(Repo::new().large("m.gguf", &content));
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&server, cache.path());
    let resolve = || hub.resolve("org/name", None, ModelFormat::Gguf, Arc::new(NoProgress));
    let (one, two) = tokio::join!(resolve(), resolve());
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(server.bodies_sent("/cdn/m.gguf"), 1);
    // The blocking call is safe here too.
    assert_eq!(fs::read(gguf(&hub, None).unwrap()).unwrap(), content);
}

#[test]
fn a_file_that_changed_on_the_hub_is_fetched_anew() {
    let cache = tempfile::tempdir().unwrap();
    for content in [body(10_000), body(20_000)] {
        let server = HubServer::start(Repo::new().large("m.gguf", &content));
        let path = gguf(&hub(&server, cache.path()), None).unwrap();
        assert_eq!(fs::read(path).unwrap(), content);
        assert_eq!(server.bodies_sent("/cdn/m.gguf"), 1);
    }
}

#[test]
fn sources_on_disk_need_no_hub() {
    let nothing = || Arc::new(NoProgress);
    assert_eq!(
        locate(&ModelSource::Bundled, ModelFormat::Gguf, nothing()).unwrap(),
        None
    );
    let file = ModelSource::File("m.gguf".into());
    assert_eq!(
        locate(&file, ModelFormat::Gguf, nothing()).unwrap(),
        Some("m.gguf".into())
    );
}

#[test]
fn a_token_is_not_shown() {
    let shown = format!("{:?}", Hub::new().token(TOKEN));
    assert!(!shown.contains(TOKEN) && shown.contains("set"), "{shown}");
}
