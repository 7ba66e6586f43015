//! `uswitch top`: a live view of a switch that runs, on a terminal. It asks by the control socket
//! like any client, at its interval and not in between; what it shows is a [`model`] that is fed
//! with answers, and [`draw`] puts that onto the screen. The load of the workers is read from
//! /proc, so the switch does nothing for it.
//!
//! When the switch ends, it says so and looks for it again. However it ends itself, the terminal is
//! left as it was: at `q`, by a signal, and by a panic (the hook that `ratatui` sets).

mod draw;
mod keys;
mod model;

use std::{
    env, fs,
    io::{self, IsTerminal},
    os::fd::AsFd,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use crossterm::event::{self, Event};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use ratatui::DefaultTerminal;

use self::model::{Model, Sample, Worker};
use super::{
    output::{self, DONE, FAILURE},
    signals::{self, Wish},
    steer::{Line, Which},
};

/// How soon a key, a signal or another size of the terminal is noticed.
const LOOK: Duration = Duration::from_millis(100);
/// How long an answer may take: the screen stands still meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);
/// Seconds between two looks: the least and the most that can be asked for.
const INTERVAL: std::ops::RangeInclusive<f64> = 0.1..=60.0;
/// Ticks of processor time in a second as /proc counts them (USER_HZ, proc(5)).
const USER_HZ: f64 = 100.0;

/// `uswitch top ...`
#[derive(Clone, Debug, Args)]
pub(crate) struct TopArgs {
    /// Seconds between two looks, 0.1 to 60
    #[arg(short, long, value_name = "SECONDS", default_value = "1",
        value_parser = interval)]
    interval: Duration,
    #[command(flatten)]
    pub(crate) which: Which,
}

/// Shows until somebody has seen enough.
pub(crate) fn run(args: &TopArgs) -> ExitCode {
    match show(args) {
        Ok(()) => ExitCode::from(DONE),
        Err(sentences) => {
            sentences.lines().for_each(output::complain);
            ExitCode::from(FAILURE)
        }
    }
}

/// Reads the time between two looks.
fn interval(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| INTERVAL.contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "it is 0.1 to 60 seconds".to_owned())
}

fn show(args: &TopArgs) -> Result<(), String> {
    if args.which.json || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(
            "`uswitch top` draws on a terminal, and there is none; `uswitch port show -s` \
                    prints the counters once, and `uswitch stats -j` tells them to programs"
                .to_owned(),
        );
    }
    let name = args.which.name.as_deref();
    let line = Line::open(name, PATIENCE)?;
    let failed = |error: io::Error| format!("the terminal: {}", netlab::reason(&error));
    let wishes = signals::listen().map_err(failed)?;
    let mut view = View {
        name,
        line: Some(line),
        began: Instant::now(),
        interval: args.interval,
        model: Model::new(env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())),
    };
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let shown =
        view.run(&mut terminal, || matches!(wishes.try_recv(), Ok(Wish::End | Wish::Reload)));
    let restored = ratatui::try_restore();
    shown.and(restored).map_err(failed)
}

/// Waits so long for a key, and tells whether the terminal is there still: of one that was closed
/// crossterm would read nothing for ever.
fn is_there(rest: Duration) -> io::Result<bool> {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    Ok(!fds[0].revents().is_some_and(|events| events.intersects(gone)))
}

/// What is shown, and who is asked.
struct View<'a> {
    name: Option<&'a str>,
    /// `None`: there is no switch, or none any more.
    line: Option<Line>,
    began: Instant,
    interval: Duration,
    model: Model,
}

impl View<'_> {
    fn run(&mut self, terminal: &mut DefaultTerminal, ended: impl Fn() -> bool) -> io::Result<()> {
        let mut next = Instant::now();
        loop {
            if next <= Instant::now() {
                self.look();
                next = Instant::now() + self.interval;
            }
            terminal.draw(|frame| draw::draw(frame, &self.model))?;
            let rest = next.saturating_duration_since(Instant::now()).min(LOOK);
            if !is_there(rest)? {
                return Ok(());
            }
            if event::poll(Duration::ZERO)?
                && let Event::Key(key) = event::read()?
                && keys::press(&mut self.model, key)
            {
                return Ok(());
            }
            if ended() {
                return Ok(());
            }
        }
    }

    /// Asks the switch, or looks for one.
    fn look(&mut self) {
        let line = match self.line.take() {
            Some(line) => Ok(line),
            None => Line::open(self.name, PATIENCE),
        };
        let asked = line.and_then(|mut line| {
            let (show, ports) = line.look()?;
            self.line = Some(line);
            let (at, workers) = (self.began.elapsed(), workers(show.pid));
            Ok(Sample { at, show, ports, workers })
        });
        match asked {
            Ok(sample) => self.model.take(sample),
            Err(why) => self.model.lose(&why),
        }
    }
}

/// The processor time of each worker of this process. None, if it is not to be seen.
fn workers(pid: u32) -> Vec<Worker> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let worker = |task: io::Result<fs::DirEntry>| {
        let stat = fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        read_worker(&stat)
    };
    let mut workers: Vec<Worker> = tasks.filter_map(worker).collect();
    workers.sort_by_key(|worker| worker.number);
    workers
}

/// Reads /proc/PID/task/TID/stat, if that is a worker's: field 2 is the name, 14 and 15 the time in
/// user and kernel mode (proc(5)).
fn read_worker(stat: &str) -> Option<Worker> {
    let (head, fields) = stat.rsplit_once(") ")?;
    let number = head.split_once("(worker-")?.1.parse().ok()?;
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some(Worker { number, busy_s: (ticks()? + ticks()?) / USER_HZ })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_time_is_read_and_other_threads_are_not() {
        let stat = "12 (worker-3) S 1 12 12 0 -1 4194560 5 0 0 0 250 150 0 0 20 0 4 0 99 1 1";
        assert_eq!(read_worker(stat), Some(Worker { number: 3, busy_s: 4.0 }));
        assert_eq!(read_worker(&stat.replace("worker-3", "control")), None);
        assert_eq!(read_worker("12 (worker-3) S 1"), None);
    }
}
