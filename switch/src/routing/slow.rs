//! The slow path's thread: it carries frames between the far ends of the legs and
//! [`uswitch_router::slow`], which decides about them. To the bridges it is a host like any other,
//! and what waits for it waits in its sockets: a leg that is flooded costs no other leg.

use std::{
    io,
    os::fd::AsFd,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use nix::{
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::{EfdFlags, EventFd},
    },
    unistd::write,
};
use uswitch_router::{
    advertise::AdvertiseConfig,
    limit,
    link::{Event, LinkAddress},
    neighbour::{Link, resolved::Resolved},
    packet::PacketMeta,
    route::{Hop, LegId},
    slow::{Heard, Outcome, Slow, Wire},
    tables::Tables,
};

use crate::{
    egress::complete,
    fdb::Tick,
    frame::{Arena, Frame, HEADER_LEN, Header, Mac, WIRE_MAX},
    offload::{Offload, VNET_HEADER_LEN, segment::Segments},
    port::{
        Port, Rx,
        datagram::{Datagram, DatagramRx, DatagramTx},
    },
    switch::Teller,
};

use super::meta;

/// Orders that wait for the thread at the most.
const ORDERS_MAX: usize = 16;
/// Events that wait for the control plane at the most. What comes on top is not told.
const EVENTS_MAX: usize = 256;
/// Neighbours in use that the workers may tell of before the thread listens.
const USED_MAX: usize = 256;
/// The number of the order descriptor among those of the legs.
const ORDERS: u64 = u64::MAX;
/// Legs that one wait finds ready: one that did not get in comes with the next.
const READY_MAX: usize = 64;

/// Where the far end of a leg is.
pub(super) enum End {
    /// With the thread, which knew the leg by this number.
    There(LegId),
    /// Here.
    New(Datagram),
}

/// What the thread is to do.
enum Order {
    /// Go on with these.
    Swap(Box<Swap>),
    /// Do this, between two frames.
    Ask(Box<dyn FnOnce(&mut Slow) + Send>),
    /// End.
    Stop,
}

/// Legs and routes for the slow path.
pub(super) struct Swap {
    pub(super) generation: u64,
    pub(super) tables: Arc<Tables>,
    pub(super) links: Vec<Link>,
    /// What hosts are told on each.
    pub(super) advertise: Vec<Option<AdvertiseConfig>>,
    /// One for each link.
    pub(super) ends: Vec<End>,
    /// Where is told what is known of neighbours.
    pub(super) done: Sender<Arc<Resolved>>,
}

/// The thread, as the control plane holds it. It ends with this.
pub(super) struct SlowPath {
    orders: Sender<Order>,
    bell: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
    pub(super) events: Receiver<Event>,
    pub(super) used: Used,
}

/// How workers tell the slow path that a neighbour is in use of which nothing was heard for long.
#[derive(Clone)]
pub struct Used {
    hops: Sender<Hop>,
    bell: Arc<EventFd>,
}

impl Used {
    pub(super) fn new(hops: Sender<Hop>, bell: Arc<EventFd>) -> Used {
        Used { hops, bell }
    }

    /// To whom nobody listens.
    pub(super) fn unheard() -> io::Result<Used> {
        Ok(Used::new(bounded(1).0, Arc::new(EventFd::new()?)))
    }

    /// Tells it, and wakes the thread. `false`: too much waits there.
    pub(super) fn tell(&self, hop: Hop) -> bool {
        self.hops.try_send(hop).is_ok() && self.bell.write(1).is_ok()
    }
}

