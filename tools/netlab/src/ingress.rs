//! What comes in by a link, dropped before the host's own stack sees it.
//!
//! A switch that reads a link by a packet socket shares it with the host: that would answer ARP
//! and IPv6 on it, and forward. Packet sockets get a frame before the classifiers at the link's
//! ingress do (__netif_receive_skb_core() in net/core/dev.c), so a filter there that drops all
//! makes the host deaf and takes nothing from the socket.
//!
//! The filter is `bpf` in direct-action mode with two instructions of classic BPF: the second
//! returns TC_ACT_SHOT, the first is a note (below). It hangs at the ingress of a `clsact` qdisc,
//! which is made if the link has neither that nor an `ingress` qdisc. The kernel keeps both when
//! the process that made them is killed: so ours are known by handle and program, and a later
//! call takes them over.

use std::io;

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL, Nla};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{
        TcAttribute, TcBpfFlags, TcFilterBpf, TcFilterBpfOption, TcHandle, TcMessage, TcOption,
        TcU32OptionFlags,
    },
};

use crate::{
    Links,
    error::{errno, refused, sentence},
};

/// Says that a link drops what comes in, and how that is undone: [`Links::restore_ingress`]. The
/// kernel goes on dropping until then, even when this value or the process is gone. Two of them
/// for one link are the same filter.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the link is deaf until its ingress is restored"]
pub struct IngressDrop {
    /// The number of the link, for it may be renamed meanwhile.
    index: u32,
    /// The qdisc was made for this filter, and goes with it.
    made_qdisc: bool,
}

impl Links {
    /// Drops everything that comes in by a link before the host's own stack sees it. Packet
    /// sockets still do. A filter of ours that a killed process has left is taken over. A link
    /// that moves to another namespace loses it.
    ///
    /// # Errors
    ///
    /// There is no such link, the kernel has no `clsact` or `bpf`, or somebody else's filter
    /// stands in the first place, where ours has to be.
    pub fn drop_ingress(&mut self, link: &str) -> io::Result<IngressDrop> {
        let index = self.expect(link)?.index;
        let failed = |error| sentence(format!("link `{link}` does not drop what comes in"), error);
        let made_qdisc = self.add_clsact(index).map_err(failed)?;
        let added = self.add_filter(index, FIRST, HANDLE, program(made_qdisc));
        let Err(error) = added else { return Ok(IngressDrop { index, made_qdisc }) };
        if errno(&error) == Some(libc::EEXIST) {
            let found = self.filter_program(index).map_err(failed)?;
            let ours = [false, true].into_iter().find(|made| found == Some(program(*made)));
            return match ours {
                Some(made_qdisc) => Ok(IngressDrop { index, made_qdisc }),
                None => Err(failed(refused(io::ErrorKind::AlreadyExists, TAKEN))),
            };
        }
        if made_qdisc {
            // As it was before. The first error is the one to tell.
            let _ = self.delete_clsact(index);
        }
        Err(match errno(&error) {
            // Another kind of filter, or one for another protocol, in the same place.
            Some(libc::EINVAL) => failed(sentence(TAKEN, error)),
            _ => failed(error),
        })
    }

