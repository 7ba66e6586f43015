//! A frame in words, as a person types it. The grammar, of which each part may be left out:
//!
//! ```text
//! frame    = [addresses] [vlan] [vlan] [content] [length]     in any order, addresses first
//! addresses= MAC > MAC | MAC > broadcast                      left out: only with arp
//! vlan     = vlan NUMBER                                      two: the outer one first
//! content  = arp who-has IP [tell IP]
//!          | ip IP > IP [icmp echo | udp PORT | tcp PORT]     both of IPv4 or both of IPv6
//!          | type HEX
//! length   = length OCTETS                                    of the frame, 14 at least
//! ```
//!
//! What is left out is chosen: a type for experiments, 60 octets, from 02:00:00:00:00:01. Lengths
//! and checksums are right; who wants them wrong writes hexadecimal.

use std::net::{IpAddr, Ipv4Addr};

use etherparse::{IpNumber, PacketBuilder};
use uswitch::frame::{HEADER_LEN, Mac};

use super::FRAME_MAX;

/// Whose a frame is of which nobody says so.
const SOURCE: Mac = Mac::new([2, 0, 0, 0, 0, 1]);
/// Octets of the least frame on a wire, without frame check sequence (IEEE 802.3-2018, 4A.4.2).
const LENGTH_LEAST: usize = 60;
/// The Ethernet type for local experiments (IEEE 802-2014, 9.2.3).
const EXPERIMENT: u16 = 0x88b5;
/// An IP protocol for experiments (RFC 3692).
const PROTOCOL: IpNumber = IpNumber(253);
/// From which port UDP and TCP come: the first of the dynamic ones (RFC 6335, section 6).
const PORT: u16 = 49_152;
/// Hops that a packet has left.
const HOPS: u8 = 64;
/// Tags that can be said.
const TAGS_MAX: usize = 2;
/// The largest number of a VLAN tag, 12 bits.
const VLAN_MAX: u16 = 4095;

/// What is wrong with the words, and where.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    /// Characters before the culprit.
    pub(super) at: usize,
    /// Characters of it.
    pub(super) len: usize,
    pub(super) why: String,
}

/// What was said.
#[derive(Default)]
struct Said {
    source: Option<Mac>,
    destination: Option<Mac>,
    tags: Vec<u16>,
    content: Option<Content>,
    /// And which word said it.
    length: Option<(usize, usize)>,
}

enum Content {
    Type(u16),
    Arp { target: Ipv4Addr, sender: Ipv4Addr },
    Ip { source: IpAddr, destination: IpAddr, carries: Carries },
}

#[derive(Clone, Copy)]
enum Carries {
    Nothing,
    Echo,
    Udp(u16),
    Tcp(u16),
}

/// Reads words.
///
/// # Errors
///
/// The first that is not understood.
pub(super) fn read(text: &str) -> Result<Vec<u8>, Fault> {
    let mut words = Words::new(text);
    let mut said = Said::default();
    if words.list.is_empty() {
        return Err(words.fault(0, "nothing is said about the frame".to_owned()));
    }
    if words.peek().is_some_and(|word| word.contains(':') || words.is(1, ">")) {
        said.source = Some(words.mac(false)?);
        words.expect(">", "an address is followed by `>` and another, as in `MAC > broadcast`")?;
        said.destination = Some(words.mac(true)?);
    }
    while let Some(word) = words.peek() {
        let begin = words.next;
        words.next += 1;
        let content = match word {
            "vlan" if said.tags.len() == TAGS_MAX => {
                return Err(words.fault(begin, format!("{TAGS_MAX} tags can be said, no more")));
            }
            "vlan" => {
                said.tags.push(words.number("VLAN", 0, VLAN_MAX.into())? as u16);
                continue;
            }
            "length" => {
                let number = words.number("length", HEADER_LEN as u64, FRAME_MAX as u64)?;
                said.length = Some((number as usize, words.next - 1));
                continue;
            }
            "arp" => words.arp()?,
            "ip" => words.ip()?,
            "type" => words.ether_type()?,
            _ => {
                let there = "`MAC > MAC` in front, `vlan`, `arp`, `ip`, `type` and `length`";
                return Err(
                    words.fault(begin, format!("`{word}` is not understood; there are: {there}"))
                );
            }
        };
        if said.content.replace(content).is_some() {
            let why = "a frame has one content: `arp`, `ip` or `type`".to_owned();
            return Err(words.fault(begin, why));
        }
    }
    said.emit(&words)
}