impl SlowPath {
    /// Starts it, without legs. `teller`: how the workers hear of neighbours; `epoch`: since when
    /// time is counted; `flows`: their seed.
    pub(super) fn start<P: Port>(
        teller: Teller<P>,
        epoch: Instant,
        flows: u64,
    ) -> io::Result<SlowPath> {
        let (orders, taken) = bounded(ORDERS_MAX);
        let (told, events) = bounded(EVENTS_MAX);
        let (used, heard) = bounded(USED_MAX);
        let bell = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let mut run = Run {
            slow: None,
            ends: Ends { all: Vec::new(), wire: Vec::with_capacity(WIRE_MAX), events: told },
            arena: Arena::new(),
            piece: vec![0; WIRE_MAX].into_boxed_slice(),
            epoll: epoll(&bell)?,
            bell: bell.clone(),
            orders: taken,
            used: heard,
            generation: 0,
            epoch,
            flows,
        };
        let thread = thread::Builder::new().name("router".to_owned());
        let thread = thread.spawn(move || run.run(&teller))?;
        let used = Used::new(used, bell.clone());
        Ok(SlowPath { orders, bell, thread: Some(thread), events, used })
    }

    fn tell(&self, order: Order) {
        // Fails when the thread died, which left a panic.
        let _ = self.orders.send(order);
        let _ = self.bell.write(1);
    }

    /// Goes on with other legs and routes, and says what is known of neighbours there. `None`: it
    /// has died.
    pub(super) fn swap(
        &self,
        swap: impl FnOnce(Sender<Arc<Resolved>>) -> Swap,
    ) -> Option<Arc<Resolved>> {
        let (done, answer) = bounded(1);
        self.tell(Order::Swap(Box::new(swap(done))));
        answer.recv().ok()
    }

    /// Asks the slow path something, or changes something there. `None`: there is none yet.
    pub(super) fn ask<R: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Slow) -> R + Send + 'static,
    ) -> Option<R> {
        let (to, answer) = bounded(1);
        self.tell(Order::Ask(Box::new(move |slow| drop(to.send(ask(slow))))));
        answer.recv().ok()
    }
}

impl Drop for SlowPath {
    fn drop(&mut self) {
        self.tell(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits for orders and nothing else.
fn epoll(bell: &EventFd) -> io::Result<Epoll> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(bell, EpollEvent::new(EpollFlags::EPOLLIN, ORDERS))?;
    Ok(epoll)
}

/// The thread.
struct Run {
    slow: Option<Slow>,
    ends: Ends,
    arena: Arena,
    /// Room for a part of a frame that is cut.
    piece: Box<[u8]>,
    epoll: Epoll,
    bell: Arc<EventFd>,
    orders: Receiver<Order>,
    used: Receiver<Hop>,
    generation: u64,
    epoch: Instant,
    /// The seed of the workers' flows.
    flows: u64,
}

/// The far ends of the legs, by their numbers.
struct Ends {
    all: Vec<Far>,
    wire: Vec<u8>,
    events: Sender<Event>,
}

/// One of them.
struct Far {
    own: Mac,
    rx: Option<DatagramRx>,
    tx: DatagramTx,
}

impl Run {
    fn run<P: Port>(&mut self, teller: &Teller<P>) {
        let mut last = self.now();
        loop {
            let ready = self.wait(last);
            // However long it slept: what follows is of now.
            let now = self.now();
            if now != last {
                last = now;
                self.slow.iter_mut().for_each(|slow| slow.tick(now, &mut self.ends));
            }
            if self.obey().is_none() {
                return;
            }
            for leg in ready {
                self.hear(leg);
            }
            let Some(slow) = &mut self.slow else { continue };
            for hop in self.used.try_iter().filter(|hop| hop.leg.index() < self.ends.all.len()) {
                slow.used(hop, now);
            }
            if let Some(neighbours) = slow.resolved() {
                teller.know(self.generation, &neighbours);
            }
        }
    }

    fn now(&self) -> limit::Tick {
        tick(self.epoch.elapsed())
    }

    /// Sleeps until a leg has something, an order came, or a timer ends behind the last tick.
    fn wait(&self, last: limit::Tick) -> Vec<usize> {
        let next = self.slow.as_ref().and_then(|slow| slow.next(last));
        let timeout = timeout(next, self.epoch.elapsed());
        let mut events = [EpollEvent::empty(); READY_MAX];
        let count = self.epoll.wait(&mut events, timeout).unwrap_or(0);
        let legs = events[..count].iter().map(EpollEvent::data).filter(|data| *data != ORDERS);
        legs.map(|data| data as usize).collect()
    }

    /// Takes all orders. `None`: it is to end.
    fn obey(&mut self) -> Option<()> {
        let _ = self.bell.read();
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Swap(swap) => self.swap(*swap),
                Order::Ask(ask) => {
                    if let Some(slow) = &mut self.slow {
                        ask(slow);
                    }
                }
                Order::Stop => {
                    self.slow.iter_mut().for_each(|slow| slow.cease(&mut self.ends));
                    return None;
                }
            }
        }
        Some(())
    }

