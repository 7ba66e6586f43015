//! `uswitch neigh`: who is on the router's links, in the manner of ip-neighbour(8).

use std::net::IpAddr;

use clap::Subcommand;
use uswitch::{
    frame::Mac,
    topology::{Faults, StaticEntry},
};

use super::{Line, Which, show};
use crate::program::control::{Flushed, NeighbourPage, NeighbourRow, Request};

/// `uswitch neigh ...`
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum NeighCommand {
    /// Show the neighbours: all, or those on the link of a leg
    Show {
        /// `dev LEG`
        #[arg(value_name = "dev LEG", num_args = 0..=2)]
        filter: Vec<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Say what the link-layer address of a neighbour is: it is not asked for
    ///
    /// It holds until it is deleted, or the file is read again and has it not.
    Add {
        /// Its address: `10.0.0.7`
        #[arg(value_name = "ADDRESS")]
        address: String,
        /// `lladdr MAC dev LEG`, its link-layer address and the leg by which it is reached
        #[arg(value_name = "lladdr MAC dev LEG", num_args = 0..=6)]
        words: Vec<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Forget a neighbour, learned or said
    Del {
        /// Its address
        #[arg(value_name = "ADDRESS")]
        address: String,
        /// `dev LEG`: only if it is there
        #[arg(value_name = "dev LEG", num_args = 0..=2)]
        filter: Vec<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Forget the neighbours that were learned: all, or those on the link of a leg
    Flush {
        /// `dev LEG`
        #[arg(value_name = "dev LEG", num_args = 0..=2)]
        filter: Vec<String>,
        #[command(flatten)]
        which: Which,
    },
}

/// What is asked about neighbours.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    Show { leg: Option<String> },
    Add { address: IpAddr, mac: Mac, leg: String },
    Del { address: IpAddr, leg: Option<String> },
    Flush { leg: Option<String> },
}

/// Reads what was typed.
pub(super) fn read(command: NeighCommand) -> Result<(Which, Ask), Faults> {
    Ok(match command {
        NeighCommand::Show { filter, which } => (which, Ask::Show { leg: leg_of(&filter)? }),
        NeighCommand::Add { address, words, which } => {
            let mut faults = Faults::default();
            let address = address_of(&address).map_err(|why| faults.append(why)).ok();
            let there = where_of(&words).map_err(|why| faults.append(why)).ok();
            let (address, (mac, leg)) = faults.or(address.zip(there))?;
            (which, Ask::Add { address, mac, leg })
        }
        NeighCommand::Del { address, filter, which } => {
            (which, Ask::Del { address: address_of(&address)?, leg: leg_of(&filter)? })
        }
        NeighCommand::Flush { filter, which } => (which, Ask::Flush { leg: leg_of(&filter)? }),
    })
}

fn address_of(text: &str) -> Result<IpAddr, Faults> {
    text.parse().map_err(|_| {
        let text = text.escape_debug();
        Faults::from(format!("`{text}` is no address, as 10.0.0.1 or fd00::1 is"))
    })
}

/// The leg in `dev LEG`.
fn leg_of(filter: &[String]) -> Result<Option<String>, Faults> {
    match filter {
        [] => Ok(None),
        [word, name] if word == "dev" => Ok(Some(name.clone())),
        words => {
            let words = words.join(" ");
            let words = words.escape_debug();
            Err(Faults::from(format!("`{words}` is not `dev LEG`, as in `dev br`")))
        }
    }
}

/// The address and the leg in `lladdr MAC dev LEG`, in any order; `nud permanent` is what
/// ip-neighbour(8) wants besides, and is meant anyway.
fn where_of(words: &[String]) -> Result<(Mac, String), Faults> {
    let mut faults = Faults::default();
    let (mut mac, mut leg) = (None, None);
    for pair in words.chunks(2) {
        match pair {
            [word, text] if word == "lladdr" => {
                let read = StaticEntry::read_station(text).map_err(Faults::from);
                mac = Some(read.map_err(|why| faults.append(why)).ok());
            }
            [word, name] if word == "dev" => leg = Some(name.clone()),
            [word, state] if word == "nud" && state == "permanent" => {}
            words => faults.push(format!(
                "`{}` is neither `lladdr MAC` nor `dev LEG`",
                words.join(" ").escape_debug()
            )),
        }
    }
    if mac.is_none() {
        faults.push("`lladdr MAC` is missing, the link-layer address of the neighbour");
    }
    if leg.is_none() {
        faults.push("`dev LEG` is missing, the leg by which the neighbour is reached");
    }
    faults.or(mac.flatten().zip(leg))
}

impl Line {
    /// Asks, and prints what comes of it.
    pub(super) fn neighbours(&mut self, ask: &Ask, json: bool) -> Result<String, String> {
        let page: NeighbourPage = match ask {
            Ask::Show { leg } => return Ok(text(&self.all(leg.as_deref())?, json)),
            Ask::Add { address, mac, leg } => {
                let (address, mac) = (address.to_string(), mac.to_string());
                self.ask(&Request::NeighAdd { address, mac, leg: leg.clone() })?
            }
            Ask::Del { address, leg } => {
                let address = address.to_string();
                self.ask(&Request::NeighDel { address, leg: leg.clone() })?
            }
            Ask::Flush { leg } => {
                let flushed: Flushed = self.ask(&Request::NeighFlush { leg: leg.clone() })?;
                return Ok(show::flushed(&flushed, json));
            }
        };
        Ok(if json { text(&page.neighbours, true) } else { String::new() })
    }

    /// All neighbours, page by page.
    fn all(&mut self, leg: Option<&str>) -> Result<Vec<NeighbourRow>, String> {
        let (mut rows, mut from) = (Vec::new(), None);
        loop {
            let leg = leg.map(str::to_owned);
            let page: NeighbourPage = self.ask(&Request::NeighShow { leg, from })?;
            rows.extend(page.neighbours);
            if page.next.is_none() || page.next <= from {
                return Ok(rows);
            }
            from = page.next;
        }
    }
}

/// A line each, as ip-neighbour(8) has them.
fn text(rows: &[NeighbourRow], json: bool) -> String {
    if json {
        return serde_json::to_string(rows).expect("names and addresses") + "\n";
    }
    let tell = |NeighbourRow { dst, dev, lladdr, state }: &NeighbourRow| {
        let lladdr = lladdr.as_ref().map_or(String::new(), |mac| format!(" lladdr {mac}"));
        format!("{dst} dev {dev}{lladdr} {}\n", state.join(" "))
    };
    rows.iter().map(tell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_neighbour_is_may_be_said_in_any_order() {
        let read = |text: &str| {
            let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
            where_of(&words).map(|(mac, leg)| format!("{mac} {leg}")).map_err(|why| why.to_string())
        };
        for text in [
            "lladdr 02:00:00:00:00:07 dev br",
            "dev br lladdr 02:00:00:00:00:07",
            "dev br lladdr 02:00:00:00:00:07 nud permanent",
        ] {
            assert_eq!(read(text).unwrap(), "02:00:00:00:00:07 br", "{text}");
        }
        for (text, sentence) in [
            ("", "`lladdr MAC` is missing"),
            ("lladdr 02:00:00:00:00:07", "`dev LEG` is missing"),
            ("lladdr 03:00:00:00:00:07 dev br", "is the address of a group"),
            ("lladdr 02:00:00:00:00:07 dev", "`dev` is neither"),
            ("lladdr 02:00:00:00:00:07 dev br nud stale", "`nud stale` is neither"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(sentence), "{text}: {told}");
        }
    }

    #[test]
    fn neighbours_are_told_as_ip_tells_them() {
        let rows: Vec<NeighbourRow> = serde_json::from_value(serde_json::json!([
            {"dst": "10.0.0.2", "dev": "br", "lladdr": "02:00:00:00:00:02", "state": ["STALE"]},
            {"dst": "fd00::2", "dev": "br", "state": ["FAILED"]},
        ]))
        .unwrap();
        let expected = "10.0.0.2 dev br lladdr 02:00:00:00:00:02 STALE\n\
                        fd00::2 dev br FAILED\n";
        assert_eq!(text(&rows, false), expected);
        assert_eq!(serde_json::from_str::<Vec<NeighbourRow>>(&text(&rows, true)).unwrap(), rows);
    }
}
