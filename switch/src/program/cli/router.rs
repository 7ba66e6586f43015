//! The options of the router.

use clap::Args;
use uswitch::topology::Words;

/// Where the router has its feet, and where it sends packets.
#[derive(Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Router")]
pub(super) struct RouterArgs {
    /// A foot of the router in a bridge: `br=10.0.0.1/24,fd00:1::1/64`, or on a port alone:
    /// `tap0=10.0.0.1/24`; may be repeated. Behind the addresses: `mtu=OCTETS`, `mac=ADDRESS`,
    /// `reverse-path=strict|loose|off`, `proxy=on`, `redirects=on`
    #[arg(long, value_name = "BRIDGE=ADDRESS/BITS,...")]
    leg: Vec<String>,

    /// A TUN with a foot of the router: `tun0=10.9.0.1/24,host=10.9.0.2`; may be repeated. Behind
    /// the router's addresses: `host=ADDRESS[/BITS]` of this machine, `netns=NAME`, `mtu=OCTETS`,
    /// `queues=N`, `persist=on`
    #[arg(long, value_name = "DEVICE=ADDRESS/BITS,...")]
    pub(super) tun: Vec<String>,

    /// Where packets go: `10.8.0.0/16,via=10.9.0.2`; may be repeated. `default` is any network;
    /// behind it `metric=N`, then `via=ADDRESS`, `leg=NAME` or both, each with `weight=N`, for
    /// each way; or `blackhole`, `unreachable`, `prohibit`
    #[arg(long, value_name = "PREFIX,via=ADDRESS,...")]
    route: Vec<String>,

    /// A file of more routes, in the words of `ip route`: `10.1.0.0/16 via 10.0.0.2 metric 5`,
    /// `blackhole 10.2.0.0/16`
    #[arg(long, value_name = "FILE")]
    routes: Option<String>,

    /// ICMP errors a second about packets from one leg, 0 to 1000000 [default: 100]
    #[arg(long, value_name = "N")]
    icmp_rate: Option<String>,

    /// ICMP errors at once, after a time without [default: 50]
    #[arg(long, value_name = "N")]
    icmp_burst: Option<String>,
}

impl RouterArgs {
    /// What the topology reads of them, and nothing else.
    pub(super) fn words(self) -> Words {
        let RouterArgs { leg, tun, route, routes, icmp_rate, icmp_burst } = self;
        Words { leg, tun, route, routes, icmp_rate, icmp_burst, ..Words::default() }
    }
}
