//! `uswitch route` and `leg`: what the router of a switch that runs goes by, in the manner of
//! ip(8).

use std::net::IpAddr;

use clap::Subcommand;
use uswitch::topology::{Faults, RouteChoice, RouteSpec};

use super::{
    Line, Steer, What, Which, flow,
    neighbours::{self, NeighCommand},
};
use crate::program::{
    control::{FlowSpec, HopRow, LegPage, NO_ROUTER, Request, RoutePage, RouteRow},
    output,
};

/// The commands about the router.
#[derive(Debug, Subcommand)]
pub(crate) enum RouterCommand {
    /// Where the router of a switch that runs sends packets
    Route {
        #[command(subcommand)]
        what: RouteCommand,
    },
    /// The neighbours of the router of a switch that runs
    Neigh {
        #[command(subcommand)]
        what: NeighCommand,
    },
    /// Where the router of a switch that runs has its feet
    Leg {
        #[command(subcommand)]
        what: LegCommand,
    },
}

/// `uswitch route ...`
#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Show all routes: those of links, then those that were said
    Show(Which),
    /// Tell which way packets for an address go
    ///
    /// Of several ways all are told, or the one of a flow, as the workers choose it.
    Get {
        /// The address: `10.8.0.1`
        #[arg(value_name = "ADDRESS")]
        address: String,
        /// The flow: `from 10.0.0.2`, and perhaps `ipproto udp`, `sport 5000`, `dport 53`
        #[arg(value_name = "from ADDRESS", num_args = 0..=8)]
        flow: Vec<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Add a route, as `--route` does at the start
    ///
    /// It holds until it is deleted, or the file is read again and has it not.
    Add {
        /// As behind `--route`: `10.8.0.0/16,via=10.0.0.2`
        #[arg(value_name = "SPEC")]
        spec: String,
        #[command(flatten)]
        which: Which,
    },
    /// Delete a route, of those that were said
    Del {
        /// For whom it is: `10.8.0.0/16`, `default`, `default6`; if there are several, with
        /// `,metric=N`
        #[arg(value_name = "SPEC")]
        spec: String,
        #[command(flatten)]
        which: Which,
    },
}

/// `uswitch leg ...`
#[derive(Debug, Subcommand)]
pub(crate) enum LegCommand {
    /// Show the legs and their addresses
    Show {
        /// With what each has received and sent, and the counters of the router
        #[arg(short, long)]
        statistics: bool,
        #[command(flatten)]
        which: Which,
    },
}

/// What is asked about the router.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    Routes,
    Route(IpAddr, Option<FlowSpec>),
    Add(String),
    Del(String),
    Legs { statistics: bool },
    Neighbours(neighbours::Ask),
}

impl Steer {
    /// `uswitch route ...`, `uswitch neigh ...` and `uswitch leg ...`
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn router(command: RouterCommand) -> Result<Steer, Faults> {
        let (which, ask) = match command {
            RouterCommand::Route { what: RouteCommand::Show(which) } => (which, Ask::Routes),
            RouterCommand::Route { what: RouteCommand::Get { address, flow, which } } => {
                let address = address.parse().map_err(|_| {
                    Faults::from(format!(
                        "`{}` is no address, as 10.0.0.1 or fd00::1 is",
                        address.escape_debug()
                    ))
                })?;
                (which, Ask::Route(address, flow::read(&flow)?))
            }
            // The switch reads it again: it knows what else there is.
            RouterCommand::Route { what: RouteCommand::Add { spec, which } } => {
                check(&spec, spec.parse::<RouteSpec>())?;
                (which, Ask::Add(spec))
            }
            RouterCommand::Route { what: RouteCommand::Del { spec, which } } => {
                check(&spec, spec.parse::<RouteChoice>())?;
                (which, Ask::Del(spec))
            }
            RouterCommand::Neigh { what } => {
                let (which, ask) = neighbours::read(what)?;
                (which, Ask::Neighbours(ask))
            }
            RouterCommand::Leg { what: LegCommand::Show { statistics, which } } => {
                (which, Ask::Legs { statistics })
            }
        };
        Ok(Steer { which, what: What::Router(ask) })
    }
}

/// What is wrong with a spec alone, by the spec.
fn check<T>(spec: &str, read: Result<T, Faults>) -> Result<(), Faults> {
    let mut faults = Faults::default();
    let read = faults.note(&format!("`{}`", spec.escape_debug()), read);
    faults.or(read.map(|_| ()))
}

impl Line {
    /// Asks, and prints what comes of it. Where there is no router, a table would be empty, which
    /// does not tell why: that is told beside it.
    pub(super) fn router(&mut self, ask: &Ask, json: bool) -> Result<String, String> {
        let show = matches!(
            ask,
            Ask::Routes | Ask::Legs { .. } | Ask::Neighbours(neighbours::Ask::Show { .. })
        );
        let text = self.tell_router(ask, json)?;
        if show && !json && text.is_empty() {
            let page: LegPage = self.ask(&Request::LegShow {})?;
            if page.legs.is_empty() {
                output::warn(NO_ROUTER);
            }
        }
        Ok(text)
    }

