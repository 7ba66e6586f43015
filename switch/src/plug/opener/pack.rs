//! What the opener has opened, in a parcel. Descriptors go; what gives back or removes something
//! stays with who has the right to do it.

use std::io;

use netlab::{LinkWatch, Links};

use crate::{
    parcel::{Parcel, wrong},
    plug::{
        Opened, open,
        origin::{Origin, Watched},
        owner::{Kept, Owner},
    },
    port::{
        any::AnyPort,
        macvtap::Macvtap,
        packet::Packet,
        pcap::Files,
        socket::Socket,
        stream::{Listener, Stream},
        tap::{AskLinks, Tap},
        tun::Tun,
    },
    topology::{PortKind, PortSpec},
};

const ONCE: u64 = 0;
const DEVICE: u64 = 1;
const LISTENER: u64 = 2;
const CONNECTION: u64 = 3;
const PCAP: u64 = 4;

const NOTHING: u64 = 0;
const TAP: u64 = 1;
const MACVTAP: u64 = 2;
const PACKET: u64 = 3;
const STREAM: u64 = 4;
const SOCKET: u64 = 5;
const TUN: u64 = 6;

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
        parcel.put_number(PCAP);
        for file in [input, output] {
            parcel.put_number(file.is_some().into());
            file.into_iter().for_each(|file| parcel.put_fd(file));
        }
        return Ok(());
    }
    let (origin, opened) = owner.open(number, spec)?;
    let kept = owner.kept(number).ok_or("it is gone")?;
    match origin {
        Origin::Once => parcel.put_number(ONCE),
        Origin::Device { watch, watched, index } => {
            let numbers = [DEVICE, watch as u64, index.into(), watched.is_some().into()];
            numbers.into_iter().for_each(|number| parcel.put_number(number));
            if let Some(Watched { events, links }) = watched {
                parcel.put_fd(events.into_fd());
                parcel.put_fd(links.into_fd());
            }
        }
        Origin::Stream(listener) => {
            parcel.put_number(LISTENER);
            let (socket, bound) = listener.give();
            parcel.put_fd(socket);
            kept.bound = bound;
        }
        Origin::Connection => parcel.put_number(CONNECTION),
        Origin::Vde(_) => return Err(super::reason(wrong())),
    }
    pack_opened(opened, kept, parcel).map_err(super::reason)
}

/// Takes it out again.
pub(super) fn unpack(
    parcel: &mut Parcel,
    spec: &PortSpec,
    ask: &AskLinks,
) -> Result<(Origin, Option<Opened>), String> {
    let origin = match parcel.take_number().map_err(super::reason)? {
        PCAP => {
            let PortKind::Pcap(pcap) = &spec.kind else { return Err(super::reason(wrong())) };
            let mut file = || match parcel.take_number()? {
                0 => Ok(None),
                _ => parcel.take_fd().map(|fd| Some(fd.into())),
            };
            let files = file().and_then(|input| Ok(Files { input, output: file()? }));
            let opened = open::open_files(spec, pcap, files.map_err(super::reason)?)?;
            return Ok((Origin::Once, Some(opened)));
        }
        origin => unpack_origin(parcel, spec, origin).map_err(super::reason)?,
    };
    let opened = unpack_opened(parcel, spec, ask).map_err(super::reason)?;
    Ok((origin, opened))
}

fn unpack_origin(parcel: &mut Parcel, spec: &PortSpec, origin: u64) -> io::Result<Origin> {
    Ok(match origin {
        ONCE => Origin::Once,
        DEVICE => {
            let (watch, index) = (parcel.take_number()? as usize, parcel.take_number()? as u32);
            let watched = match parcel.take_number()? {
                0 => None,
                _ => Some(Watched {
                    events: LinkWatch::from_fd(parcel.take_fd()?),
                    links: Links::from_fd(parcel.take_fd()?),
                }),
            };
            Origin::Device { watch, watched, index }
        }
        LISTENER => Origin::Stream(Listener::given(parcel.take_fd()?, open::mtu_of(spec))),
        CONNECTION => Origin::Connection,
        _ => return Err(wrong()),
    })
}

/// Puts a port into a parcel, if there is one.
pub(super) fn pack_opened(
    opened: Option<Opened>,
    kept: &mut Kept,
    parcel: &mut Parcel,
) -> io::Result<()> {
    let Some(Opened { config: _, port, done, warnings }) = opened else {
        parcel.put_number(NOTHING);
        return Ok(());
    };
    let kind = match &port {
        AnyPort::Tap(_) => TAP,
        AnyPort::Macvtap(_) => MACVTAP,
        AnyPort::Packet(_) => PACKET,
        AnyPort::Stream(_) => STREAM,
        AnyPort::Socket(_) => SOCKET,
        AnyPort::Tun(_) => TUN,
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
        AnyPort::Vde(_) | AnyPort::Pcap(_) | AnyPort::Leg(_) => {}
    }
    Ok(())
}

/// Takes it out again.
pub(super) fn unpack_opened(
    parcel: &mut Parcel,
    spec: &PortSpec,
    ask: &AskLinks,
) -> io::Result<Option<Opened>> {
    let kind = parcel.take_number()?;
    if kind == NOTHING {
        return Ok(None);
    }
    let done = parcel.take_text()?;
    let count = parcel.take_number()?;
    let warnings = (0..count).map(|_| parcel.take_text()).collect::<io::Result<_>>()?;
    let port = match kind {
        TAP => Tap::unpack(parcel, ask.clone())?.into(),
        MACVTAP => Macvtap::unpack(parcel)?.into(),
        PACKET => Packet::unpack(parcel)?.into(),
        STREAM => {
            let mtu = parcel.take_number()? as u32;
            Stream::new(parcel.take_fd()?, mtu).into()
        }
        SOCKET => Socket::unpack(parcel)?.into(),
        TUN => Tun::unpack(parcel, ask.clone())?.into(),
        _ => return Err(wrong()),
    };
    Ok(Some(Opened { config: open::config_of(spec), port, done, warnings }))
}
