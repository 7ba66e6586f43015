//! What the opener has opened, in a parcel. Descriptors go; what gives back or removes something
//! stays with who has the right to do it.

use std::io;

use crate::{
    parcel::{Parcel, wrong},
    plug::{
        Opened,
        kept::Kept,
        open,
        opener::{kind, origin, reason},
        origin::{Origin, Watched},
        owner::Owner,
    },
    port::{any::AnyPort, pcap::Files},
    topology::{PortKind, PortSpec},
};

/// Opens a plug and puts what came of it into a parcel.
pub(super) fn pack(
    owner: &mut Owner,
    number: usize,
    spec: &PortSpec,
    parcel: &mut Parcel,
) -> Result<(), String> {
    if let PortKind::Pcap(pcap) = &spec.kind {
        // They are read where they are played.
        let files = Files::open(&open::pcap_config(spec, pcap)).map_err(|e| e.to_string())?;
        let Files { input, output } = files;
        parcel.put_number(origin::PCAP);
        for file in [input, output] {
            parcel.put_number(file.is_some().into());
            file.into_iter().for_each(|file| parcel.put_fd(file));
        }
        return Ok(());
    }
    let (origin, opened) = owner.open(number, spec)?;
    let kept = owner.kept(number).ok_or("it is gone")?;
    match origin {
        Origin::Once => parcel.put_number(origin::ONCE),
        Origin::Device { watch, watched, index } => {
            let numbers = [origin::DEVICE, watch as u64, index.into(), watched.is_some().into()];
            numbers.into_iter().for_each(|number| parcel.put_number(number));
            if let Some(Watched { events, links }) = watched {
                parcel.put_fd(events.into_fd());
                parcel.put_fd(links.into_fd());
            }
        }
        Origin::Stream(listener) => {
            parcel.put_number(origin::LISTENER);
            let (socket, bound) = listener.give();
            parcel.put_fd(socket);
            kept.bound = bound;
        }
        Origin::Connection => parcel.put_number(origin::CONNECTION),
        Origin::Vde(_) => return Err(reason(wrong())),
    }
    pack_opened(opened, kept, parcel).map_err(reason)
}

/// Puts a port into a parcel, if there is one.
pub(super) fn pack_opened(
    opened: Option<Opened>,
    kept: &mut Kept,
    parcel: &mut Parcel,
) -> io::Result<()> {
    let Some(Opened { config: _, port, done, warnings }) = opened else {
        parcel.put_number(kind::NOTHING);
        return Ok(());
    };
    let kind = match &port {
        AnyPort::Tap(_) => kind::TAP,
        AnyPort::Macvtap(_) => kind::MACVTAP,
        AnyPort::Packet(_) => kind::PACKET,
        AnyPort::Stream(_) => kind::STREAM,
        AnyPort::Socket(_) => kind::SOCKET,
        AnyPort::Tun(_) => kind::TUN,
        AnyPort::Vhost(_) => kind::VHOST,
        AnyPort::Vde(_) | AnyPort::Pcap(_) | AnyPort::Leg(_) => return Err(wrong()),
    };
    parcel.put_number(kind);
    parcel.put_text(&done);
    parcel.put_number(warnings.len() as u64);
    warnings.iter().for_each(|warning| parcel.put_text(warning));
    match port {
        AnyPort::Tap(tap) => tap.pack(parcel)?,
        AnyPort::Macvtap(mut macvtap) => {
            // One that was made before and is there still stays in our hands.
            kept.made = macvtap.take_created().or(kept.made.take());
            macvtap.pack(parcel)?;
        }
        AnyPort::Packet(packet) => kept.taken = packet.pack(parcel)?,
        AnyPort::Stream(stream) => {
            parcel.put_number(open::mtu_of(&kept.spec).into());
            parcel.put_fd(stream.give());
        }
        AnyPort::Socket(socket) => kept.bound = socket.pack(parcel),
        AnyPort::Tun(tun) => tun.pack(parcel)?,
        AnyPort::Vhost(vhost) => kept.bound = vhost.pack(parcel),
        AnyPort::Vde(_) | AnyPort::Pcap(_) | AnyPort::Leg(_) => {}
    }
    Ok(())
}
