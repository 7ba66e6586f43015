//! A TUN: a device that carries packets, and no frames. No switch has one as a port of its own
//! will; a router has it as a leg, on a bridge of two. So it has a row as other kinds have, but
//! not among those that may be given with `--port`.

use netlab::Prefix;

use super::{
    super::{
        fields::{Fields, check_device, parse_mac},
        number,
    },
    Kind, PortKind, QUEUES_RANGE, many, parse_prefix, setting,
};
use crate::{
    frame::Mac,
    port::tun::{TUN_HOST, TUN_LEG},
};

/// The row of a TUN, for [`PortSpec::read`](crate::topology::PortSpec::read).
pub const TUN: Kind = Kind {
    name: "tun",
    words: &["DEVICE"],
    about: "a TUN, made if it is not there: packets, for a router",
    example: "tun:tun0,host=10.9.0.2/24",
    options: &[
        many("host", "ADDRESS/BITS", "an address of this machine there; as many as you like"),
        setting("leg", "ADDRESS", "MAC address of the router's leg"),
        setting("queues", "N", "queues of the device, 1 to 256"),
        setting("persist", "on|off", "the device stays at the end"),
    ],
    parse: tun,
};

/// What to say to who gives a TUN as a port.
pub const TUN_REFUSED: &str =
    "a TUN carries packets, not frames; give it to the router with `--tun`";

/// A TUN as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct TunSpec {
    /// The device's name.
    pub device: String,
    /// This machine's addresses there. What their prefixes cover, it looks for behind the TUN: so
    /// that of the leg reaches the leg.
    pub host: Vec<Prefix>,
    /// To whom its packets go: the leg, at its end of the cable.
    pub leg: Mac,
    /// How many queues.
    pub queues: u16,
    /// As [`TapSpec::persist`](super::TapSpec::persist).
    pub persist: Option<bool>,
}

fn tun(fields: &mut Fields<'_>) -> Option<PortKind> {
    let device = fields.word(0, check_device);
    let host = fields.parse_all("host", |text| {
        parse_prefix(text).map_err(|fault| fault.replacen("addr", "host", 1))
    });
    let leg = fields.parse("leg", parse_mac).unwrap_or(TUN_LEG);
    let queues = fields.parse("queues", |text| number(text, "queues", QUEUES_RANGE)).unwrap_or(1);
    let persist = fields.switch("persist");
    if leg == TUN_HOST {
        fields.faults.push(format!("leg {leg} is the address of the other end: take another"));
    }
    Some(PortKind::Tun(TunSpec { device: device?, host, leg, queues, persist }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Faults, PortSpec};

    fn read(word: &str, options: &[(&str, &str)]) -> Result<PortSpec, Faults> {
        let options: Vec<_> =
            options.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        PortSpec::read(&TUN, vec![word.to_owned()], &options)
    }

    #[test]
    fn every_option_arrives_and_comes_back() {
        let options = [
            ("host", "10.9.0.2/24"),
            ("host", "fd09::2/64"),
            ("leg", "02:00:00:00:00:0a"),
            ("queues", "2"),
            ("persist", "on"),
            ("netns", "h1"),
            ("mtu", "1400"),
        ];
        let spec = read("tun0", &options).unwrap();
        assert_eq!(
            (&*spec.name, spec.mtu, spec.netns.as_deref()),
            ("tun0", Some(1400), Some("h1"))
        );
        let host = ["10.9.0.2/24", "fd09::2/64"].map(|text| text.parse().unwrap()).to_vec();
        let leg = Mac::new([2, 0, 0, 0, 0, 10]);
        let device = "tun0".to_owned();
        let tun = TunSpec { device, host, leg, queues: 2, persist: Some(true) };
        assert_eq!(spec.kind, PortKind::Tun(tun));
        let (kind, words, emitted) = spec.emit();
        assert_eq!((kind.name, words), ("tun", vec!["tun0".to_owned()]));
        let emitted: Vec<_> = emitted.iter().map(|(name, value)| (*name, &**value)).collect();
        assert_eq!(emitted, options);
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let spec = read("tun0", &[]).unwrap();
        let PortKind::Tun(tun) = &spec.kind else { panic!("{spec:?}") };
        assert_eq!((&*tun.host, tun.leg, tun.queues, tun.persist), (&[][..], TUN_LEG, 1, None));
        assert_eq!((spec.kind.device(), spec.kind.queues_max()), (Some("tun0"), 1));
        assert_eq!(spec.to_string(), "tun:tun0");
        assert!(!TUN_HOST.is_group() && !TUN_LEG.is_group() && TUN_HOST != TUN_LEG);
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let options = [("host", "10.9.0.2/33"), ("leg", &*TUN_HOST.to_string()), ("queues", "0")];
        let faults = read("tun0", &options).unwrap_err();
        let faults: Vec<_> = faults.iter().collect();
        let form = "a prefix is an address and a length in bits, as in 10.0.0.1/24 or fd00::1/64";
        assert_eq!(
            faults,
            [
                &*format!("host `10.9.0.2/33`: {form}"),
                "queues 0 is out of range: 1 to 256",
                "leg 02:74:75:6e:00:02 is the address of the other end: take another",
            ]
        );
    }

    #[test]
    fn as_a_port_it_is_refused_with_what_to_do_instead() {
        let faults = "tun:tun0,host=10.9.0.2/24".parse::<PortSpec>().unwrap_err();
        assert_eq!(faults.to_string(), TUN_REFUSED);
    }
}
