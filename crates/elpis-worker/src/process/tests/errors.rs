//! Errors keep their variant and every field.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use elpis_backend::{BackendError, BackendKind, GgufKind};

use super::through;
use crate::process::protocol::Reply;

fn errors() -> Vec<BackendError> {
    let path = PathBuf::from(std::ffi::OsString::from_vec(b"no \xff utf-8".to_vec()));
    let reason = || "because".to_owned();
    vec![
        BackendError::NotBuilt {
            backend: BackendKind::Transformers,
            built: "none".to_owned(),
        },
        BackendError::NoBundledModel,
        BackendError::Unreadable {
            path: path.clone(),
            reason: reason(),
        },
        BackendError::NotAModel {
            path: path.clone(),
            expected: "GGUF",
            found: "a folder".to_owned(),
        },
        BackendError::LfsPointer {
            path: path.clone(),
            size: Some(7),
        },
        BackendError::OtherKind {
            path: path.clone(),
            kind: GgufKind::Part {
                number: 2,
                count: 3,
            },
        },
        BackendError::DamagedModel {
            path: path.clone(),
            reason: reason(),
        },
        BackendError::InvalidModel {
            path: path.clone(),
            item: "llama.block_count".to_owned(),
            value: "0".to_owned(),
            limit: "from 1 to 512".to_owned(),
        },
        BackendError::TrialFailed {
            path: path.clone(),
            reason: reason(),
        },
        BackendError::Load {
            path: path.clone(),
            reason: reason(),
        },
        BackendError::Checkpoint {
            path: path.clone(),
            item: "layer".to_owned(),
            reason: reason(),
        },
        BackendError::Limit {
            field: "context_length",
            value: "1".to_owned(),
            limit: "2".to_owned(),
        },
        BackendError::CacheFull { rows: 7 },
        BackendError::PrefixEvicted {
            sequence: 2,
            length: 600,
            first: 400,
        },
        BackendError::Aborted,
        BackendError::ForeignControlToken {
            token: "<s>".to_owned(),
        },
        BackendError::NoLogits { row: 3 },
        BackendError::Native {
            call: "llama_decode",
            reason: reason(),
        },
        BackendError::Assertion {
            path: path.clone(),
            call: "llama_init_from_model",
            reason: reason(),
        },
        BackendError::Broken { reason: reason() },
        BackendError::WorkerUnusable {
            program: path,
            reason: reason(),
        },
        BackendError::WorkerDied { reason: reason() },
    ]
}

#[test]
fn errors_keep_their_variant_and_every_field() {
    for error in errors() {
        let (reply, _) = through(&Reply::Failed(error.clone()), &[]);
        assert!(
            matches!(reply, Reply::Failed(ref other) if *other == error),
            "{reply:?}"
        );
    }
}