    fn swap(&mut self, swap: Swap) {
        let Swap { generation, tables, links, advertise, ends, done } = swap;
        let mut old: Vec<_> = std::mem::take(&mut self.ends.all).into_iter().map(Some).collect();
        self.epoll = epoll(&self.bell).expect("another epoll in the place of the one there is");
        for (index, (end, link)) in ends.into_iter().zip(&links).enumerate() {
            let own = Mac::new(link.own.0);
            let far = match end {
                End::There(leg) => {
                    let far = old.get_mut(leg.index()).and_then(Option::take);
                    Far { own, ..far.expect("an end that is there, once") }
                }
                End::New(end) => {
                    let (mut rx, tx) = end.split().expect("a descriptor is shared");
                    Far { own, rx: rx.pop(), tx }
                }
            };
            let event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
            self.epoll.add(far.tx.fd(), event).expect("a descriptor that epoll has not got");
            self.ends.all.push(far);
        }
        self.generation = generation;
        match &mut self.slow {
            Some(slow) => slow.swap(tables, links),
            none => *none = Some(Slow::of_flows(tables, links, seed(), self.flows)),
        }
        let slow = self.slow.as_mut().expect("just put there");
        slow.advertise(&advertise, &mut self.ends);
        if let Some(neighbours) = slow.resolved() {
            // Nobody waits any more: that is his affair.
            let _ = done.send(neighbours);
        }
    }

    /// Hears a batch of frames from a leg.
    fn hear(&mut self, number: usize) {
        let now = self.now();
        let (Some(slow), Some(far)) = (&mut self.slow, self.ends.all.get_mut(number)) else {
            return;
        };
        // Its reader is taken out, for all ends may be written to meanwhile.
        let Some(mut rx) = far.rx.take() else { return };
        let fd = far.tx.clone();
        let alive = match rx.recv(&mut self.arena) {
            Ok(mut lent) => {
                for index in 0..lent.len() {
                    let frame = lent.frame(index);
                    let (head, meta) = (frame.offload(), meta(frame));
                    let leg = LegId(number as u16);
                    let octets = lent.octets_mut(index);
                    let wire = (leg, head, meta, octets);
                    if hear_one(slow, wire, now, &mut self.ends) == Outcome::Finish {
                        finish(
                            slow,
                            (leg, lent.frame(index)),
                            &mut self.piece,
                            now,
                            &mut self.ends,
                        );
                    }
                }
                true
            }
            Err(_) => false,
        };
        if alive {
            self.ends.all[number].rx = Some(rx);
        } else {
            // The port has left. Its leg will, when the control plane has seen it.
            let _ = self.epoll.delete(fd.fd().as_fd());
        }
    }
}

fn tick(elapsed: Duration) -> limit::Tick {
    limit::Tick(Tick::from_duration(elapsed).0)
}

/// For how long to sleep until a tick begins, or for ever.
fn timeout(next: Option<limit::Tick>, elapsed: Duration) -> EpollTimeout {
    let Some(next) = next else { return EpollTimeout::NONE };
    let ticks = u64::from(tick(elapsed).until(next));
    // A millisecond that has begun counts as a whole one: never so early that nothing is due.
    let begun = elapsed.as_millis() as u64 % Tick::MILLIS;
    let millis = (ticks * Tick::MILLIS).saturating_sub(begun);
    EpollTimeout::try_from(millis).unwrap_or(EpollTimeout::MAX)
}

