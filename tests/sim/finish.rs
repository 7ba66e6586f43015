//! What a port without offloads sends in place of a frame: the rules in the plainest words. It
//! trusts a frame that looks like one of ours; what does not is refused.

use uswitch_tests::sample::sum;

use crate::model::{VNET, octets};

/// The frame's pieces, each behind a virtio-net header; it is its own if it leaves whole. `None`:
/// it cannot be finished.
pub fn finish(wire: &[u8], whole: bool) -> Option<Vec<Vec<u8>>> {
    let Some(vnet) = wire.get(..VNET).filter(|_| !whole) else { return Some(vec![wire.to_vec()]) };
    let number = |at| number(vnet, at);
    let (size, transport, place) = (number(4), number(6), number(6) + number(8));
    let frame = octets(wire);
    match (vnet[0] % 2 == 1, vnet[1]) {
        (false, 0) => return Some(vec![wire.to_vec()]),
        (true, 0) if place + 2 > frame.len() => return None,
        (true, 0) => return Some(vec![with_checksum(frame, transport, place)]),
        (false, _) => return None,
        (true, _) => {}
    }
    let tagged = |at: &usize| matches!(frame.get(*at..at + 2), Some([0x81, 0] | [0x88, 0xa8]));
    let network = 14 + 4 * [12, 16].iter().take_while(|at| tagged(at)).count();
    let (version, udp) = (frame.get(network)? >> 4, vnet[1] == 5);
    if !is_sound(vnet, frame, network) {
        return None;
    }
    let header = if udp { 8 } else { usize::from(frame[transport + 12] >> 4) * 4 };
    let (headers, payload) = frame.split_at(transport + header);
    let last = payload.len().div_ceil(size).max(1) - 1;
    let pieces = (0..=last).map(|at| {
        let part = &payload[(at * size).min(payload.len())..payload.len().min((at + 1) * size)];
        let mut piece = [headers, part].concat();
        let mut put = |at: usize, number: usize| {
            piece[at..at + 2].copy_from_slice(&(number as u16).to_be_bytes());
        };
        let (len, ip) = (header + part.len(), transport - network);
        if version == 4 {
            let id = u16::from_be_bytes([frame[network + 4], frame[network + 5]]);
            put(network + 2, ip + len);
            put(network + 4, usize::from(id) + at);
            put(network + 10, 0);
            let checksum = !sum(&piece[network..transport]);
            piece[network + 10..network + 12].copy_from_slice(&checksum.to_be_bytes());
        } else {
            put(network + 4, ip + len - 40);
        }
        let addresses =
            if version == 4 { network + 12..network + 20 } else { network + 8..network + 40 };
        let long = (len as u16).to_be_bytes();
        if udp {
            piece[transport + 4..transport + 6].copy_from_slice(&long);
        } else {
            let first = u32::from_be_bytes(*frame[transport + 4..].first_chunk().expect("TCP"));
            let sequence = first.wrapping_add((at * size) as u32);
            piece[transport + 4..transport + 8].copy_from_slice(&sequence.to_be_bytes());
            piece[transport + 13] &= if at == 0 { 0xff } else { !0x80 };
            piece[transport + 13] &= if at == last { 0xff } else { !0x09 };
        }
        let protocol = if udp { 17 } else { 6 };
        let pseudo = sum(&[&frame[addresses], &long, &[0, protocol]].concat());
        piece[place..place + 2].copy_from_slice(&pseudo.to_be_bytes());
        let mut piece = with_checksum(&piece, transport, place);
        if !udp && piece[VNET + place..][..2] == [0xff; 2] {
            piece[VNET + place..][..2].fill(0);
        }
        piece
    });
    Some(pieces.collect())
}

/// Whether a frame to be cut is what its virtio-net header says: any frame can look a little so.
fn is_sound(vnet: &[u8], frame: &[u8], network: usize) -> bool {
    // TCP may come with the flag of ECN.
    let kind = if vnet[1] == 0x85 { return false } else { vnet[1] % 128 };
    let protocol = if kind == 5 { 17 } else { 6 };
    let (ethertype, packet) = frame.split_at(network);
    let sound = match (packet.first().map(|octet| octet >> 4), kind) {
        (Some(4), 1 | 5) => {
            ethertype.ends_with(&[8, 0])
                && packet.get(9) == Some(&protocol)
                && number(vnet, 6) == network + usize::from(packet[0] % 16) * 4
        }
        (Some(6), 4 | 5) => {
            let known = [0, 43, 60, protocol].iter().any(|known| packet.get(6) == Some(known));
            ethertype.ends_with(&[0x86, 0xdd]) && known
        }
        _ => false,
    };
    sound && number(vnet, 8) == if kind == 5 { 6 } else { 16 }
}

/// A number of the virtio-net header.
fn number(vnet: &[u8], at: usize) -> usize {
    usize::from(vnet[at]) + 256 * usize::from(vnet[at + 1])
}

/// The frame behind an empty virtio-net header, its checksum completed; zero is all ones.
fn with_checksum(frame: &[u8], start: usize, place: usize) -> Vec<u8> {
    let checksum = match !sum(&frame[start..]) {
        0 => 0xffff,
        checksum => checksum,
    };
    let mut wire = [&[0; VNET], frame].concat();
    wire[VNET + place..][..2].copy_from_slice(&checksum.to_be_bytes());
    wire
}
