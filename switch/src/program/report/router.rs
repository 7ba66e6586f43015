//! The router's counters: for people a line and reasons, for programs one object.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{count, fold};

/// What is shown of a router that has nothing to tell, too.
const ALWAYS: [&str; 3] = ["received", "forwarded", "sent"];

/// One counter of the router. The switch says what it means: whoever asks may be of a build
/// without a router.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct RouterRow {
    /// The same everywhere.
    pub(crate) name: String,
    /// What it counts, in a sentence.
    pub(crate) about: String,
    pub(crate) kind: RowKind,
    pub(crate) count: u64,
}

/// What a counter is about.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RowKind {
    /// Packets, and what became of them.
    Packets,
    /// What there is now.
    Gauge,
    /// Packets that ended for this reason.
    Drop,
    /// Neighbours and their messages.
    Neighbour,
}

impl RouterRow {
    /// What it means, as the tables of drops have it.
    pub(crate) fn meaning(&self) -> String {
        let end = self.about.find(" (").unwrap_or(self.about.len());
        let about = self.about[..end].trim_end_matches('.');
        let mut letters = about.chars();
        let first = letters.next().map(|first| first.to_ascii_lowercase());
        first.into_iter().chain(letters).collect()
    }
}

/// The drops among them that have happened.
pub(crate) fn drops(rows: &[RouterRow]) -> impl Iterator<Item = &RouterRow> {
    rows.iter().filter(|row| row.kind == RowKind::Drop && row.count > 0)
}

/// What the router did, folded; nothing if there is none.
pub(crate) fn summary(rows: &[RouterRow]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let list = |of: &[RowKind]| {
        let shown = rows.iter().filter(|row| {
            of.contains(&row.kind) && (row.count > 0 || ALWAYS.contains(&&*row.name))
        });
        let shown = shown.map(|row| format!("{} {}", row.name, count(row.count)));
        shown.collect::<Vec<_>>().join(", ")
    };
    let mut text = fold(&format!("router: {}", list(&[RowKind::Packets, RowKind::Gauge])), 8);
    let neighbours = list(&[RowKind::Neighbour]);
    if !neighbours.is_empty() {
        text += &fold(&format!("neighbours: {neighbours}"), 12);
    }
    text
}

/// All counters by their names; those of drops apart. `None`: there is no router.
pub(crate) fn facts(rows: &[RouterRow]) -> Option<Value> {
    let (drops, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.kind == RowKind::Drop);
    let object = |rows: Vec<&RouterRow>| {
        rows.into_iter().map(|row| (row.name.clone(), row.count.into())).collect::<Map<_, _>>()
    };
    let mut all = object(others);
    all.insert("drops".to_owned(), object(drops).into());
    (!rows.is_empty()).then(|| all.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, about: &str, kind: RowKind, count: u64) -> RouterRow {
        RouterRow { name: name.to_owned(), about: about.to_owned(), kind, count }
    }

    fn rows() -> Vec<RouterRow> {
        vec![
            row("received", "Packets that came.", RowKind::Packets, 1234),
            row("forwarded", "Packets that went on.", RowKind::Packets, 0),
            row("fragments", "Fragments.", RowKind::Packets, 0),
            row("held", "Packets that wait.", RowKind::Gauge, 2),
            row("ttl", "No hops were left (RFC 1812).", RowKind::Drop, 3),
            row("land", "From and for the same address.", RowKind::Drop, 0),
            row("arp_taken", "Messages of ARP.", RowKind::Neighbour, 7),
        ]
    }

    #[test]
    fn a_line_has_what_happened_and_what_matters() {
        let expected = "router: received 1,234, forwarded 0, held 2\nneighbours: arp_taken 7\n";
        assert_eq!(summary(&rows()), expected);
        assert_eq!(summary(&[]), "");
        let told: Vec<_> = rows()
            .iter()
            .flat_map(|row| {
                drops(std::slice::from_ref(row)).map(RouterRow::meaning).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(told, ["no hops were left"]);
    }

    #[test]
    fn an_object_has_all_of_it() {
        let expected = serde_json::json!({
            "received": 1234, "forwarded": 0, "fragments": 0, "held": 2, "arp_taken": 7,
            "drops": {"ttl": 3, "land": 0},
        });
        assert_eq!(facts(&rows()), Some(expected));
        assert_eq!(facts(&[]), None);
    }
}
