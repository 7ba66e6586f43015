//! What the opener has sent, out of its parcel.

use std::io;

use netlab::{LinkWatch, Links};

use crate::{
    parcel::{Parcel, wrong},
    plug::{
        Opened, open,
        opener::{kind, origin, reason},
        origin::{Origin, Watched},
    },
    port::{
        macvtap::Macvtap,
        packet::Packet,
        pcap::Files,
        socket::Socket,
        stream::{Listener, Stream},
        tap::{AskLinks, Tap},
        tun::Tun,
        vhost::Vhost,
    },
    topology::{PortKind, PortSpec},
};

/// Takes out what came of a plug.
pub(super) fn unpack(
    parcel: &mut Parcel,
    spec: &PortSpec,
    ask: &AskLinks,
) -> Result<(Origin, Option<Opened>), String> {
    let origin = match parcel.take_number().map_err(reason)? {
        origin::PCAP => {
            let PortKind::Pcap(pcap) = &spec.kind else { return Err(reason(wrong())) };
            let mut file = || match parcel.take_number()? {
                0 => Ok(None),
                _ => parcel.take_fd().map(|fd| Some(fd.into())),
            };
            let files = file().and_then(|input| Ok(Files { input, output: file()? }));
            let opened = open::open_files(spec, pcap, files.map_err(reason)?)?;
            return Ok((Origin::Once, Some(opened)));
        }
        origin => unpack_origin(parcel, spec, origin).map_err(reason)?,
    };
    let opened = unpack_opened(parcel, spec, ask).map_err(reason)?;
    Ok((origin, opened))
}

fn unpack_origin(parcel: &mut Parcel, spec: &PortSpec, origin: u64) -> io::Result<Origin> {
    Ok(match origin {
        origin::ONCE => Origin::Once,
        origin::DEVICE => {
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
        origin::LISTENER => Origin::Stream(Listener::given(parcel.take_fd()?, open::mtu_of(spec))),
        origin::CONNECTION => Origin::Connection,
        _ => return Err(wrong()),
    })
}

/// Takes out its port, if there is one.
pub(super) fn unpack_opened(
    parcel: &mut Parcel,
    spec: &PortSpec,
    ask: &AskLinks,
) -> io::Result<Option<Opened>> {
    let kind = parcel.take_number()?;
    if kind == kind::NOTHING {
        return Ok(None);
    }
    let done = parcel.take_text()?;
    let count = parcel.take_number()?;
    let warnings = (0..count).map(|_| parcel.take_text()).collect::<io::Result<_>>()?;
    let port = match kind {
        kind::TAP => Tap::unpack(parcel, ask.clone())?.into(),
        kind::MACVTAP => Macvtap::unpack(parcel)?.into(),
        kind::PACKET => Packet::unpack(parcel)?.into(),
        kind::STREAM => {
            let mtu = parcel.take_number()? as u32;
            Stream::new(parcel.take_fd()?, mtu).into()
        }
        kind::SOCKET => Socket::unpack(parcel)?.into(),
        kind::TUN => Tun::unpack(parcel, ask.clone())?.into(),
        kind::VHOST => Vhost::unpack(parcel)?.into(),
        _ => return Err(wrong()),
    };
    Ok(Some(Opened { config: open::config_of(spec), port, done, warnings }))
}
