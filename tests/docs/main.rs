//! Documents that follow from the code, and the links between documents.
//!
//! `ELPIS_TEST_UPDATE_DOCS=1 cargo test --test docs` writes the former anew.

mod circles;
mod crates;
mod faults;

use std::fs;
use std::path::{Path, PathBuf};

fn check(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("ELPIS_TEST_UPDATE_DOCS").is_some() {
        fs::write(&path, expected).unwrap();
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{file} is out of date; ELPIS_TEST_UPDATE_DOCS=1 cargo test --test docs updates it"
    );
}

#[test]
fn every_setting_is_documented() {
    let table = elpis::settings::reference_markdown();
    let text = format!(
        "# Settings\n\nEach can be set in code, in `elpis.toml`, in `.env` and in the environment; later places \
         override earlier ones. `elpis doctor` shows the values in force and their origins.\n\n{}\n",
        table.trim_end()
    );
    check("docs/settings.md", &text);
}

#[test]
fn every_metric_is_documented() {
    use elpis::TRACE_TARGET;
    use elpis::internal::telemetry::{METRICS, OPENTELEMETRY, PROCESS, reference_markdown};
    let text = format!(
        "# Metrics\n\nThe recorder of the host program (crate `metrics`) receives them. Set it before the runtime starts. \
         With the feature `prometheus` and the setting `metrics.listen`, Prometheus reads them at `/metrics` \
         for as long as the process lives. Names have vLLM's suffixes and buckets where vLLM has the same metric; \
         times are in seconds. `deploy/` has a dashboard and alerts.\n\nSeries used by alerts exist from the start, \
         with the value 0. When a runtime stops, its gauges fall to 0, and those of listed sessions and devices to NaN.\n\n\
         Metrics belong to the process, not to a runtime. If a process has several runtimes, their counters and \
         histograms add up (by `model` where they have that label), and gauges show the runtime that set them \
         last. Run the runtimes in separate processes if that matters.\n\n\
         {}\n## The process\n\nRecorded with the feature `prometheus`, also for a recorder of the host, as far as \
         the operating system provides them.\n\n{}\n## By the names of OpenTelemetry\n\nWith `metrics.opentelemetry`, metrics are also \
         recorded under the names of its conventions for generative AI; Prometheus shows `.` as `_`.\n\n{}\n## Traces\n\nEach generation is a \
         span of the crate `tracing`, below the caller's: `generation`, which contains `prepare`, `queue`, `prefill` and \
         `decode` (target `{TRACE_TARGET}`, level INFO). Its fields are the session, the state it was generated under, the \
         coefficients, the version of the steering library, tokens and outcome, under OpenTelemetry's names where \
         it defines one. A modulation that changes within a generation is an event. A refused request is a span too, with \
         its error; the appraisal of a reply is not part of it. Spans contain prompts and replies only \
         with `metrics.trace_text`. `examples/opentelemetry.rs` exports them.\n",
        reference_markdown(METRICS),
        reference_markdown(PROCESS),
        reference_markdown(OPENTELEMETRY),
    );
    check("docs/metrics.md", &text);
}

/// The guide's pages, without the contents themselves.
fn pages() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("docs")).unwrap();
    let mut pages: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .filter(|path| path.file_name().is_some_and(|name| name != "SUMMARY.md"))
        .collect();
    pages.sort();
    pages
}

/// How the guide names files outside its folder: a rendered book cannot reach them otherwise.
const IN_REPOSITORY: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a page says outside its fenced code.
fn prose(page: &Path) -> String {
    let mut fenced = false;
    let text = fs::read_to_string(page).unwrap();
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Where the links and pictures of a page lead.
fn targets(page: &Path) -> Vec<String> {
    let text = prose(page);
    let targets = text.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// The anchors of a page: its headings in lower case, without punctuation,
/// with dashes for spaces.
fn anchors(page: &Path) -> Vec<String> {
    let text = prose(page);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let title = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|&c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn every_page_of_the_guide_is_in_its_contents() {
    let listed = targets(&root().join("docs/SUMMARY.md"));
    for page in pages() {
        let name = page.file_name().unwrap().to_str().unwrap();
        let count = listed.iter().filter(|target| *target == name).count();
        assert_eq!(count, 1, "{name} must stand in docs/SUMMARY.md once");
    }
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let mut read = pages();
    read.extend(
        [
            "README.md",
            "ARCHITECTURE.md",
            "SECURITY.md",
            "docs/SUMMARY.md",
        ]
        .map(|file| root().join(file)),
    );
    let mut followed = 0;
    for page in read {
        for target in targets(&page) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let found = match file.strip_prefix(IN_REPOSITORY) {
                Some(file) => root().join(file),
                None if file.contains("://") => continue,
                None if file.is_empty() => page.clone(),
                None => page.with_file_name(file),
            };
            let place = page.display();
            assert!(found.exists(), "{place}: there is no {target}");
            assert!(
                anchor.is_empty() || anchors(&found).iter().any(|known| known == anchor),
                "{place}: there is no heading {target}"
            );
            followed += 1;
        }
    }
    assert!(followed > 0, "no link was found");
}

/// All that Rust files below a folder say.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_test_that_stands_for_a_defence_exists() {
    let mut text = String::new();
    for folder in ["src", "tests", "crates"] {
        sources(&root().join(folder), &mut text);
    }
    let page = prose(&root().join("SECURITY.md"));
    let mut found = 0;
    // `path/file.rs::name`, or `::name` of the file before.
    for named in page.split('`').skip(1).step_by(2) {
        let Some((file, name)) = named.split_once("::") else {
            continue;
        };
        if !file.is_empty() && Path::new(file).extension().is_none() {
            continue; // An item of the library.
        }
        assert!(
            text.contains(&format!("fn {name}(")),
            "there is no test {named}"
        );
        found += 1;
    }
    assert!(found > 30, "only {found} tests are named");
}