/// The words, and how far they have been read.
struct Words<'a> {
    /// Each with the number of characters before it.
    list: Vec<(usize, &'a str)>,
    next: usize,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Words<'a> {
        let mut list = Vec::new();
        let mut rest = text;
        while let Some(begin) = rest.find(|c: char| !c.is_whitespace()) {
            rest = &rest[begin..];
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let before = text.len() - rest.len();
            list.push((text[..before].chars().count(), &rest[..end]));
            rest = &rest[end..];
        }
        Words { list, next: 0 }
    }

    fn peek(&self) -> Option<&'a str> {
        self.list.get(self.next).map(|(_, word)| *word)
    }

    /// Whether that many words on there is this one.
    fn is(&self, ahead: usize, wanted: &str) -> bool {
        self.list.get(self.next + ahead).is_some_and(|(_, word)| *word == wanted)
    }

    /// A fault at the word with this number, or behind the last one.
    fn fault(&self, index: usize, why: String) -> Fault {
        let end = self.list.last().map_or(0, |(at, word)| at + word.chars().count() + 1);
        let (at, len) =
            self.list.get(index).map_or((end, 1), |(at, word)| (*at, word.chars().count()));
        Fault { at, len, why }
    }

    /// The next word, which has to be there.
    fn take(&mut self, what: &str) -> Result<&'a str, Fault> {
        let Some(word) = self.peek() else {
            return Err(self.fault(self.next, format!("{what} is missing")));
        };
        self.next += 1;
        Ok(word)
    }

    fn expect(&mut self, wanted: &str, why: &str) -> Result<(), Fault> {
        if !self.is(0, wanted) {
            return Err(self.fault(self.next, why.to_owned()));
        }
        self.next += 1;
        Ok(())
    }

    fn mac(&mut self, group: bool) -> Result<Mac, Fault> {
        let word = self.take("an address")?;
        if group && word == "broadcast" {
            return Ok(Mac::BROADCAST);
        }
        word.parse().map_err(|error| self.fault(self.next - 1, format!("`{word}`: {error}")))
    }

    fn number(&mut self, what: &str, least: u64, most: u64) -> Result<u64, Fault> {
        let word = self.take(&format!("the {what}'s number"))?;
        let number = word.parse().ok().filter(|number| (least..=most).contains(number));
        let why = format!("`{word}`: a {what} is a number from {least} to {most}");
        number.ok_or_else(|| self.fault(self.next - 1, why))
    }

    fn ip_address<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, Fault> {
        let word = self.take(what)?;
        let why = format!("`{word}` is not {what}, as in 10.0.0.2");
        word.parse().map_err(|_| self.fault(self.next - 1, why))
    }

    fn arp(&mut self) -> Result<Content, Fault> {
        self.expect("who-has", "`arp` goes on with `who-has`, as in `arp who-has 10.0.0.2`")?;
        let target = self.ip_address("an IPv4 address")?;
        let mut sender = Ipv4Addr::UNSPECIFIED;
        if self.is(0, "tell") {
            self.next += 1;
            sender = self.ip_address("an IPv4 address")?;
        }
        Ok(Content::Arp { target, sender })
    }

    fn ip(&mut self) -> Result<Content, Fault> {
        let source: IpAddr = self.ip_address("an IP address")?;
        self.expect(">", "`ip` goes on with two addresses, as in `ip 10.0.0.1 > 10.0.0.2`")?;
        let destination: IpAddr = self.ip_address("an IP address")?;
        if source.is_ipv4() != destination.is_ipv4() {
            let why = "one address is of IPv4 and the other of IPv6".to_owned();
            return Err(self.fault(self.next - 1, why));
        }
        let carries = match self.peek() {
            Some("icmp") => {
                self.next += 1;
                self.expect("echo", "`icmp` goes on with `echo`: no other is made here")?;
                Carries::Echo
            }
            Some(protocol @ ("udp" | "tcp")) => {
                self.next += 1;
                let port = self.number("port", 0, u16::MAX.into())? as u16;
                if protocol == "udp" { Carries::Udp(port) } else { Carries::Tcp(port) }
            }
            _ => Carries::Nothing,
        };
        Ok(Content::Ip { source, destination, carries })
    }

    fn ether_type(&mut self) -> Result<Content, Fault> {
        let word = self.take("a type")?;
        let digits = word.strip_prefix("0x").unwrap_or(word);
        let plain = digits.len() <= 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u16::from_str_radix(digits, 16).ok().filter(|_| plain);
        let why = format!("`{word}`: a type is a hexadecimal number, as in 0x88cc");
        number.map(Content::Type).ok_or_else(|| self.fault(self.next - 1, why))
    }
}

