//! What was recorded, as pcapng (draft-ietf-opsawg-pcapng): a section, a description of each port
//! before its first frame, the frames, and at the end what was lost, a port each.

use std::{borrow::Cow, time::Duration};

use pcap_file::{
    DataLink, Endianness,
    pcapng::{
        PcapNgBlock, PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
            interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption},
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};

use crate::{
    frame::Frame,
    offload::{Offload, checksum},
    routing,
};

use super::recorder::{Entry, Why};

/// Times in units of 10^-9 seconds (4.2, if_tsresol). The crate writes nanoseconds in any case:
/// without this option every reader would take them for microseconds.
const TSRESOL_NANOSECONDS: u8 = 9;
/// The lowest two bits of epb_flags (4.3.1): which way the frame went.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// A capture in the making.
pub(super) struct Writing {
    writer: PcapNgWriter<Vec<u8>>,
    /// The wall clock when times were 0.
    wall: Duration,
    snaplen: u32,
    /// Frames of each interface.
    counts: Vec<u64>,
}

impl Writing {
    pub(super) fn new(wall: Duration, snaplen: u32) -> Writing {
        let application = concat!("uswitch ", env!("CARGO_PKG_VERSION"));
        let section = SectionHeaderBlock {
            endianness: Endianness::native(),
            options: vec![SectionHeaderOption::UserApplication(application.into())],
            ..SectionHeaderBlock::default()
        };
        let writer = PcapNgWriter::with_section_header(Vec::new(), section);
        let writer = writer.expect("memory takes what is written");
        Writing { writer, wall, snaplen, counts: Vec::new() }
    }

    /// How many ports are described.
    pub(super) fn interfaces(&self) -> usize {
        self.counts.len()
    }

    /// Moves what has been written without an output to this one.
    pub(super) fn begin(&mut self, output: &mut Vec<u8>) {
        output.append(self.writer.get_mut());
    }

    /// Describes the next port.
    pub(super) fn interface(&mut self, name: String) {
        self.counts.push(0);
        self.write(InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen: self.snaplen,
            options: vec![
                InterfaceDescriptionOption::IfName(name.into()),
                InterfaceDescriptionOption::IfTsResol(TSRESOL_NANOSECONDS),
            ],
        });
    }

    /// Writes a frame, which may have been cut short, behind its virtio-net header.
    pub(super) fn frame(&mut self, entry: Entry, wire: &[u8], output: &mut Vec<u8>) {
        self.counts[usize::from(entry.interface)] += 1;
        let frame = Frame::from_wire(wire);
        let way = if entry.outbound { OUTBOUND } else { INBOUND };
        let mut options = vec![EnhancedPacketOption::Flags(way)];
        options.extend(fate(entry).map(|text| EnhancedPacketOption::Comment(text.into())));
        let uncut = uncut(frame.offload());
        options.extend(uncut.map(|text| EnhancedPacketOption::Comment(text.into())));
        self.write(EnhancedPacketBlock {
            interface_id: entry.interface.into(),
            timestamp: self.wall + Duration::from_nanos(entry.nanos),
            original_len: entry.len,
            data: finished(frame, entry.len),
            options,
        });
        self.begin(output);
    }

    /// Writes how many frames of a port were seen, and how many lost.
    pub(super) fn end(&mut self, interface: usize, lost: u64, output: &mut Vec<u8>) {
        self.write(InterfaceStatisticsBlock {
            interface_id: interface as u32,
            timestamp: nanos(self.wall),
            options: vec![
                InterfaceStatisticsOption::IsbIfRecv(self.counts[interface] + lost),
                InterfaceStatisticsOption::IsbIfDrop(lost),
            ],
        });
        self.begin(output);
    }

    fn write<'a>(&mut self, block: impl PcapNgBlock<'a>) {
        let written = self.writer.write_pcapng_block(block);
        written.expect("memory takes what is written");
    }
}

/// A time as the crate wants it there: it writes the number as one, where the draft has two words,
/// the upper one first (4.6).
fn nanos(time: Duration) -> u64 {
    let nanos = time.as_nanos() as u64;
    if cfg!(target_endian = "little") { nanos.rotate_left(32) } else { nanos }
}

/// What became of a frame, if it was dropped, or may have been.
fn fate(Entry { reason, dropped, of, .. }: Entry) -> Option<String> {
    let (name, about) = match reason? {
        Why::Switch(counter) => (counter.name(), counter.about()),
        Why::Router(number) => routing::reason(number)?,
    };
    Some(if dropped == of {
        format!("{name}: {about}")
    } else {
        format!("{name}: {about} So it was with {dropped} of {of} frames, this one or others.")
    })
}

/// What is to be said of a frame that is still to be cut.
fn uncut(offload: Offload) -> Option<String> {
    let size = offload.gso_size;
    (offload.gso_kind != 0).then(|| {
        format!("Not yet cut into segments of {size} octets: seen as it is in the switch.")
    })
}

