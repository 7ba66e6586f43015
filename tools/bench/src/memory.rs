//! Memory of processes, as the kernel counts it (proc_pid_status(5)).

use std::fs;

/// Octets that processes hold in memory now. `None`: there is none that does.
pub fn held_by(pids: impl Iterator<Item = u32>) -> Option<u64> {
    sum(pids, "VmRSS:")
}

/// Octets that they have held at the most, each at its own time.
pub fn peak_of(pids: impl Iterator<Item = u32>) -> Option<u64> {
    sum(pids, "VmHWM:")
}

fn sum(pids: impl Iterator<Item = u32>, name: &str) -> Option<u64> {
    let octets = pids.filter_map(|pid| {
        // One that has ended holds nothing.
        field(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, name)
    });
    octets.reduce(|a, b| a + b)
}

fn field(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibi: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibi * 1024)
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    #[test]
    fn what_is_held_is_no_more_than_the_peak() {
        let own = || std::iter::once(process::id());
        let (held, peak) = (held_by(own()).unwrap(), peak_of(own()).unwrap());
        assert!(0 < held && held <= peak, "{held} {peak}");
        assert_eq!(held_by(std::iter::empty()), None);
        // Linux numbers processes below 2^22.
        assert_eq!(peak_of(std::iter::once(99_999_999)), None);
    }

    #[test]
    fn a_field_is_in_kibioctets() {
        let status = "Name:\tVmRSS:\nVmHWM:\t    7108 kB\nVmRSS:\t     12 kB\n";
        assert_eq!(
            (field(status, "VmHWM:"), field(status, "VmRSS:")),
            (Some(7_278_592), Some(12_288))
        );
        assert_eq!(field(status, "VmSwap:"), None);
    }
}
