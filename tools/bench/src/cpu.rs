//! Processor time: of processes, and of the whole machine.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use nix::{
    time::ClockId,
    unistd::{SysconfVar, sysconf},
};

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

/// What this process has taken, in threads that have ended as well.
///
/// # Errors
///
/// What the system said.
pub fn of_self() -> io::Result<Duration> {
    Ok(Duration::from(ClockId::CLOCK_PROCESS_CPUTIME_ID.now()?))
}

/// What the machine has spent busy since it was started (proc_stat(5)): all but idle and iowait,
/// in whole ticks of the kernel's.
///
/// # Errors
///
/// /proc is not there.
pub fn of_machine() -> io::Result<Duration> {
    ticks(&BUSY)
}

/// The same with what other machines on the same hardware took away from this one: steal.
fn of_machine_and_others() -> io::Result<Duration> {
    Ok(ticks(&BUSY)? + ticks(&STOLEN)?)
}

/// Fields of proc_stat(5): user nice system idle iowait irq softirq steal; the rest is counted in
/// these.
const BUSY: [usize; 5] = [0, 1, 2, 5, 6];
const STOLEN: [usize; 1] = [7];

fn ticks(fields: &[usize]) -> io::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let hertz = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100) as u64;
    Ok(Duration::from_millis(ticks_of(&stat, fields) * 1000 / hertz))
}

fn ticks_of(stat: &str, fields: &[usize]) -> u64 {
    let first = stat.lines().next().unwrap_or_default();
    let all: Vec<u64> = first.split(' ').filter_map(|field| field.parse().ok()).collect();
    fields.iter().map(|field| all.get(*field).copied().unwrap_or(0)).sum()
}

/// Who has taken processor time since this was begun: ourselves and a device, or somebody else.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    begin: Instant,
    machine: Duration,
    own: Duration,
}

impl Watch {
    /// Begins. `device`: what it has taken so far.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn begin(device: Duration) -> io::Result<Watch> {
        let own = of_self()? + device;
        Ok(Watch { begin: Instant::now(), machine: of_machine_and_others()?, own })
    }

    /// How many processors others have taken since, on average: 0.5 is half of one. What the
    /// kernel did for nobody in particular counts as somebody else's: its ticks are coarse, so
    /// little of it means nothing.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn others(&self, device: Duration) -> io::Result<f64> {
        let machine = of_machine_and_others()?.saturating_sub(self.machine);
        let own = (of_self()? + device).saturating_sub(self.own);
        Ok(share(machine, own, self.begin.elapsed()))
    }
}

fn share(machine: Duration, own: Duration, elapsed: Duration) -> f64 {
    machine.saturating_sub(own).as_secs_f64() / elapsed.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    #[test]
    fn idle_and_what_is_counted_twice_is_not_busy() {
        let stat = "cpu  1 20 300 4000 50000 600000 7000000 80000000 1 1\ncpu0 9 9 9 9 9 9 9\n";
        assert_eq!(ticks_of(stat, &BUSY), 1 + 20 + 300 + 600_000 + 7_000_000);
        assert_eq!(ticks_of(stat, &STOLEN), 80_000_000);
        assert_eq!(ticks_of("", &BUSY), 0);
    }

    #[test]
    fn what_is_neither_ours_nor_the_devices_is_others() {
        let second = Duration::from_secs(1);
        assert_eq!(share(second * 3, second * 2, second * 2), 0.5);
        assert_eq!(share(second, second * 2, second), 0.0);
        let watch = Watch::begin(Duration::ZERO).unwrap();
        assert!(watch.others(Duration::ZERO).unwrap() >= 0.0);
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
