//! `elpis soak` as a command.

use serde_json::Value;

use super::{command, elpis};

#[test]
fn a_short_trial_reports_what_it_counted() {
    let trial = [
        "soak",
        "--quiet",
        "--seconds=3",
        "--sessions=2",
        "--fault-every=1",
        "--seed=7",
    ];
    let output = elpis(&[&trial[..], &["--json"]].concat());
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["seconds"].as_f64().unwrap() >= 3.0, "{report}");
    for (counted, least) in [("replies", 1), ("events", 1)] {
        assert!(report[counted].as_u64().unwrap() >= least, "{report}");
    }
    for wrong in ["lost_events", "foreign_replies", "failed"] {
        assert_eq!(report[wrong], 0, "{report}");
    }
    // So short a trial may find that too little happened, or end before its memory is level.
    match output.status.code() {
        Some(0) => assert!(told.is_empty(), "{told}"),
        Some(1) => assert!(told.starts_with("elpis: "), "{told}"),
        other => panic!("{other:?}: {told}"),
    }
}

#[test]
fn trials_that_cannot_be_made_are_refused() {
    for (arguments, code, words) in [
        (&["soak", "--seconds=0"][..], 2, "--seconds"),
        (&["soak", "--sessions=0"], 2, "--sessions"),
        (&["soak", "--fault-every=-1"], 2, "--fault-every"),
    ] {
        let output = elpis(arguments);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(words), "{told}");
    }
    let folder = tempfile::tempdir().unwrap();
    let output = command(&["soak", "--seconds=1"], folder.path())
        .env("ELPIS_MODEL_PATH", "./nowhere.gguf")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("there is no model") && told.contains("hint: "),
        "{told}"
    );
}
