//! Neither a server nor the cache can lead out of the cache folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use elpis_testkit::hub_server::{COMMIT, HubServer};

use super::{Place, attack, entries, kinds, repo};
use crate::hub::{body, gguf, hub};

#[test]
fn an_etag_never_becomes_a_path() {
    let place = Place::new();
    let victim = place.victim.display().to_string();
    let digits = "0".repeat(64);
    for etag in [
        victim.as_str(),
        "../../../victim",
        "../../../../../../../../../../tmp/elpis-etag",
        "/tmp/elpis-etag",
        "..",
        ".",
        "",
        "no-hash",
        "refs/../../x",
        &format!("../{}", &digits[3..]),
        &format!("{}/", &digits[1..]),
        &digits[1..],
        "m.gguf",
    ] {
        for etag in [
            etag.to_owned(),
            format!("\"{etag}\""),
            format!("W/\"{etag}\""),
        ] {
            let outcomes = attack(&etag, &place, |faults| faults.etag = Some(etag.clone()));
            // What the listing says of its content, or its own hash, names the file.
            assert_eq!(kinds(&outcomes), ["ok", "ok"], "{etag}");
            let model = outcomes[0].as_ref().unwrap();
            assert_eq!(fs::read(model).unwrap(), body(2_000));
        }
        fs::remove_dir_all(place.cache().join("models--org--name")).unwrap();
    }
}

#[test]
fn an_etag_that_is_no_hash_does_not_switch_the_check_off() {
    let place = Place::new();
    let [model, _] = attack("corrupt", &place, |faults| {
        faults.etag = Some("\"no-hash\"".to_owned());
        faults.corrupt = true;
    });
    assert_eq!(model.unwrap_err().kind(), "checksum");
    assert!(
        !place
            .cache()
            .join("models--org--name/snapshots")
            .join(COMMIT)
            .join("m.gguf")
            .exists()
    );
    fs::remove_dir_all(place.cache().join("models--org--name")).unwrap();
    // A SHA-256 as the ETag of a file that has none in the listing must be its content's.
    let [_, folder] = attack("sha", &place, |faults| {
        faults.etag = Some(format!("\"{}\"", "0".repeat(64)));
    });
    assert_eq!(folder.unwrap_err().kind(), "checksum");
}

#[test]
fn a_commit_never_becomes_a_path() {
    let place = Place::new();
    let victim = place.victim.display().to_string();
    for commit in [
        victim.as_str(),
        "../../../../escape",
        "/tmp/elpis-commit",
        "..",
        "",
        "main",
        &COMMIT[1..],
        &format!("{COMMIT}/../../.."),
        &format!("../{}", &COMMIT[3..]),
        &format!("{COMMIT}{}", &COMMIT[..24]),
    ] {
        let outcomes = attack(commit, &place, |faults| {
            faults.commit = Some(commit.to_owned());
        });
        assert_eq!(kinds(&outcomes), ["bad-answer", "bad-answer"], "{commit}");
    }
    assert_eq!(entries(&place.cache()), [""; 0]);
}

#[test]
fn a_reference_in_the_cache_is_not_followed_out_of_it() {
    let place = Place::new();
    let refs = place.cache().join("models--org--name/refs");
    fs::create_dir_all(&refs).unwrap();
    let outside = place.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("m.gguf"), "theirs").unwrap();
    let server = HubServer::start(repo());
    let offline = hub(&server, &place.cache()).offline(true);
    for reference in [outside.to_str().unwrap(), "../../../outside"] {
        fs::write(refs.join("main"), reference).unwrap();
        assert_eq!(
            gguf(&offline, None).unwrap_err().kind(),
            "offline",
            "{reference}"
        );
    }
}

#[cfg(unix)]
#[test]
fn links_in_the_cache_are_not_written_through() {
    use std::os::unix::fs::symlink;
    let root = |place: &Place| place.cache().join("models--org--name");
    let plant: BTreeMap<&str, fn(&Path, &Path)> = BTreeMap::from([
        (
            "blobs",
            (|root, outside| symlink(outside, root.join("blobs")).unwrap()) as fn(&Path, &Path),
        ),
        ("snapshots", |root, outside| {
            symlink(outside, root.join("snapshots")).unwrap();
        }),
        ("refs", |root, outside| {
            symlink(outside, root.join("refs")).unwrap();
        }),
        ("commit", |root, outside| {
            fs::create_dir(root.join("snapshots")).unwrap();
            symlink(outside, root.join("snapshots").join(COMMIT)).unwrap();
        }),
    ]);
    for (name, plant) in plant {
        let place = Place::new();
        fs::create_dir(root(&place)).unwrap();
        let outside = tempfile::tempdir().unwrap();
        plant(&root(&place), outside.path());
        let server = HubServer::start(repo());
        let error = gguf(&hub(&server, &place.cache()), None).unwrap_err();
        assert_eq!(error.kind(), "io", "{name}: {error}");
        assert_eq!(entries(outside.path()), [""; 0], "{name}");
        place.assert_unharmed(name);
    }

    // A file that leads out of the cache is fetched anew, and what it led to stays.
    let place = Place::new();
    let snapshot = root(&place).join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(root(&place).join("blobs")).unwrap();
    symlink(&place.victim, snapshot.join("m.gguf")).unwrap();
    let server = HubServer::start(repo());
    server.faults(|faults| faults.corrupt = true);
    gguf(&hub(&server, &place.cache()), None).unwrap_err();
    place.assert_unharmed("corrupt");
    server.faults(|faults| faults.corrupt = false);
    let model = gguf(&hub(&server, &place.cache()), None).unwrap();
    assert_eq!(fs::read(model).unwrap(), body(2_000));
    place.assert_unharmed("link");
}
