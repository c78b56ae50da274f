//! How much memory this process has.

/// Mebibytes of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// In the machine's memory now.
    pub resident_mib: u64,
    /// The most there ever was.
    pub peak_mib: u64,
}

impl Memory {
    /// As the kernel tells it; `None` where there is no `/proc`.
    pub fn of_this_process() -> Option<Self> {
        Self::of_status(&std::fs::read_to_string("/proc/self/status").ok()?)
    }

    fn of_status(status: &str) -> Option<Self> {
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
            Some(kib / 1024)
        };
        Some(Self { resident_mib: mib("VmRSS:")?, peak_mib: mib("VmHWM:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let status = "Name:\tx\nVmHWM:\t  204800 kB\nVmRSS:\t    2048 kB\n";
        assert_eq!(Memory::of_status(status), Some(Memory { resident_mib: 2, peak_mib: 200 }));
        assert_eq!(Memory::of_status("VmRSS: many\n"), None);
    }
}
