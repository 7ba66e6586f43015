//! Frames to be cut, for tests: as a host with all offloads hands them out.

/// What a frame is to be like.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Where it goes.
    pub to: [u8; 6],
    /// Where it comes from.
    pub from: [u8; 6],
    /// VLAN tags in front of the packet: two are an S-tag and a C-tag.
    pub tags: usize,
    /// IPv6 and not IPv4.
    pub v6: bool,
    /// UDP and not TCP.
    pub udp: bool,
    /// Words of IPv4 options, 10 at the most, or IPv6 extension headers.
    pub options: u8,
    /// Words of TCP options, 10 at the most.
    pub tcp_options: u8,
    /// The flags of TCP.
    pub flags: u8,
    /// The sequence number of TCP.
    pub sequence: u32,
    /// The identification of IPv4.
    pub id: u16,
    /// What is in it.
    pub payload: Vec<u8>,
    /// How much of it in one segment; none: it is whole, and its checksum is to be completed.
    pub size: Option<u16>,
}

impl Sample {
    /// So much TCP over IPv4, with timestamps, in segments of 1448 octets.
    pub fn tcp(payload: usize) -> Sample {
        Sample {
            to: [2, 0, 0, 0, 0, 0xb],
            from: [2, 0, 0, 0, 0, 0xa],
            tags: 0,
            v6: false,
            udp: false,
            options: 0,
            tcp_options: 3,
            flags: 0x18,
            sequence: 0xffff_f000,
            id: 0xfff0,
            payload: (0..payload).map(|at| (at * 7 + at / 251) as u8).collect(),
            size: Some(1448),
        }
    }

    /// The frame behind its virtio-net header.
    pub fn wire(&self) -> Vec<u8> {
        let head = self.head();
        let transport = self.transport();
        let (start, offset) = (head.len(), if self.udp { 6 } else { 16 });
        let kind = match self.size {
            None => 0,
            Some(_) if self.udp => 5,
            Some(_) => 1 + 3 * u8::from(self.v6) + (self.flags & 0x80),
        };
        let mut vnet = vec![1, kind];
        let hint = start + transport.len();
        for number in [hint, usize::from(self.size.unwrap_or(0)), start, offset] {
            vnet.extend((number as u16).to_le_bytes());
        }
        [vnet, head, transport, self.payload.clone()].concat()
    }

    /// Ethernet header, tags, and the packet's own header.
    fn head(&self) -> Vec<u8> {
        let tags: &[&[u8]] = match self.tags {
            0 => &[],
            1 => &[&[0x81, 0, 0x60, 5]],
            2 => &[&[0x88, 0xa8, 0, 5], &[0x81, 0, 0, 6]],
            _ => &[&[0x88, 0xa8, 0, 5], &[0x81, 0, 0, 6], &[0x81, 0, 0, 7]],
        };
        let ethertype: [u8; 2] = if self.v6 { [0x86, 0xdd] } else { [8, 0] };
        let mut head = [&self.to[..], &self.from, &tags.concat(), &ethertype].concat();
        let protocol = if self.udp { 17 } else { 6 };
        let len = self.transport().len() + self.payload.len();
        if self.v6 {
            let extensions = usize::from(self.options);
            let kinds: Vec<u8> = (0..extensions).map(|at| if at == 0 { 0 } else { 60 }).collect();
            let next = |at: usize| kinds.get(at).copied().unwrap_or(protocol);
            let [high, low] = ((extensions * 8 + len) as u16).to_be_bytes();
            head.extend([0x60, 0, 0, 1, high, low, next(0), 64]);
            head.extend(self.addresses());
            for at in 0..extensions {
                // Six octets of padding (RFC 8200, 4.2).
                head.extend([next(at + 1), 0, 1, 4, 0, 0, 0, 0]);
            }
        } else {
            let words = 5 + self.options;
            let mut header = vec![0x40 | words, 0];
            header.extend(((usize::from(words) * 4 + len) as u16).to_be_bytes());
            header.extend(self.id.to_be_bytes());
            header.extend([0x40, 0, 64, protocol, 0, 0]);
            header.extend(self.addresses());
            header.extend(vec![1; usize::from(self.options) * 4]);
            let checksum = !sum(&header);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            head.extend(header);
        }
        head
    }

    /// The header of TCP or UDP, with the sum of the pseudo header in place of its checksum.
    fn transport(&self) -> Vec<u8> {
        let words = 5 + self.tcp_options;
        let header = if self.udp { 8 } else { usize::from(words) * 4 };
        let len = ((header + self.payload.len()) as u16).to_be_bytes();
        let protocol = if self.udp { 17 } else { 6 };
        let pseudo = [&self.addresses()[..], &len, &[0, protocol]].concat();
        let [high, low] = sum(&pseudo).to_be_bytes();
        if self.udp {
            return vec![0x30, 0x39, 0, 9, len[0], len[1], high, low];
        }
        let mut transport = vec![0x30, 0x39, 0, 9];
        transport.extend(self.sequence.to_be_bytes());
        transport.extend([1, 2, 3, 4, words << 4, self.flags, 0x20, 0, high, low, 0, 0]);
        transport.extend(vec![1; usize::from(self.tcp_options) * 4]);
        transport
    }

    fn addresses(&self) -> Vec<u8> {
        if self.v6 {
            let host = |number| [&[0xfd, 0][..], &[0; 13], &[number]].concat();
            [host(1), host(2)].concat()
        } else {
            vec![10, 0, 0, 1, 10, 0, 0, 2]
        }
    }
}

/// The ones' complement sum in the words of RFC 1071, section 4.1.
pub fn sum(octets: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u32 = octets.chunks(2).map(word).sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
