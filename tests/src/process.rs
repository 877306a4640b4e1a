//! Readings of `/proc` for a process: its CPU time, memory, descriptors and children.

use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::wait;

/// Processor time of all live threads so far.
pub fn cpu(pid: u32) -> Duration {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Duration::ZERO;
    };
    let nanos = |task: fs::DirEntry| -> Option<u64> {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(tasks.flatten().filter_map(nanos).sum())
}

/// The share of one processor that a process takes over an interval.
pub fn cpu_share(pid: u32, interval: Duration) -> f64 {
    let before = cpu(pid);
    wait::measure(interval);
    cpu(pid).saturating_sub(before).as_secs_f64() / interval.as_secs_f64()
}

/// Resident memory in KiB.
pub fn resident_kib(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

/// Number of threads.
pub fn threads(pid: u32) -> u64 {
    status(pid, "Threads:")
}

fn status(pid: u32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .unwrap_or_default();
    line.split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(0)
}

/// Returns whether the main thread blocks this signal.
pub fn blocks(pid: u32, signal: Signal) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = text
        .lines()
        .find_map(|line| line.strip_prefix("SigBlk:"))
        .unwrap_or_default();
    let mask = u64::from_str_radix(mask.trim(), 16).unwrap_or(0);
    mask & (1 << (signal as u32 - 1)) != 0
}

/// The live children of a process.
pub fn children(pid: u32) -> usize {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0;
    };
    let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).ok();
    tasks
        .flatten()
        .filter_map(of_task)
        .map(|text| text.split_whitespace().count())
        .sum()
}

/// Number of descriptors of memory files, which hold the code of plugins.
pub fn memory_files(pid: u32) -> usize {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return 0;
    };
    let targets = entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("/memfd:"))
        .count()
}

/// Number of open descriptors.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The live processes of a process group.
pub fn group(pgid: u32) -> Vec<u32> {
    let Ok(all) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let member = |entry: fs::DirEntry| -> Option<u32> {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let mut words = stat.rsplit_once(") ")?.1.split(' ');
        let (state, _parent, group) = (words.next()?, words.next()?, words.next()?);
        (state != "Z" && group.parse() == Ok(pgid)).then_some(pid)
    };
    all.flatten().filter_map(member).collect()
}

/// Returns whether a process listens on this TCP port.
pub fn tcp_listens(port: u16) -> bool {
    tcp_listener(port).is_some()
}

/// The inode of the socket that listens on this TCP port; it identifies the socket.
pub fn tcp_listener(port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    const INODE: usize = 9;
    let port = format!(":{port:04X}");
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"]
        .map(|path| fs::read_to_string(path).unwrap_or_default());
    tables
        .iter()
        .flat_map(|table| table.lines())
        .find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let listens = words.get(1)?.ends_with(&port) && *words.get(3)? == LISTEN;
            listens.then(|| words.get(INODE)?.parse().ok()).flatten()
        })
}

/// Returns whether `strace` is installed and may trace.
#[must_use]
pub fn can_trace() -> bool {
    let traced = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .output();
    traced.is_ok_and(|output| output.status.success())
}