    fn tell_router(&mut self, ask: &Ask, json: bool) -> Result<String, String> {
        match ask {
            Ask::Routes if json => Ok(routes(&self.routes()?, true)),
            Ask::Routes => self.print_routes(),
            Ask::Route(address, flow) => {
                let (address, flow) = (address.to_string(), *flow);
                let page: RoutePage = self.ask(&Request::RouteGet { address, flow })?;
                Ok(routes(&page.routes, json))
            }
            Ask::Add(spec) => {
                let page: RoutePage = self.ask(&Request::RouteAdd { spec: spec.clone() })?;
                Ok(if json { routes(&page.routes, true) } else { String::new() })
            }
            Ask::Del(spec) => {
                let page: RoutePage = self.ask(&Request::RouteDel { spec: spec.clone() })?;
                Ok(if json { routes(&page.routes, true) } else { String::new() })
            }
            Ask::Neighbours(ask) => self.neighbours(ask, json),
            Ask::Legs { statistics } => self.legs(*statistics, json),
        }
    }

    /// Prints all routes but those of the last page, which it returns. Who has seen enough, as
    /// `head` has, need not wait for a million.
    fn print_routes(&mut self) -> Result<String, String> {
        let mut first = 0;
        loop {
            let page: RoutePage = self.ask(&Request::RouteShow { from: first })?;
            let text = routes(&page.routes, false);
            match page.next.filter(|next| *next > first) {
                Some(next) => first = next,
                None => return Ok(text),
            }
            match output::print_more(&text) {
                Ok(()) => {}
                Err(output::DONE) => return Ok(String::new()),
                Err(_) => return Err("not all routes were told".to_owned()),
            }
        }
    }

    /// All routes, page by page.
    fn routes(&mut self) -> Result<Vec<RouteRow>, String> {
        let (mut rows, mut from) = (Vec::new(), Some(0));
        while let Some(first) = from {
            let page: RoutePage = self.ask(&Request::RouteShow { from: first })?;
            rows.extend(page.routes);
            from = page.next.filter(|next| *next > first);
        }
        Ok(rows)
    }
}

/// A line each, as ip-route(8) has them; of several ways each below.
fn routes(rows: &[RouteRow], json: bool) -> String {
    if json {
        return line(&rows);
    }
    let tell = |row: &RouteRow| {
        let RouteRow { kind, dst, from, gateway, dev, protocol, scope, prefsrc, metric, .. } = row;
        let mut text = kind.as_ref().map_or(String::new(), |kind| format!("{kind} ")) + dst;
        text += &from.map_or(String::new(), |from| format!(" from {from}"));
        text += &way(gateway.as_ref(), dev.as_deref());
        let rest = [
            ("proto", protocol.clone()),
            ("scope", scope.clone()),
            ("src", prefsrc.map(|own| own.to_string())),
            ("metric", metric.map(|metric| metric.to_string())),
        ];
        for (word, value) in rest {
            text += &value.map_or(String::new(), |value| format!(" {word} {value}"));
        }
        let hops = row.nexthops.iter().map(|HopRow { gateway, dev, weight, .. }| {
            let way = way(gateway.as_ref(), dev.as_deref());
            format!("\tnexthop{way} weight {weight}\n")
        });
        text + "\n" + &hops.collect::<String>()
    };
    rows.iter().map(tell).collect()
}

fn way(gateway: Option<&IpAddr>, dev: Option<&str>) -> String {
    let via = gateway.map_or(String::new(), |gateway| format!(" via {gateway}"));
    via + &dev.map_or(String::new(), |dev| format!(" dev {dev}"))
}

fn line(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("names, numbers and lists of them") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_told_as_ip_tells_them() {
        let rows: Vec<RouteRow> = serde_json::from_value(serde_json::json!([
            {"dst": "10.0.0.0/24", "dev": "br", "protocol": "kernel", "scope": "link",
             "prefsrc": "10.0.0.1", "flags": []},
            {"dst": "default", "gateway": "10.9.0.2", "dev": "tun0", "metric": 5, "flags": []},
            {"dst": "10.8.0.0/16", "flags": [], "nexthops": [
                {"gateway": "10.0.0.2", "dev": "br", "weight": 2, "flags": []},
                {"dev": "tun0", "weight": 1, "flags": []},
            ]},
            {"type": "blackhole", "dst": "192.0.2.0/24", "flags": []},
        ]))
        .unwrap();
        let expected = "10.0.0.0/24 dev br proto kernel scope link src 10.0.0.1\n\
                        default via 10.9.0.2 dev tun0 metric 5\n\
                        10.8.0.0/16\n\
                        \tnexthop via 10.0.0.2 dev br weight 2\n\
                        \tnexthop dev tun0 weight 1\n\
                        blackhole 192.0.2.0/24\n";
        assert_eq!(routes(&rows, false), expected);
        assert_eq!(serde_json::from_str::<Vec<RouteRow>>(&routes(&rows, true)).unwrap(), rows);
    }
}