    /// Gives the host its ears back: takes the filter away, and the qdisc as well if it was made
    /// for it and has no other filter. What is gone already, or the whole link, is no error.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn restore_ingress(&mut self, drop: IngressDrop) -> io::Result<()> {
        let failed = |error| sentence("a link's ingress was not restored", error);
        let ours = self.filter_program(drop.index).map_err(failed)?;
        if ours == Some(program(drop.made_qdisc)) {
            let message = filter_message(drop.index, FIRST, HANDLE);
            let deleted = self.netlink.change(RouteNetlinkMessage::DelTrafficFilter(message), 0);
            absent_is_fine(deleted).map_err(failed)?;
        }
        // A list that cannot be read has something of somebody else in it.
        let empty = |links: &mut Links, block| {
            let mut message = TcMessage::with_index(drop.index as i32);
            message.header.parent = block;
            let listed = links.netlink.dump(RouteNetlinkMessage::GetTrafficFilter(message));
            listed.is_ok_and(|filters| filters.is_empty())
        };
        if drop.made_qdisc && empty(self, INGRESS) && empty(self, EGRESS) {
            absent_is_fine(self.delete_clsact(drop.index)).map_err(failed)?;
        }
        Ok(())
    }

    /// Makes a `clsact` qdisc. `false`: there is one, or an `ingress`, which has the same place.
    fn add_clsact(&mut self, index: u32) -> io::Result<bool> {
        let message = RouteNetlinkMessage::NewQueueDiscipline(clsact_message(index));
        match self.netlink.change(message, NLM_F_CREATE | NLM_F_EXCL) {
            Ok(()) => Ok(true),
            Err(error) if errno(&error) == Some(libc::EEXIST) => Ok(false),
            Err(error) => Err(sentence("it got no `clsact` qdisc", error)),
        }
    }

    fn delete_clsact(&mut self, index: u32) -> io::Result<()> {
        self.netlink.change(RouteNetlinkMessage::DelQueueDiscipline(clsact_message(index)), 0)
    }

    fn add_filter(
        &mut self,
        index: u32,
        preference: u16,
        handle: u32,
        program: Vec<u8>,
    ) -> io::Result<()> {
        let count = (program.len() / INSTRUCTION_LEN) as u16;
        let options = [
            TcFilterBpfOption::Flags(TcBpfFlags::DirectAction),
            // A card that dropped by itself would take the frames from the packet socket too.
            TcFilterBpfOption::FlagsGeneric(TcU32OptionFlags::SkipHw),
            other(TCA_BPF_OPS_LEN, count.to_ne_bytes().to_vec()),
            other(TCA_BPF_OPS, program),
        ];
        let mut message = filter_message(index, preference, handle);
        message.attributes.push(TcAttribute::Options(options.map(TcOption::Bpf).to_vec()));
        let message = RouteNetlinkMessage::NewTrafficFilter(message);
        self.netlink.change(message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// The program of the filter in our place. `None`: there is no filter there, or no link.
    fn filter_program(&mut self, index: u32) -> io::Result<Option<Vec<u8>>> {
        let message = filter_message(index, FIRST, HANDLE);
        let answer = match self.netlink.get(RouteNetlinkMessage::GetTrafficFilter(message)) {
            Err(error) if is_absent(&error) => return Ok(None),
            answer => answer?,
        };
        let RouteNetlinkMessage::NewTrafficFilter(message) = answer else { return Ok(None) };
        let options = message.attributes.into_iter().filter_map(|attribute| match attribute {
            TcAttribute::Options(options) => Some(options),
            _ => None,
        });
        let mut programs = options.flatten().filter_map(|option| match option {
            TcOption::Bpf(TcFilterBpfOption::Other(nla)) => {
                (nla.kind() == TCA_BPF_OPS).then(|| {
                    let mut octets = vec![0; nla.value_len()];
                    nla.emit_value(&mut octets);
                    octets
                })
            }
            _ => None,
        });
        Ok(programs.next())
    }
}

/// The two instructions (`struct sock_filter` in linux/filter.h). The first has no effect: it
/// loads a number that says whether the qdisc was made for the filter, so that whoever takes the
/// filter over knows whether the qdisc has to go as well.
fn program(made_qdisc: bool) -> Vec<u8> {
    let note = instruction((libc::BPF_LD | libc::BPF_IMM) as u16, u32::from(made_qdisc));
    let shot = instruction((libc::BPF_RET | libc::BPF_K) as u16, TC_ACT_SHOT);
    [note, shot].concat()
}

fn instruction(code: u16, k: u32) -> [u8; INSTRUCTION_LEN] {
    let ([c0, c1], [k0, k1, k2, k3]) = (code.to_ne_bytes(), k.to_ne_bytes());
    [c0, c1, 0, 0, k0, k1, k2, k3]
}

fn clsact_message(index: u32) -> TcMessage {
    let mut message = TcMessage::with_index(index as i32);
    message.header.parent = TcHandle::CLSACT;
    message.header.handle = TcHandle { major: u16::MAX, minor: 0 };
    message.attributes.push(TcAttribute::Kind("clsact".to_string()));
    message
}

/// Names a filter at the ingress: its place, and all protocols.
fn filter_message(index: u32, preference: u16, handle: u32) -> TcMessage {
    let mut message = TcMessage::with_index(index as i32);
    message.header.parent = INGRESS;
    message.header.handle = TcHandle::from(handle);
    let protocol = (libc::ETH_P_ALL as u16).to_be();
    message.header.info = u32::from(preference) << 16 | u32::from(protocol);
    message.attributes.push(TcAttribute::Kind(TcFilterBpf::KIND.to_string()));
    message
}

fn other(kind: u16, value: Vec<u8>) -> TcFilterBpfOption {
    TcFilterBpfOption::Other(DefaultNla::new(kind, value))
}

/// ENOENT: no such filter. EINVAL: no qdisc, or another kind of filter. ENODEV: no such link.
fn is_absent(error: &io::Error) -> bool {
    matches!(errno(error), Some(libc::ENOENT | libc::EINVAL | libc::ENODEV))
}

fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if is_absent(&error) => Ok(()),
        outcome => outcome,
    }
}

