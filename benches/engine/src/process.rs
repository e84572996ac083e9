//! Memory and processor time of processes, from Linux's `/proc`; see proc(5).

use std::fs;

use anyhow::{Context, Result};

/// Ticks per second of processor time in `/proc`. Linux converts its own clock to this rate.
const TICKS: f64 = 100.0;

/// The resources that a process has used since its start.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Processor time in seconds, of all threads, in user and kernel mode.
    pub processor: f64,
    /// Peak of its resident memory since [`forget_peak`], in bytes.
    pub peak: f64,
}

/// The resources used by the process with this id.
pub fn usage(id: u32) -> Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    Ok(Usage {
        processor: ticks(&stat).context("no times of the processor")? / TICKS,
        peak: memory(&id.to_string(), "VmHWM:")? as f64,
    })
}

/// Resets the peak of a process to its current memory, if the system supports it.
pub fn forget_peak(id: u32) {
    // 5: the peak of resident memory, proc_pid_clear_refs(5).
    let _ = fs::write(format!("/proc/{id}/clear_refs"), "5");
}

/// Peak of this process's resident memory, in bytes.
pub fn peak() -> Result<u64> {
    memory("self", "VmHWM:")
}

/// This process's resident memory, in bytes.
pub fn resident() -> Result<u64> {
    memory("self", "VmRSS:")
}

fn memory(process: &str, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))
        .context("the memory of a process can only be read on Linux")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .with_context(|| format!("no {name}"))
}

/// The sum of fields 14 and 15. The name before them may contain anything.
fn ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_the_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 9 9 20 0 1 0";
        assert_eq!(ticks(stat), Some(300.0));
        assert_eq!(ticks("7 (a) S 1"), None);
    }
}
