//! Processor time: of processes, and of the whole machine.

use std::{fs, io, time::Duration};

use nix::unistd::{SysconfVar, sysconf};

/// What the threads of a process have taken, in nanoseconds exactly
/// (Documentation/scheduler/sched-stats.rst). Nothing for one that has ended.
pub fn of_process(pid: u32) -> Duration {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let nanos = tasks.flatten().map(|task| {
        // A thread may end between the two.
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
    });
    Duration::from_nanos(nanos.sum())
}

/// What the machine has spent busy since it was started (proc_stat(5)): all but idle and iowait,
/// in whole ticks of the kernel's.
///
/// # Errors
///
/// /proc is not there.
pub fn of_machine() -> io::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let hertz = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100) as u64;
    Ok(Duration::from_millis(busy_ticks(&stat) * 1000 / hertz))
}

fn busy_ticks(stat: &str) -> u64 {
    let first = stat.lines().next().unwrap_or_default();
    let fields: Vec<u64> = first.split(' ').filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; the rest is counted in these.
    [0, 1, 2, 5, 6].map(|field| fields.get(field).copied().unwrap_or(0)).iter().sum()
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    #[test]
    fn idle_and_what_is_counted_twice_is_not_busy() {
        let stat = "cpu  1 20 300 4000 50000 600000 7000000 80000000 1 1\ncpu0 9 9 9 9 9 9 9\n";
        assert_eq!(busy_ticks(stat), 1 + 20 + 300 + 600_000 + 7_000_000);
        assert_eq!(busy_ticks(""), 0);
    }

    #[test]
    fn a_process_takes_time_and_one_that_is_not_there_takes_none() {
        let before = of_process(process::id());
        let mut sum = 0u64;
        while of_process(process::id()) == before {
            sum = (0..100_000).fold(sum, |sum: u64, number| sum.wrapping_add(number * number));
        }
        assert!(of_machine().unwrap() > Duration::ZERO, "{sum}");
        // Linux numbers processes below 2^22.
        assert_eq!(of_process(99_999_999), Duration::ZERO);
    }
}