const TAKEN: &str = "somebody else's filter stands in the first place of its ingress; `tc filter \
                     show dev LINK ingress` shows it";

/// The least preference, and so the first that is asked.
const FIRST: u16 = 1;

/// The handle by which our filter is known: "uswi".
const HANDLE: u32 = u32::from_be_bytes(*b"uswi");

/// TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS) of linux/pkt_sched.h.
const INGRESS: TcHandle = TcHandle { major: u16::MAX, minor: TcHandle::MIN_INGRESS };
const EGRESS: TcHandle = TcHandle { major: u16::MAX, minor: TcHandle::MIN_EGRESS };

/// linux/pkt_cls.h, also below.
const TC_ACT_SHOT: u32 = 2;
const TCA_BPF_OPS_LEN: u16 = 4;
const TCA_BPF_OPS: u16 = 5;

/// Octets of `struct sock_filter`.
const INSTRUCTION_LEN: usize = 8;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        FrameSocket, Namespace,
        test::{self, PATIENCE},
    };

    /// An answer that has not come by then was lost.
    const LOST_AFTER: Duration = Duration::from_secs(2);

    /// Returns what changes nothing: go on to the next filter (TC_ACT_UNSPEC).
    fn harmless() -> Vec<u8> {
        instruction((libc::BPF_RET | libc::BPF_K) as u16, u32::MAX).to_vec()
    }

    /// Two hosts, `a` and `b`. Whether `b` answers is told without waiting for what never comes:
    /// answers come in the order of the questions, each of which has a number.
    struct Hosts {
        /// Keeps the namespace of `a`.
        _one: Namespace,
        other: Namespace,
        near: FrameSocket,
        far: FrameSocket,
        macs: [[u8; 6]; 2],
        asked: u8,
    }

    impl Hosts {
        fn new() -> Hosts {
            let (one, other) = test::pair();
            let mac = |host: &Namespace, link| host.links().unwrap().expect(link).unwrap().mac;
            let macs = [mac(&one, "a"), mac(&other, "b")].map(|mac| mac.unwrap());
            let near = FrameSocket::open(&one, "a").unwrap();
            let far = FrameSocket::open(&other, "b").unwrap();
            Hosts { _one: one, other, near, far, macs, asked: 0 }
        }

        /// Asks `b` by ARP and by an ICMP echo, as 10.0.0.100 and so on, and sees both arrive at
        /// its packet socket.
        fn ask(&mut self) -> u8 {
            self.asked += 1;
            let from = [10, 0, 0, 100 + self.asked];
            for frame in [self.arp_request(from), self.echo_request(from)] {
                test::send(&self.near, &frame);
                let seen = self.far.recv_matching(PATIENCE, |got| got == frame).unwrap();
                assert!(seen.is_some(), "the packet socket sees it");
            }
            self.asked
        }

        /// Asks, and sees the answers come before any to an earlier question.
        fn expect_answers_from_now_on(&mut self) {
            let first = self.asked + 1;
            test::eventually("both questions are answered", || {
                let number = self.ask();
                let to_us = |got: &[u8]| got[12..14] == [8, 6] || got[12..14] == [8, 0];
                let mut left = 2;
                while left > 0 {
                    let Some(got) = self.near.recv_matching(LOST_AFTER, to_us).unwrap() else {
                        return false;
                    };
                    let to = match got[12..14] {
                        // An ARP reply, and an echo reply.
                        [8, 6] if got[21] == 2 => got[41],
                        [8, 0] if got[34] == 0 => got[33],
                        _ => continue,
                    };
                    assert!(to >= 100 + first, "nothing was answered while it was deaf");
                    left -= u8::from(to == 100 + number);
                }
                true
            });
        }

        fn arp_request(&self, from: [u8; 4]) -> Vec<u8> {
            let header = [&[0xff; 6], &self.macs[0][..], &[8, 6]].concat();
            let request = [0, 1, 8, 0, 6, 4, 0, 1];
            [&header[..], &request, &self.macs[0], &from, &[0; 6], &[10, 0, 0, 2]].concat()
        }

        fn echo_request(&self, from: [u8; 4]) -> Vec<u8> {
            let header = [&self.macs[1][..], &self.macs[0][..], &[8, 0]].concat();
            let mut packet = vec![0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0, 0];
            packet.extend([from, [10, 0, 0, 2]].concat());
            let sum = checksum(&packet).to_be_bytes();
            packet[10..12].copy_from_slice(&sum);
            // ICMP type 8, its checksum, no identifier and no number.
            [&header[..], &packet, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]].concat()
        }
    }

    /// RFC 1071.
    fn checksum(octets: &[u8]) -> u16 {
        let words = octets.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let sum: u32 = words.sum();
        !((sum & 0xffff) + (sum >> 16)) as u16
    }

    fn qdisc_is_there(links: &mut Links, link: &str) -> bool {
        let index = links.expect(link).unwrap().index;
        let made = links.add_clsact(index).unwrap();
        if made {
            links.delete_clsact(index).unwrap();
        }
        !made
    }

    #[test]
    fn host_is_deaf_while_a_packet_socket_sees_each_frame() {
        test::root!();
        let mut hosts = Hosts::new();
        hosts.expect_answers_from_now_on();
        let mut links = hosts.other.links().unwrap();
        let before = links.expect("b").unwrap().counters;
        let drop = links.drop_ingress("b").unwrap();
        assert!(drop.made_qdisc);
        hosts.ask();
        let after = links.expect("b").unwrap().counters;
        assert!(after.rx_packets >= before.rx_packets + 2);
        assert_eq!(after.rx_dropped, before.rx_dropped, "it is no loss of the link");

        links.rename("b", "c").unwrap();
        links.restore_ingress(drop).unwrap();
        hosts.expect_answers_from_now_on();
        assert!(!qdisc_is_there(&mut links, "c"));
    }

    #[test]
    fn qdisc_and_filters_of_others_survive() {
        test::root!();
        let mut hosts = Hosts::new();
        let mut links = hosts.other.links().unwrap();
        let index = links.expect("b").unwrap().index;
        let second = |links: &mut Links| links.add_filter(index, 2, 7, harmless());
        let taken = |outcome: io::Result<()>| errno(&outcome.unwrap_err()) == Some(libc::EEXIST);

        assert!(links.add_clsact(index).unwrap());
        let drop = links.drop_ingress("b").unwrap();
        hosts.ask();
        links.restore_ingress(drop).unwrap();
        hosts.expect_answers_from_now_on();
        assert!(qdisc_is_there(&mut links, "b"), "it was there before");

        second(&mut links).unwrap();
        let drop = links.drop_ingress("b").unwrap();
        hosts.ask();
        links.restore_ingress(drop).unwrap();
        hosts.expect_answers_from_now_on();
        assert!(taken(second(&mut links)));
        links.delete_clsact(index).unwrap();

        // Ours, but somebody has put something into it since.
        let drop = links.drop_ingress("b").unwrap();
        second(&mut links).unwrap();
        links.restore_ingress(drop).unwrap();
        hosts.expect_answers_from_now_on();
        assert!(taken(second(&mut links)));
    }

    #[test]
    fn filter_of_a_killed_process_is_taken_over_with_its_qdisc() {
        test::root!();
        let mut hosts = Hosts::new();
        let mut links = hosts.other.links().unwrap();
        let forgotten = links.drop_ingress("b").unwrap();
        hosts.ask();
        let drop = hosts.other.links().unwrap().drop_ingress("b").unwrap();
        assert_eq!(drop, forgotten);
        hosts.ask();
        links.restore_ingress(drop).unwrap();
        hosts.expect_answers_from_now_on();
        assert!(!qdisc_is_there(&mut links, "b"));
        links.restore_ingress(forgotten).unwrap();

        let gone = links.drop_ingress("b").unwrap();
        links.delete("b").unwrap();
        links.restore_ingress(gone).unwrap();
    }

    #[test]
    fn place_that_is_taken_is_told_and_left_alone() {
        test::root!();
        let mut hosts = Hosts::new();
        let mut links = hosts.other.links().unwrap();
        let index = links.expect("b").unwrap().index;
        assert!(links.add_clsact(index).unwrap());
        links.add_filter(index, FIRST, HANDLE, harmless()).unwrap();
        let error = links.drop_ingress("b").unwrap_err();
        assert_eq!(error.to_string(), "link `b` does not drop what comes in");
        assert!(crate::explain(&error).contains("somebody else's filter"), "{error:?}");
        assert_eq!(links.filter_program(index).unwrap(), Some(harmless()));
        hosts.expect_answers_from_now_on();
        let error = links.drop_ingress("nobody").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
