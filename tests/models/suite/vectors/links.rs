//! Folders that appear, disappear and are switched by links.

use std::fs;
use std::path::Path;

use elpis::Elpis;
use elpis::backend::BundledModel;
use elpis::steering::{VectorFormat, parse, write};

use super::{News, fill, in_the_end, news, place, reloaded, scaled, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_may_appear_later_and_be_switched_over() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("vectors");
    let elpis = Elpis::start(settings(&folder)).await.unwrap();
    assert!(elpis.steering_library().is_empty());
    let mut events = elpis.events();
    let (one, two) = (root.path().join("one"), root.path().join("two"));
    fill(&one);
    fill(&two);
    fs::write(two.join("calm.safetensors"), scaled(0.5)).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&one, &folder).unwrap();
        let first = loop {
            // The folder that fills up beside it may be noticed first.
            match news(&mut events).await {
                News::Reloaded(version) => break version,
                News::Refused(..) => {}
            }
        };
        // As mounted configuration changes: a link renamed over the old one.
        std::os::unix::fs::symlink(&two, root.path().join("next")).unwrap();
        fs::rename(root.path().join("next"), &folder).unwrap();
        let second = loop {
            match news(&mut events).await {
                News::Reloaded(version) if version != first => break version,
                _ => {}
            }
        };
        assert_eq!(elpis.steering_library().version(), second);
    }
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_far_down_may_come_go_and_come_again() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("a/b/vectors");
    let elpis = Elpis::start(settings(&folder)).await.unwrap();
    let mut events = elpis.events();
    fs::create_dir_all(&folder).unwrap();
    fill(&folder);
    while elpis.steering_library().emotions().len() < 4 {
        in_the_end(&mut events).await;
    }
    let first = elpis.steering_library().version().to_owned();
    for gone in [folder.as_path(), &root.path().join("a")] {
        fs::remove_dir_all(gone).unwrap();
        // The files may be noticed to go one by one.
        loop {
            if let News::Refused(reason, Some(file)) = news(&mut events).await
                && reason.contains("no vectors folder")
            {
                assert_eq!(Path::new(&file), folder);
                break;
            }
        }
        fs::create_dir_all(folder.parent().unwrap()).unwrap();
        place(&folder, 0.5);
        let version = reloaded(&mut events).await;
        assert_ne!(version, first);
        assert_eq!(elpis.steering_library().emotions().len(), 4);
        fs::write(folder.join("calm.safetensors"), scaled(0.8)).unwrap();
        assert_ne!(in_the_end(&mut events).await, version);
    }
    elpis.shutdown().await;
}

#[cfg(unix)]
fn switch(link: &Path, target: impl AsRef<Path>) {
    let next = link.with_file_name("next");
    std::os::unix::fs::symlink(target, &next).unwrap();
    fs::rename(next, link).unwrap();
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_link_further_up_may_be_switched() {
    let root = tempfile::tempdir().unwrap();
    for (release, factor) in [("1", 1.0), ("2", 0.5)] {
        fs::create_dir_all(root.path().join("releases").join(release)).unwrap();
        let folder = root.path().join("releases").join(release).join("vectors");
        place(&folder, factor);
    }
    let current = root.path().join("current");
    switch(&current, "releases/1");
    let elpis = Elpis::start(settings(&current.join("vectors")))
        .await
        .unwrap();
    let first = elpis.steering_library().version().to_owned();
    let mut events = elpis.events();
    switch(&current, "releases/2");
    let second = reloaded(&mut events).await;
    assert_ne!(second, first);
    switch(&current, root.path().join("releases/1"));
    assert_eq!(reloaded(&mut events).await, first);
    let file = root.path().join("releases/1/vectors/calm.safetensors");
    fs::write(file, scaled(0.8)).unwrap();
    assert!(![first, second].contains(&in_the_end(&mut events).await));
    elpis.shutdown().await;
}

/// As Kubernetes mounts a `ConfigMap`: files are links through `..data`, which
/// is switched as a whole.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_config_map_is_never_served_in_part() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    for (set, factor) in [("..1", 1.0), ("..2", 0.5)] {
        let set = folder.path().join(set);
        fs::create_dir(&set).unwrap();
        for (name, bytes) in BundledModel::vectors() {
            let mut bytes = bytes.to_vec();
            if let Ok(vector) = parse(VectorFormat::Safetensors, &bytes) {
                let vector = vector.scaled(factor).unwrap();
                bytes = write(VectorFormat::Safetensors, &vector).unwrap();
            }
            fs::write(set.join(name), bytes).unwrap();
        }
    }
    let data = folder.path().join("..data");
    switch(&data, "..1");
    for (name, _) in BundledModel::vectors() {
        symlink(Path::new("..data").join(name), folder.path().join(name)).unwrap();
    }
    let elpis = Elpis::start(settings(folder.path())).await.unwrap();
    let first = elpis.steering_library().version().to_owned();
    let mut events = elpis.events();
    switch(&data, "..2");
    let second = reloaded(&mut events).await;
    assert_ne!(second, first);
    assert_eq!(
        elpis.reload_vectors().await.unwrap().version(),
        second,
        "it was the whole set"
    );
    for (set, version) in [("..1", &first), ("..2", &second)].repeat(5) {
        switch(&data, set);
        assert_eq!(&reloaded(&mut events).await, version);
    }
    elpis.shutdown().await;
}
