//! Processes that a test signals and waits for.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::fs;
use std::process::{Child, Output};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// Looks until there is something to find.
pub fn within<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn send(process: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(process as i32).unwrap(), signal);
}

/// Waits until a process receives a signal itself, and would not be ended by it.
pub fn catches(process: u32, signal: Signal) {
    within("a handler", || {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))?;
        let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
        (mask >> (signal.as_raw() - 1) & 1 == 1).then_some(())
    });
}

/// The state of a process and its parent; `None` if it is gone, or dead and not waited for.
fn stat(process: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut words = stat.rsplit_once(") ")?.1.split(' ');
    let state = words.next()?.chars().next()?;
    let parent = words.next()?.parse().ok()?;
    (state != 'Z').then_some((state, parent))
}

pub fn is_stopped(process: u32) -> bool {
    stat(process).is_some_and(|(state, _)| state == 'T')
}

pub fn is_gone(process: u32) -> bool {
    stat(process).is_none()
}

/// The living children of a process.
pub fn children(process: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap();
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&child| stat(child).is_some_and(|(_, parent)| parent == process))
        .collect()
}

/// What came of a process that must end by itself.
pub fn ended(mut child: Child) -> Output {
    let _ = within("the end", || child.try_wait().unwrap());
    child.wait_with_output().unwrap()
}