impl Said {
    fn emit(&self, words: &Words<'_>) -> Result<Vec<u8>, Fault> {
        let arp = matches!(self.content, Some(Content::Arp { .. }));
        let destination = self.destination.or(arp.then_some(Mac::BROADCAST));
        let Some(destination) = destination else {
            let why = "from whom and to whom? `MAC > MAC` stands in front, or `MAC > broadcast`";
            return Err(words.fault(0, why.to_owned()));
        };
        let source = self.source.unwrap_or(SOURCE);
        let least = self.frame(source, destination, 0);
        let Some((length, word)) = self.length else {
            let mut frame = least;
            frame.resize(frame.len().max(LENGTH_LEAST), 0);
            return Ok(frame);
        };
        let Some(payload) = length.checked_sub(least.len()) else {
            let why = format!("its headers alone have {} octets", least.len());
            return Err(words.fault(word, why));
        };
        Ok(self.frame(source, destination, payload))
    }

    /// The frame with so many octets behind all headers.
    fn frame(&self, source: Mac, destination: Mac, payload: usize) -> Vec<u8> {
        let mut frame = [destination.octets(), source.octets()].concat();
        for (index, tag) in self.tags.iter().enumerate() {
            // IEEE 802.1Q-2018, table 9-1: of two the outer one is a provider's.
            let outer = index + 1 < self.tags.len();
            frame.extend(if outer { [0x88, 0xa8] } else { [0x81, 0x00] });
            frame.extend(tag.to_be_bytes());
        }
        match &self.content {
            Some(Content::Arp { target, sender }) => {
                frame.extend([8, 6]);
                // RFC 826: Ethernet, IPv4, the lengths of their addresses, request.
                frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
                frame.extend([&source.octets()[..], &sender.octets(), &[0; 6]].concat());
                frame.extend(target.octets());
            }
            Some(Content::Ip { source, destination, carries }) => {
                frame.extend(if source.is_ipv4() { [8, 0] } else { [0x86, 0xdd] });
                frame.extend(packet(*source, *destination, *carries, &vec![0; payload]));
                return frame;
            }
            Some(Content::Type(number)) => frame.extend(number.to_be_bytes()),
            None => frame.extend(EXPERIMENT.to_be_bytes()),
        }
        frame.resize(frame.len() + payload, 0);
        frame
    }
}

