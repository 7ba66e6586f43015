//! Extension headers of what is for the router itself, as the destination sees them (RFC 8200,
//! section 4): all are gone along, and what is not known is answered as it asks for.

use crate::{
    icmp::Error,
    packet::{EXTENSIONS_MAX, IPV6_HEADER_LEN, protocol},
};

/// Options that fill up, and the one that says to routers what all routers do here (RFC 2711).
const PAD_1: u8 = 0;
const PAD_N: u8 = 1;
const ROUTER_ALERT: u8 = 5;
/// Where in the header of IPv6 stands what comes behind it.
const NEXT_HEADER: usize = 6;

/// Where the walk along the headers ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At the protocol that it carries.
    Upper(Place),
    /// At a fragment header.
    Fragment(Place),
    /// It goes no further; its sender may be told.
    Refused(Option<Error>),
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) protocol: u8,
    /// Where it begins.
    pub(super) at: usize,
    /// Where, before it, its number stands.
    pub(super) named_at: usize,
}

impl Place {
    /// Behind the header of IPv6, whatever that is.
    pub(super) const FIRST: Place =
        Place { protocol: super::NO_NEXT_HEADER, at: IPV6_HEADER_LEN, named_at: NEXT_HEADER };
}

/// Goes along the extension headers of a packet: all of its octets and no more.
pub(super) fn walk(octets: &[u8]) -> End {
    let Some(first) = octets.get(NEXT_HEADER) else { return End::Refused(None) };
    let mut place = Place { protocol: *first, at: IPV6_HEADER_LEN, named_at: NEXT_HEADER };
    for _ in 0..=EXTENSIONS_MAX {
        match place.protocol {
            // Only in the first place (section 4.1); elsewhere it is not known.
            protocol::HOP_BY_HOP if place.at == IPV6_HEADER_LEN => {}
            protocol::DESTINATION | protocol::ROUTING => {}
            protocol::FRAGMENT => return End::Fragment(place),
            _ => return End::Upper(place),
        }
        let rest = octets.get(place.at..).unwrap_or_default();
        let len = rest.get(1).map_or(8, |units| (usize::from(*units) + 1) * 8);
        let Some(header) = rest.get(..len) else { return End::Refused(None) };
        let sound = match place.protocol {
            // Section 4.4; of type 0 too (RFC 5095, section 3).
            protocol::ROUTING if header[3] != 0 => Err(Some(Error::Field(place.at + 2))),
            protocol::ROUTING => Ok(()),
            _ => options(&header[2..], place.at + 2),
        };
        if let Err(error) = sound {
            return End::Refused(error);
        }
        place = Place { protocol: header[0], at: place.at + len, named_at: place.at };
    }
    End::Refused(None)
}

/// Looks at options, the first of which stands at this octet of the packet (section 4.2). An error
/// ends the packet, and may be told.
pub(crate) fn options(mut options: &[u8], mut at: usize) -> Result<(), Option<Error>> {
    while let [kind, rest @ ..] = options {
        let len = match (*kind, rest) {
            (PAD_1, _) => 1,
            (_, [len, ..]) => 2 + usize::from(*len),
            (_, []) => return Err(None),
        };
        if len > options.len() {
            return Err(None);
        }
        match (*kind, kind >> 6) {
            (PAD_1 | PAD_N | ROUTER_ALERT, _) | (_, 0) => {}
            (_, 1) => return Err(None),
            // 3 is the same for who was not asked as one of a group.
            _ => return Err(Some(Error::Option(at))),
        }
        (options, at) = (&options[len..], at + len);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::sample::ipv6;

    fn walked(first: u8, headers: &[u8]) -> End {
        walk(&ipv6("fd01::2", "fd01::1", 64, first, headers))
    }

    fn upper(protocol: u8, at: usize, named_at: usize) -> End {
        End::Upper(Place { protocol, at, named_at })
    }

    #[test]
    fn headers_are_gone_along_to_the_protocol() {
        assert_eq!(walked(17, &[]), upper(17, 40, 6));
        let options = [[60, 0, 5, 2, 0, 0, 1, 0], [43, 0, 1, 4, 0, 0, 0, 0]].concat();
        assert_eq!(
            walked(0, &[&options[..], &[6, 0, 2, 0, 0, 0, 0, 0]].concat()),
            upper(6, 64, 56)
        );
        let End::Fragment(place) = walked(60, &[44, 0, 1, 4, 0, 0, 0, 0]) else { panic!() };
        assert_eq!((place.at, place.named_at), (48, 40));
        // An option that is not known and need not be.
        assert_eq!(walked(60, &[17, 0, 0x1e, 4, 0, 0, 0, 0]), upper(17, 48, 40));
    }

    #[test]
    fn what_is_not_known_is_answered_as_it_asks_for() {
        for (kind, error) in
            [(0x5e, None), (0x9e, Some(Error::Option(43))), (0xde, Some(Error::Option(43)))]
        {
            let options = [17, 0, PAD_1, kind, 3, 0, 0, 0];
            assert_eq!(walked(60, &options), End::Refused(error));
        }
        // A routing header with a way to go, and hop-by-hop options that do not stand first.
        let routing = [6, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(walked(43, &routing), End::Refused(Some(Error::Field(42))));
        assert_eq!(walked(60, &[0, 0, 1, 4, 0, 0, 0, 0]), upper(0, 48, 40));
    }

    #[test]
    fn headers_and_options_that_do_not_end_are_refused_without_a_word() {
        for (first, header) in [
            (60, &[17, 1, 1, 4, 0, 0, 0, 0][..]),
            (60, &[17, 0, 1, 5, 0, 0, 0, 0]),
            (0, &[17, 0, 0, 0, 0, 0, 0, 1]),
            (43, &[17]),
            (43, &[]),
        ] {
            assert_eq!(walked(first, header), End::Refused(None), "{header:?}");
        }
        let chain = [60, 0, 1, 4, 0, 0, 0, 0].repeat(EXTENSIONS_MAX + 1);
        assert_eq!(walked(60, &chain), End::Refused(None));
        assert_eq!(walk(&[0x60]), End::Refused(None));
    }
}
