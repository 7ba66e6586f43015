//! The matrix as a person reads it.

use std::fmt::Write;

use crate::{kinds::KINDS, pair::Shown};

/// Columns of a cell.
const WIDTH: usize = 11;

/// Rows from, columns to.
pub struct Matrix {
    /// The MTU of all.
    pub mtu: u32,
    /// What each ordered pair has shown, by the names of their kinds.
    pub cells: Vec<(&'static str, &'static str, Result<Shown, String>)>,
}

impl Matrix {
    /// The table, and beneath it what is to be said of some cells.
    pub fn render(&self) -> String {
        let mut text = format!("MTU {}, rows send to columns:\n\n{:WIDTH$}", self.mtu, "");
        KINDS.iter().for_each(|to| write!(text, "{:>WIDTH$}", to.name).unwrap());
        text.push('\n');
        for from in &KINDS {
            write!(text, "{:WIDTH$}", from.name).unwrap();
            for to in &KINDS {
                write!(text, "{:>WIDTH$}", self.cell(from.name, to.name)).unwrap();
            }
            text.push('\n');
        }
        text += "\nok: TCP and UDP by IPv4 and IPv6, all octets compared; a number: Mbit/s besides \
                 (iperf3);\n~: so many datagrams were lost and sent again\n";
        for kind in &KINDS {
            if let Some((mtu_max, why)) = kind.mtu_max.filter(|(mtu_max, _)| *mtu_max < self.mtu) {
                let name = kind.name;
                writeln!(text, "-: {name} has MTU {mtu_max} at the most: {why}").unwrap();
            }
        }
        for (from, to, why) in self.faults() {
            writeln!(text, "FAULT from {from} to {to}: {why}").unwrap();
        }
        text
    }

    /// The pairs where something did not arrive, and what.
    pub fn faults(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        self.cells.iter().filter_map(|(from, to, shown)| {
            shown.as_ref().err().map(|why| (*from, *to, why.as_str()))
        })
    }

    fn cell(&self, from: &str, to: &str) -> String {
        let found = self.cells.iter().find(|(row, column, _)| (*row, *column) == (from, to));
        match found {
            _ if from == to => String::new(),
            None => "-".to_owned(),
            Some((_, _, Err(_))) => "FAULT".to_owned(),
            Some((_, _, Ok(shown))) => {
                let figure = shown.megabits_per_second;
                let figure = figure.map_or_else(|| "ok".to_owned(), |figure| figure.to_string());
                match shown.repeated {
                    0 => figure,
                    lost => format!("{figure} ~{lost}"),
                }
            }
        }
    }
}