/// The frame with its checksum, if all of it is there.
fn finished<'a>(frame: Frame<'a>, len: u32) -> Cow<'a, [u8]> {
    let (octets, offload) = (frame.octets(), frame.offload());
    if offload.is_done() || octets.len() < len as usize {
        return octets.into();
    }
    let mut copy = octets.to_vec();
    let (start, offset) = (usize::from(offload.csum_start), usize::from(offload.csum_offset));
    // If its header lies, it stays as it is.
    let completed = checksum::complete(&mut copy, start, offset);
    if completed { copy.into() } else { octets.into() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pcap_file::pcapng::{Block, PcapNgReader};

    use super::*;
    use crate::{
        offload::{VNET_HEADER_LEN, sample::Sample},
        stats::Counter,
    };

    const ENTRY: Entry =
        Entry { nanos: 5, len: 60, interface: 1, outbound: true, reason: None, dropped: 0, of: 1 };

    fn written(entries: &[(Entry, Vec<u8>)], lost: u64) -> Vec<Block<'static>> {
        let mut writing = Writing::new(Duration::new(1_700_000_000, 1), 262_144);
        let mut output = Vec::new();
        ["a", "b"].into_iter().for_each(|name| writing.interface(name.to_owned()));
        entries.iter().for_each(|(entry, wire)| writing.frame(*entry, wire, &mut output));
        writing.end(1, lost, &mut output);
        let mut reader = PcapNgReader::new(&*output).unwrap();
        std::iter::from_fn(|| Some(reader.next_block()?.unwrap().into_owned())).collect()
    }

    fn packet(entry: Entry, wire: &[u8]) -> EnhancedPacketBlock<'static> {
        let blocks = written(&[(entry, wire.to_vec())], 0);
        blocks.into_iter().find_map(Block::into_enhanced_packet).unwrap()
    }

    fn comments(packet: &EnhancedPacketBlock<'_>) -> Vec<String> {
        let comments = packet.options.iter().filter_map(|option| match option {
            EnhancedPacketOption::Comment(text) => Some(text.to_string()),
            _ => None,
        });
        comments.collect()
    }

    #[test]
    fn frame_has_its_time_its_way_and_its_length() {
        let wire = [&[0; VNET_HEADER_LEN][..], &[7; 20]].concat();
        let packet = packet(ENTRY, &wire);
        assert_eq!(packet.timestamp, Duration::new(1_700_000_000, 6));
        assert_eq!((packet.interface_id, packet.original_len), (1, 60));
        assert_eq!(&*packet.data, [7; 20], "cut short");
        assert_eq!(packet.options, [EnhancedPacketOption::Flags(OUTBOUND)]);
    }

    #[test]
    fn dropped_frame_says_why_and_of_which_it_is_not_certain() {
        let wire = [0; 72];
        let of = |reason, dropped, of| {
            let reason = Some(Why::Switch(reason));
            comments(&packet(Entry { reason, dropped, of, ..ENTRY }, &wire)).concat()
        };
        assert_eq!(
            of(Counter::TxFull, 3, 3),
            "tx_full: Not sent: the port had no room \
                   (ifOutDiscards of RFC 2863)."
        );
        assert!(of(Counter::TxFull, 2, 3).ends_with("with 2 of 3 frames, this one or others."));
    }

    #[test]
    fn frame_to_be_cut_is_whole_with_its_checksum_and_says_so() {
        let sample = Sample::tcp(3000);
        let wire = sample.wire();
        let len = (wire.len() - VNET_HEADER_LEN) as u32;
        let packet = packet(Entry { len, ..ENTRY }, &wire);
        assert!(comments(&packet).concat().contains("segments of 1448 octets"));
        let offload = Frame::from_wire(&wire).offload();
        let start = usize::from(offload.csum_start);
        assert_ne!(*packet.data, wire[VNET_HEADER_LEN..]);
        let parsed = etherparse::SlicedPacket::from_ethernet(&packet.data).unwrap();
        let Some(etherparse::TransportSlice::Tcp(tcp)) = parsed.transport else { panic!() };
        let Some(etherparse::NetSlice::Ipv4(ip)) = parsed.net else { panic!("{start}") };
        let sum = tcp.to_header().calc_checksum_ipv4(&ip.header().to_header(), tcp.payload());
        assert_eq!(sum, Ok(tcp.checksum()));
        // Cut short, it cannot be completed.
        let short = self::packet(Entry { len, ..ENTRY }, &wire[..200]);
        assert_eq!(*short.data, wire[VNET_HEADER_LEN..200]);
    }

    #[test]
    fn end_tells_what_was_lost() {
        let blocks = written(&[(ENTRY, vec![0; 72])], 7);
        let [Block::InterfaceStatistics(end)] = &blocks[3..] else { panic!("{blocks:?}") };
        assert_eq!(end.interface_id, 1);
        assert_eq!(
            end.options,
            [InterfaceStatisticsOption::IsbIfRecv(8), InterfaceStatisticsOption::IsbIfDrop(7),]
        );
    }
}