/// Hands a frame to the slow path.
fn hear_one(
    slow: &mut Slow,
    (leg, offload, meta, octets): (LegId, Offload, PacketMeta, &mut [u8]),
    now: limit::Tick,
    ends: &mut Ends,
) -> Outcome {
    let lead = &offload.emit();
    let Some(heard) = heard(leg, lead, meta, octets) else { return Outcome::Done };
    slow.hear(heard, now, ends)
}

/// A frame, as the slow path hears it. `None`: it is none.
fn heard<'a>(
    leg: LegId,
    lead: &'a [u8],
    meta: PacketMeta,
    octets: &'a mut [u8],
) -> Option<Heard<'a>> {
    let header = Header::parse(octets)?;
    let (head, payload) = octets.split_at_mut(HEADER_LEN);
    let kind = u16::from_be_bytes([head[12], head[13]]);
    let from = LinkAddress(header.source.octets());
    Some(Heard { leg, from, kind, lead, payload, meta })
}

/// Completes and cuts a frame, and hands over each part.
fn finish(
    slow: &mut Slow,
    (leg, frame): (LegId, Frame<'_>),
    piece: &mut [u8],
    now: limit::Tick,
    ends: &mut Ends,
) {
    let lead = &Offload::NONE.emit();
    let mut hear = |slow: &mut Slow, piece: &mut [u8]| {
        let meta = meta(Frame::from_wire(piece));
        let octets = &mut piece[VNET_HEADER_LEN..];
        match heard(leg, lead, meta, octets) {
            Some(heard) => slow.hear_part(heard, now, ends),
            None => slow.unfinishable(),
        }
    };
    if frame.offload().gso_kind == 0 {
        match complete(frame, piece) {
            Some(len) => hear(slow, &mut piece[..len]),
            None => slow.unfinishable(),
        }
        return;
    }
    let segments = Segments::of(frame.offload(), frame.octets(), frame.packet_start());
    // A frame whose header lies is cut by nobody.
    let segments = segments.filter(|_| frame.wire().len() <= WIRE_MAX);
    let mut cut = 0;
    if let Some(mut segments) = segments {
        while let Some(len) = segments.cut(piece) {
            hear(slow, &mut piece[..len]);
            cut += 1;
        }
    }
    if cut == 0 {
        slow.unfinishable();
    }
}

impl Wire for Ends {
    fn send(&mut self, leg: LegId, lead: &[u8], to: LinkAddress, kind: u16, packet: &[u8]) -> bool {
        let Some(far) = self.all.get(leg.index()) else { return false };
        self.wire.clear();
        let none = Offload::NONE.emit();
        self.wire.extend(if lead.is_empty() { &none } else { lead });
        self.wire.extend(to.0);
        self.wire.extend(far.own.octets());
        self.wire.extend(kind.to_be_bytes());
        self.wire.extend(packet);
        // No room, or the port has left.
        write(far.tx.fd(), &self.wire).is_ok()
    }

    fn event(&mut self, event: Event) {
        let _ = self.events.try_send(event);
    }
}

/// A secret.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_ends_when_the_tick_has_begun_and_not_before() {
        let sleep = |next: Option<u32>, elapsed_micros| {
            let elapsed = Duration::from_micros(elapsed_micros);
            i32::from(timeout(next.map(limit::Tick), elapsed))
        };
        assert_eq!(sleep(None, 1_234_567), -1);
        // Tick 12 goes on until 1.3 s.
        assert_eq!(sleep(Some(13), 1_200_000), 100);
        assert_eq!(sleep(Some(13), 1_234_567), 66);
        assert_eq!(sleep(Some(13), 1_299_999), 1);
        assert_eq!(sleep(Some(20), 1_234_567), 766);
        // It has come meanwhile.
        assert_eq!([12, 5].map(|next| sleep(Some(next), 1_234_567)), [0, 0]);
        assert_eq!(sleep(Some(u32::MAX / 2), 0), i32::MAX);
    }
}
