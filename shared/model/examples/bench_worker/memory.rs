//! Resident memory of this process, as Linux counts it (proc(5)).

use std::fs;
use std::io;
use std::path::Path;

/// The count called `field` of /proc/self/status, in MiB; `None` where the system has no such counts.
pub(crate) fn resident_mib(field: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

/// Lets the peak begin at what is resident now, so that reading the weights does not count.
pub(crate) fn forget_peak() -> io::Result<()> {
    let peak = Path::new("/proc/self/clear_refs");
    if peak.exists() { fs::write(peak, "5") } else { Ok(()) }
}
