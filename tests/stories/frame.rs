//! Reads the words that describe a frame.

use uswitch::{frame::Mac, offload::Offload};

/// Octets of an Ethernet header, and of a frame of which nothing else is said.
const HEADER_LEN: usize = 14;
const SIZE_DEFAULT: usize = 60;

/// What a line says about frames.
pub struct Frames {
    /// Each behind its virtio-net header.
    pub wires: Vec<Vec<u8>>,
    /// What later lines call them.
    pub name: Option<String>,
}

/// What the words say so far.
struct Draft {
    to: Mac,
    from: Mac,
    tags: Vec<u8>,
    kind: Vec<u8>,
    name: Option<String>,
    size: usize,
    /// Kind of segmentation and octets of payload.
    segments: Option<(u8, u16)>,
    count: usize,
    rising: bool,
}

pub fn parse(words: &[&str]) -> Result<Frames, String> {
    if let ["raw", octets @ ..] = words {
        let octets = octets.iter().map(|octet| hexadecimal(octet).and_then(|o| o.try_into().ok()));
        let octets: Option<Vec<u8>> = octets.collect();
        let octets = octets.ok_or("octets are two hexadecimal digits each")?;
        let wire = [&Offload::NONE.emit()[..], &octets].concat();
        return Ok(Frames { wires: vec![wire], name: None });
    }
    let [to, from, words @ ..] = words else {
        return Err("a frame is to somebody, from somebody".into());
    };
    let mut draft = Draft {
        to: address(to)?,
        from: address(from)?,
        tags: Vec::new(),
        kind: vec![0x88, 0xb5],
        name: None,
        size: SIZE_DEFAULT,
        segments: None,
        count: 1,
        rising: false,
    };
    for word in words {
        draft.read(word).ok_or_else(|| format!("`{word}` is no word of a frame"))?;
    }
    let wires = (0..draft.count).map(|number| draft.wire(number)).collect();
    Ok(Frames { wires, name: draft.name })
}

impl Draft {
    fn read(&mut self, word: &str) -> Option<()> {
        match word {
            "arp" => self.kind = vec![8, 6],
            "ipv4" => self.kind = vec![8, 0],
            "ipv6" => self.kind = vec![0x86, 0xdd],
            // 46 octets follow, to and from the bridges' service access point (IEEE 802.2).
            "llc" => self.kind = vec![0, 46, 0x42, 0x42, 3],
            "rising" => self.rising = true,
            _ => return self.read_value(word),
        }
        Some(())
    }

    fn read_value(&mut self, word: &str) -> Option<()> {
        if let Some(count) = word.strip_prefix('x') {
            self.count = count.parse().ok()?;
            return Some(());
        }
        if let Some(name) = word.strip_prefix('"') {
            self.name = Some(name.strip_suffix('"')?.into());
            return Some(());
        }
        match word.split_once('=')? {
            ("vlan", number) => self.tag([0x81, 0], number.parse().ok()?),
            ("svlan", number) => self.tag([0x88, 0xa8], number.parse().ok()?),
            ("priority", number) => self.tag([0x81, 0], number.parse::<u16>().ok()? << 13),
            ("type", digits) => self.kind = hexadecimal(digits)?.to_be_bytes().to_vec(),
            ("size", octets) => self.size = octets.parse().ok()?,
            ("tso", payload) => self.segments = Some((1, payload.parse().ok()?)),
            ("uso", payload) => self.segments = Some((5, payload.parse().ok()?)),
            _ => return None,
        }
        Some(())
    }

    fn tag(&mut self, protocol: [u8; 2], control: u16) {
        self.tags.extend(protocol);
        self.tags.extend(control.to_be_bytes());
    }

    /// The copy with this number, from 0.
    fn wire(&self, number: usize) -> Vec<u8> {
        let above = if self.rising { number as u64 } else { 0 };
        let from = Mac::from_bits(self.from.bits() + above);
        let addresses = [self.to.octets(), from.octets()].concat();
        let mut octets = [&addresses[..], &self.tags, &self.kind].concat();
        octets.extend(self.name.iter().flat_map(|name| name.bytes()));
        octets.resize(self.size, 0);
        let mut offload = Offload::NONE;
        if let Some((gso_kind, gso_size)) = self.segments {
            // Behind an IPv4 header without options; of a TCP header, five words.
            let transport = HEADER_LEN + self.tags.len() + 20;
            if let Some(offset) = octets.get_mut(transport + 12) {
                *offset = 5 << 4;
            }
            let (flags, csum_start) = (1, transport as u16);
            offload = Offload { flags, gso_kind, gso_size, csum_start, ..Offload::NONE };
        }
        [&offload.emit()[..], &octets].concat()
    }
}

/// `all`, `null`, or octets; `..` stands for the zeros that are missing.
pub fn address(word: &str) -> Result<Mac, String> {
    let mac = match word {
        "all" => Some(Mac::BROADCAST),
        "null" => Some(Mac::NULL),
        _ => {
            let written = word.split(':').filter(|octet| *octet != "..").count();
            let zeros = vec!["00"; 6usize.saturating_sub(written)].join(":");
            word.replace("..", &zeros).parse().ok()
        }
    };
    mac.ok_or_else(|| format!("`{word}` is no address"))
}

fn hexadecimal(digits: &str) -> Option<u16> {
    u16::from_str_radix(digits, 16).ok()
}
