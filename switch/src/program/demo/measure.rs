//! What the hosts do with each other: they ping, and the first pushes data to the second.

use std::{
    io, panic,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{RecvTimeoutError, bounded};
use netlab::{Burst, Ping, quantile, round_trips, tcp_send, tcp_sink, udp_echo};

use super::{
    lab::{FROM, HOSTS, Lab, SMALL_FRAME_OCTETS, STREAMS, TO},
    progress::{INTERVAL, Progress},
    results::{Answer, Results, RoundTrip, gigabits, megaframes, micros},
};

/// The kernel joins the group by which a fresh IPv6 address is asked for a little later than the
/// address is there. Whoever asks too early asks again after a second (RFC 4861, 10: RetransTimer),
/// and the ping waits that long in his queue.
const PING_TIMEOUT: Duration = Duration::from_millis(2500);

/// Datagrams between two looks at the clock.
const ROUND_TRIPS_BATCH: usize = 500;

/// Type 1 for experiments (IEEE 802-2014, 9.2.3): a host that gets it has no use for it, and so
/// spends the least time on it.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];

/// All of it, one after the other, until the stop is given.
pub(super) fn all(
    lab: &Lab,
    duration: Duration,
    results: &mut Results,
    progress: &mut Progress,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut run = Run { lab, duration, progress, stop };
    run.pings(&mut results.answers)?;
    results.tcp_one = run.tcp("TCP, one stream", 1)?;
    results.tcp_four = run.tcp("TCP, four streams", STREAMS)?;
    results.small_frames = run.small_frames()?;
    results.round_trip = run.round_trips()?;
    Ok(())
}

struct Run<'a> {
    lab: &'a Lab,
    duration: Duration,
    progress: &'a mut Progress,
    stop: &'a AtomicBool,
}

