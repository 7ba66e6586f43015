//! Columns for people.

/// A table that is as wide as its cells.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these heads. The first column stands at the left, the others at the right, but for the
    /// last one, which may have sentences.
    pub(crate) fn new(heads: &[&str]) -> Table {
        Table { rows: vec![heads.iter().map(|head| (*head).to_owned()).collect()] }
    }

    /// A row with as many cells.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.rows[0].len(), "a cell for each head");
        self.rows.push(cells);
    }

    /// The whole.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            let widths = self.rows.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells =
                row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ if column + 1 == columns => cell.clone(),
                    _ => format!("{cell:>width$}"),
                });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// A whole number in groups of three, as in 1,234,567.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Nanoseconds as microseconds, with as many digits as are of use.
pub(crate) fn micros(nanos: u64) -> String {
    let micros = nanos as f64 / 1e3;
    if micros < 100.0 { format!("{micros:.1}") } else { grouped(micros) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["device", "frames/s", "note"]);
        table.row(vec!["veth".into(), "1,000,000".into(), String::new()]);
        table.row(vec!["é".into(), "7".into(), "it ended".into()]);
        let lines = "device   frames/s  note\nveth    1,000,000\né               7  it ended\n";
        assert_eq!(table.text(), lines);
    }

    #[test]
    fn numbers_are_grouped_from_the_right() {
        let numbers = [0.4, 999.0, 1000.0, 1_234_567.4];
        assert_eq!(numbers.map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([1500, 99_940, 123_456_789].map(micros), ["1.5", "99.9", "123,457"]);
    }
}
