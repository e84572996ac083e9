//! Workers of a test's own, and how to find their processes.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use elpis::Settings;
use elpis::settings::{HardwareBackend, Isolation, ModelSettings, RuntimeSettings};
use elpis::worker::WorkerOptions;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub const ELPIS: &str = env!("CARGO_BIN_EXE_elpis");

/// Names the program of a worker to a test in another process.
pub const PROGRAM: &str = "ELPIS_TEST_PROGRAM";

/// The `elpis` command under a name of this test's own, by which its processes
/// are found.
pub struct Program {
    pub folder: TempDir,
    pub path: PathBuf,
}

impl Program {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("elpis");
        symlink(ELPIS, &path).unwrap();
        Self { folder, path }
    }

    /// A script in its place.
    pub fn script(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Self { folder, path }
    }

    /// Puts a script of bash in its place, which must not be running.
    pub fn replace_by(&self, text: &str) {
        fs::remove_file(&self.path).unwrap();
        fs::write(&self.path, format!("#!/bin/bash\n{text}\n")).unwrap();
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o700)).unwrap();
    }

    /// Puts the command back.
    pub fn restore(&self) {
        fs::remove_file(&self.path).unwrap();
        symlink(ELPIS, &self.path).unwrap();
    }

    pub fn settings(&self) -> Settings {
        let runtime = RuntimeSettings::default()
            .isolation(Isolation::Process)
            .worker(self.path.as_path())
            .restart_backoff_initial(Duration::from_millis(10));
        Settings::default().model(cpu()).runtime(runtime)
    }

    pub fn options(&self) -> WorkerOptions {
        WorkerOptions {
            program: Some(self.path.clone()),
            bound: None,
            trial: false,
        }
    }

    /// The only process that runs this program.
    pub async fn process(&self) -> Pid {
        within("a worker", || running(&self.path)).await
    }

    pub fn runs(&self) -> bool {
        running(&self.path).is_some()
    }
}

/// The first words of a worker, as a command of a shell.
pub fn hello() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let padding = "\\000".repeat(20 - version.len());
    format!("printf 'elpis-wk\\006\\000\\000\\000{version}{padding}' >&0")
}

pub fn cpu() -> ModelSettings {
    ModelSettings::default().hardware_backend(HardwareBackend::Cpu)
}

pub fn in_process() -> Settings {
    Settings::default().model(cpu())
}

/// A live process whose first argument, its own name, is this path.
pub fn running(program: &Path) -> Option<Pid> {
    let own = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        // Empty for one that is dead but not waited for.
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let name = line.split(|&byte| byte == 0).next()?;
        (name == program.as_os_str().as_encoded_bytes()).then_some(id)
    });
    let found: Vec<i32> = own.collect();
    assert!(found.len() < 2, "one worker at a time: {found:?}");
    Pid::from_raw(*found.first()?)
}

pub fn exists(process: Pid) -> bool {
    Path::new(&format!("/proc/{}", process.as_raw_nonzero())).exists()
}

pub async fn within<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{what} in time");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub async fn gone(process: Pid) {
    within("the end of a process", || (!exists(process)).then_some(())).await;
}

/// Stops a process, all of its threads: one that still runs could answer once more.
pub async fn stop(process: Pid) {
    kill_process(process, Signal::STOP).unwrap();
    let tasks = format!("/proc/{}/task", process.as_raw_nonzero());
    let stopped = |task: &fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let state = stat
            .rsplit_once(") ")
            .map(|(_, rest)| rest.starts_with('T'));
        // A thread that has ended meanwhile has no state.
        state.unwrap_or(true)
    };
    let look = || {
        let mut tasks = fs::read_dir(&tasks).unwrap().filter_map(Result::ok);
        tasks.all(|task| stopped(&task)).then_some(())
    };
    within("the stop of a process", look).await;
}

/// Runs another test in a process of its own.
pub fn alone(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    command
}