impl Run<'_> {
    /// Every host asks every other one, by IPv4 and by IPv6.
    fn pings(&mut self, answers: &mut Vec<Answer>) -> io::Result<()> {
        self.progress.step("pings");
        let pairs = (0..HOSTS.len()).flat_map(|from| (0..HOSTS.len()).map(move |to| (from, to)));
        let pairs: Vec<_> = pairs.filter(|(from, to)| from != to).collect();
        for (number, (from, to)) in pairs.iter().copied().enumerate() {
            for destination in HOSTS[to].addresses() {
                let name = HOSTS[from].name;
                let share = number as f64 / pairs.len() as f64;
                self.progress.show(share, &format!("{name} asks {destination}"));
                let ping = Ping { timeout: PING_TIMEOUT, ..Ping::new(destination) };
                let trips = ping.run(&self.lab.namespaces[from], self.stop)?;
                if self.is_stopped() {
                    return Ok(());
                }
                let round_trip = trips.into_iter().flatten().next();
                answers.push(Answer { from, to, is_v6: destination.is_ipv6(), round_trip });
            }
        }
        let reached = answers.iter().filter(|answer| answer.round_trip.is_some()).count();
        self.progress.done(&format!("{reached} of {} answered", answers.len()));
        Ok(())
    }

    /// Bits a second.
    fn tcp(&mut self, what: &'static str, streams: usize) -> io::Result<Option<f64>> {
        if self.is_stopped() {
            return Ok(None);
        }
        self.progress.step(what);
        let sink = tcp_sink(&self.lab.namespaces[TO], (HOSTS[TO].v4, 0).into())?;
        let from = &self.lab.namespaces[FROM];
        let sent = self.watched(
            || tcp_send(from, sink.address(), streams, self.duration, self.stop),
            |elapsed| gigabits(sink.octets() as f64 * 8.0 / elapsed.as_secs_f64()),
        )??;
        // What arrived while it was sent: the rest is in buffers, of which none is large.
        let bits_per_second = sink.octets() as f64 * 8.0 / sent.elapsed.as_secs_f64();
        Ok(self.unless_stopped(bits_per_second, gigabits))
    }

    /// Frames a second that arrive. More are sent than can: what is too much is lost before the
    /// switch, in the queue of the sender's device. The receiver's kernel has no use for these
    /// frames, and counts them as received and then dropped.
    fn small_frames(&mut self) -> io::Result<Option<f64>> {
        if self.is_stopped() {
            return Ok(None);
        }
        self.progress.step("small frames");
        let mut frame = [0; SMALL_FRAME_OCTETS];
        frame[..6].copy_from_slice(&HOSTS[TO].mac.octets());
        frame[6..12].copy_from_slice(&HOSTS[FROM].mac.octets());
        frame[12..14].copy_from_slice(&ETHERTYPE);
        let burst = Burst { frame: &frame, duration: self.duration, bypass_qdisc: false };
        let from = &self.lab.namespaces[FROM];
        let before = self.lab.received(TO)?;
        // What cannot be asked now is asked at the end, and then its error counts.
        let arrived = || self.lab.received(TO).unwrap_or(before).saturating_sub(before) as f64;
        let sent = self.watched(
            || burst.send(from, HOSTS[FROM].port, &AtomicU64::new(0), self.stop),
            |elapsed| megaframes(arrived() / elapsed.as_secs_f64()),
        )??;
        let frames = self.lab.received(TO)?.saturating_sub(before) as f64;
        Ok(self.unless_stopped(frames / sent.elapsed.as_secs_f64(), megaframes))
    }

    /// How long a small datagram takes there and back.
    fn round_trips(&mut self) -> io::Result<Option<RoundTrip>> {
        if self.is_stopped() {
            return Ok(None);
        }
        self.progress.step("round trips");
        let echo = udp_echo(&self.lab.namespaces[TO], (HOSTS[TO].v4, 0).into())?;
        let from = &self.lab.namespaces[FROM];
        let trips = Mutex::new(Vec::new());
        let started = Instant::now();
        let collect = || -> io::Result<()> {
            while started.elapsed() < self.duration && !self.is_stopped() {
                let batch = round_trips(from, echo.address(), ROUND_TRIPS_BATCH, self.stop)?;
                trips.lock().unwrap_or_else(PoisonError::into_inner).extend(batch);
            }
            Ok(())
        };
        let look = |_| {
            let mut trips = trips.lock().unwrap_or_else(PoisonError::into_inner).clone();
            micros(quantile(&mut trips, 0.5))
        };
        self.watched(collect, look)??;
        let mut trips = trips.into_inner().unwrap_or_else(PoisonError::into_inner);
        if trips.is_empty() && !self.is_stopped() {
            return Err(io::Error::other("no datagram came back"));
        }
        let (p50, p99) = (quantile(&mut trips, 0.5), quantile(&mut trips, 0.99));
        let round_trip = RoundTrip { count: trips.len(), p50, p99 };
        Ok(self.unless_stopped(round_trip, |trip| micros(trip.p50)))
    }

    /// Runs something that takes the usual time, and shows meanwhile how it goes.
    fn watched<T: Send>(
        &self,
        work: impl FnOnce() -> T + Send,
        figure: impl Fn(Duration) -> String,
    ) -> io::Result<T> {
        let (ended, end) = bounded::<()>(0);
        let started = Instant::now();
        thread::scope(|scope| {
            let worker =
                thread::Builder::new().name("traffic".into()).spawn_scoped(scope, || {
                    // Dropped at the end, whatever comes.
                    let _ended = ended;
                    work()
                })?;
            while end.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let elapsed = started.elapsed();
                let share = elapsed.as_secs_f64() / self.duration.as_secs_f64();
                self.progress.show(share, &figure(elapsed));
            }
            Ok(worker.join().unwrap_or_else(|payload| panic::resume_unwind(payload)))
        })
    }

    /// A measurement that was broken off says nothing.
    fn unless_stopped<T: Copy>(&self, figure: T, text: impl Fn(T) -> String) -> Option<T> {
        if self.is_stopped() {
            return None;
        }
        self.progress.done(&text(figure));
        Some(figure)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