fn packet(source: IpAddr, destination: IpAddr, carries: Carries, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let (builder, echo_v6) = match (source, destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            (PacketBuilder::ipv4(from.octets(), to.octets(), HOPS), false)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            (PacketBuilder::ipv6(from.octets(), to.octets(), HOPS), true)
        }
        _ => unreachable!("both are of one family: it was checked"),
    };
    let written = match carries {
        Carries::Nothing => builder.write(&mut packet, PROTOCOL, payload),
        Carries::Echo if echo_v6 => builder.icmpv6_echo_request(1, 1).write(&mut packet, payload),
        Carries::Echo => builder.icmpv4_echo_request(1, 1).write(&mut packet, payload),
        Carries::Udp(port) => builder.udp(PORT, port).write(&mut packet, payload),
        Carries::Tcp(port) => builder.tcp(PORT, port, 0, 64_240).syn().write(&mut packet, payload),
    };
    written.expect("a packet of less than 65,536 octets is written to memory");
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn hex(text: &str) -> String {
        let frame = read(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
        frame.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    #[test]
    fn arp_needs_no_addresses_and_takes_them() {
        let frame = hex("arp who-has 10.0.0.2 tell 10.0.0.1");
        let octets = "ffffffffffff020000000001080600010800060400010200000000010a000001\
                      0000000000000a000002";
        assert_eq!(frame, format!("{octets:0<120}"));
        let frame = hex("02:00:00:00:00:0a > 02:00:00:00:00:0b arp who-has 10.0.0.2");
        assert!(frame.starts_with("02000000000b02000000000a0806"), "{frame}");
        assert!(frame.contains("02000000000a00000000"), "nobody is told: {frame}");
    }

    #[test]
    fn addresses_tags_and_length_are_as_they_are_said() {
        let frame = hex("02:0:0:0:0:1 > broadcast vlan 10");
        assert!(frame.starts_with("ffffffffffff0200000000018100000a88b5") && frame.len() == 120);
        let frame = hex("02:0:0:0:0:1 > broadcast vlan 4095 vlan 0 length 70 type 0x88cc");
        assert!(frame.starts_with("ffffffffffff02000000000188a80fff8100000088cc"), "{frame}");
        assert_eq!(frame.len(), 140);
        assert_eq!(hex("02:0:0:0:0:1 > broadcast length 14").len(), 28);
    }

    #[test]
    fn packets_have_the_lengths_and_checksums_that_they_say() {
        let pair = "02:00:00:00:00:01 > 02:00:00:00:00:02";
        for content in ["icmp echo", "udp 53", "tcp 80", ""] {
            for ends in ["10.0.0.1 > 10.0.0.2", "fd00::1 > fd00::2"] {
                for length in ["", "length 1514", "length 101"] {
                    let text = format!("{pair} ip {ends} {content} {length}");
                    let frame = read(&text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
                    let wanted = length.split(' ').nth(1).map(|number| number.parse().unwrap());
                    assert!(wanted.is_none_or(|wanted: usize| wanted == frame.len()), "{text}");
                    let told = super::super::describe::describe(&frame).join("\n");
                    assert!(!told.contains("wrong") && !told.contains("cannot"), "{text}: {told}");
                    assert!(
                        content.is_empty() || told.contains("checksum right"),
                        "{text}: {told}"
                    );
                }
            }
        }
    }

    #[test]
    fn first_word_that_is_not_understood_is_shown() {
        for (text, at, len, words) in [
            ("", 0, 1, "nothing is said"),
            ("  hello", 2, 5, "`hello` is not understood"),
            ("02:00 > broadcast", 0, 5, "six octets"),
            ("02:00:00:00:00:01", 18, 1, "followed by `>`"),
            ("02:00:00:00:00:01 > ", 20, 1, "an address is missing"),
            ("02:00:00:00:00:01 > x", 20, 1, "six octets"),
            ("broadcast > 02:00:00:00:00:01", 0, 9, "six octets"),
            ("vlan 1", 0, 4, "from whom and to whom?"),
            ("arp", 4, 1, "`who-has`"),
            ("arp who-has x", 12, 1, "not an IPv4 address"),
            ("arp who-has fd00::1", 12, 7, "not an IPv4 address"),
            ("arp who-has 10.0.0.2 tell", 26, 1, "is missing"),
            ("arp who-has 10.0.0.2 vlan 4096", 26, 4, "from 0 to 4095"),
            ("arp who-has 10.0.0.2 vlan 1 vlan 2 vlan 3", 35, 4, "2 tags"),
            ("arp who-has 10.0.0.2 type 1", 21, 4, "one content"),
            ("arp who-has 10.0.0.2 length 41", 28, 2, "headers alone have 42"),
            ("arp who-has 10.0.0.2 length 13", 28, 2, "from 14 to 30000"),
            ("arp who-has 10.0.0.2 length 30001", 28, 5, "from 14 to 30000"),
            ("2:0:0:0:0:1 > 2:0:0:0:0:2 ip 10.0.0.1 > fd00::1", 40, 7, "of IPv6"),
            ("2:0:0:0:0:1 > 2:0:0:0:0:2 ip 10.0.0.1", 38, 1, "two addresses"),
            ("2:0:0:0:0:1 > 2:0:0:0:0:2 ip 1.1.1.1 > 1.1.1.2 udp x", 51, 1, "0 to 65535"),
            ("2:0:0:0:0:1 > 2:0:0:0:0:2 ip 1.1.1.1 > 1.1.1.2 icmp", 52, 1, "`echo`"),
            ("2:0:0:0:0:1 > 2:0:0:0:0:2 type 0x12345", 31, 7, "hexadecimal"),
            ("2:0:0:0:0:1 > 2:0:0:0:0:2 type +1", 31, 2, "hexadecimal"),
            ("é é", 0, 1, "not understood"),
        ] {
            let fault = read(text).expect_err(text);
            assert_eq!((fault.at, fault.len), (at, len), "{text}: {}", fault.why);
            assert!(fault.why.contains(words), "{text}: {}", fault.why);
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_typed_is_a_frame_or_a_fault(text in "[ -~é>]{0,40}", words in
            proptest::collection::vec("(vlan|arp|who-has|tell|ip|>|udp|tcp|icmp|echo|length|type|\
            broadcast|10.0.0.1|fd00::1|2:0:0:0:0:1|[0-9]{1,6})", 0..12)
        ) {
            for text in [text, words.join(" ")] {
                if let Ok(frame) = read(&text) {
                    proptest::prop_assert!((HEADER_LEN..=FRAME_MAX).contains(&frame.len()));
                }
            }
        }
    }
}
