//! Tests that need a process of their own: metrics recorders, trace subscribers, allocators,
//! threads and files belong to the whole process.

#[cfg(all(feature = "llama-cpp", feature = "bundled-model"))]
mod allocations;
#[cfg(all(feature = "prometheus", feature = "sqlite"))]
mod axes;
#[cfg(all(feature = "llama-cpp", feature = "prometheus", feature = "sqlite"))]
mod deploy;
#[cfg(feature = "prometheus")]
#[path = "../support/fragile.rs"]
mod fragile;
#[cfg(target_os = "linux")]
mod idle;
#[cfg(all(target_os = "linux", feature = "sqlite"))]
mod leaks;
#[cfg(all(feature = "prometheus", feature = "sqlite"))]
mod metrics;
#[cfg(feature = "prometheus")]
mod metrics_bounds;
#[cfg(feature = "prometheus")]
mod metrics_failures;
mod metrics_host;
#[cfg(all(
    feature = "llama-cpp",
    feature = "bundled-model",
    feature = "hub",
    feature = "sqlite",
    feature = "tools"
))]
mod seeds;
#[cfg(feature = "prometheus")]
mod steering_refused;
mod traces;

#[cfg(all(
    feature = "llama-cpp",
    feature = "bundled-model",
    feature = "hub",
    feature = "sqlite",
    feature = "tools"
))]
use elpis_testkit::allocator;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Names the test that a child process is to run.
const CHILD: &str = "ELPIS_TEST_OWN_PROCESS";

/// Children run one after the other, since some of them measure times.
static ONE_CHILD: Mutex<()> = Mutex::new(());

/// Runs a test in a child process and checks that it passed there. Returns whether that was done:
/// the child itself gets `false` and goes on with the test.
fn was_run_by_child(test: &str) -> bool {
    if std::env::var(CHILD).is_ok_and(|name| name == test) {
        return false;
    }
    let _one = ONE_CHILD.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "--test-threads=1", test])
        .env(CHILD, test)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{test}: {}\n{text}\n{errors}",
        output.status
    );
    true
}

/// Returns from a test function once the test has passed in a process of its own.
macro_rules! in_own_process {
    ($test:ident) => {
        let (_, module) = module_path!().split_once("::").unwrap();
        if crate::was_run_by_child(&format!("{module}::{}", stringify!($test))) {
            return;
        }
    };
}
use in_own_process;
