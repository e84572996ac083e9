//! The suite of all backends on llama.cpp, and what only llama.cpp is asked:
//! which GGUF files it refuses.

#[allow(clippy::duplicate_mod, reason = "the suite runs on each backend")]
#[path = "suite/all.rs"]
mod suite;

use elpis::backend::{BackendError, BackendKind, BundledModel};
use elpis::{Elpis, Error};
use suite::runtime::{say, settings, start};
use suite::turns::pasts_belong_to_weights;

const BACKEND: BackendKind = BackendKind::LlamaCpp;

#[tokio::test(flavor = "multi_thread")]
async fn models_that_cannot_be_loaded_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let whole = BundledModel::gguf().unwrap();
    let mut unknown = whole.to_vec();
    let key = b"general.architecture";
    let at = unknown.windows(key.len()).position(|w| w == key).unwrap() + key.len() + 12;
    assert_eq!(&unknown[at..at + 5], b"llama");
    unknown[at..at + 5].copy_from_slice(b"xyzzy");
    let start_with = async |path: String| {
        let mut settings = settings();
        settings.model.path = Some(path);
        Elpis::start(settings).await.unwrap_err()
    };
    let missing = start_with(folder.path().join("none.gguf").display().to_string()).await;
    assert!(matches!(missing, Error::Settings(_)), "{missing:?}");
    let text = start_with(write("text.gguf", b"not a model at all")).await;
    assert!(
        matches!(&text, Error::Backend(BackendError::NotAModel { .. })),
        "{text:?}"
    );
    let empty = start_with(write("empty.gguf", b"")).await;
    assert!(
        matches!(&empty, Error::Backend(BackendError::NotAModel { .. })),
        "{empty:?}"
    );
    let half = start_with(write("half.gguf", &whole[..whole.len() / 2])).await;
    assert!(
        matches!(&half, Error::Backend(BackendError::DamagedModel { .. })),
        "{half:?}"
    );
    let unknown = start_with(write("unknown.gguf", &unknown)).await;
    assert!(
        matches!(&unknown, Error::Backend(BackendError::InvalidModel { .. })),
        "{unknown:?}"
    );
    assert!(unknown.to_string().contains("xyzzy"), "{unknown}");
    let nothing = start_with(folder.path().display().to_string()).await;
    assert!(
        matches!(&nothing, Error::Backend(BackendError::NotAModel { .. })),
        "{nothing:?}"
    );
    // A whole file works.
    let mut good = settings();
    good.model.path = Some(write("whole.gguf", whole));
    let elpis = start(good).await;
    assert!(!say(&elpis, "a", 1).await.is_empty());
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pasts_of_a_file_with_other_weights_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut bytes = BundledModel::gguf().unwrap().to_vec();
    std::fs::write(&path, &bytes).unwrap();
    pasts_belong_to_weights(&path, || {
        // The lowest bit of some weights of the last tensor.
        let end = bytes.len() - 100;
        bytes[end - 200..end]
            .iter_mut()
            .step_by(2)
            .for_each(|byte| *byte ^= 1);
        std::fs::write(&path, &bytes).unwrap();
    })
    .await;
}
