//! The model on a screen of any size: lines of text, cut where the screen ends.

use ratatui::{
    Frame,
    style::{Color, Modifier, Style},
    text::{Line, Span, Text},
};

use super::model::{Model, RouterRate, Row, Sort};
use crate::program::report::about;

/// Columns before the line of the past.
const PAST: usize = 66;
/// Lines that tell reasons of drops at the most.
const REASONS_MAX: usize = 3;
/// Eight heights of a block.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

const HELP: &str = "\
n  sort by name              r  by frames received
t  by frames sent            d  by drops
/  show the ports whose name contains what is typed; Enter keeps it, Esc ends it
j, k or arrows               move in a list that is longer than the screen
?  this help                 q or Ctrl-C  the end

Rates are by the second, of the time since the look before. The blocks are the
frames received and sent in the last 60 looks, relative to the port's own most.
A router has the second line, its legs are ports: what they send, it receives.
A worker's load is its share of one processor, in sleep none; it is read from
/proc, and not shown where that hides it.";

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let (width, height) = (frame.area().width as usize, frame.area().height as usize);
    let mut lines = head(model);
    if model.help {
        lines.extend(HELP.lines().map(Line::from));
    } else {
        let rows = model.rows();
        let reasons = reasons(&rows);
        // The keys have the last line.
        let room = height.saturating_sub(lines.len() + 1 + reasons.len() + 1);
        let first = model.first.min(rows.len().saturating_sub(room));
        lines.push(Line::styled(columns(model.sort), style(model, Color::Cyan)));
        lines.extend(rows.iter().skip(first).take(room).map(|row| port(model, row, width)));
        lines.extend(reasons.into_iter().map(|text| Line::styled(text, style(model, Color::Red))));
    }
    lines.truncate(height.saturating_sub(1));
    lines.resize(height.saturating_sub(1), Line::default());
    lines.push(match model.filtering {
        true => Line::from(format!("/{}_", model.filter)),
        false => Line::from("n r t d sort   / filter   ? help   q quit").dim(model),
    });
    frame.render_widget(Text::from(lines), frame.area());
}

/// Colour where there may be some; what matters is told by words as well.
fn style(model: &Model, colour: Color) -> Style {
    if model.colours { Style::new().fg(colour) } else { Style::new() }
}

trait Dim {
    fn dim(self, model: &Model) -> Self;
}

impl Dim for Line<'_> {
    fn dim(self, model: &Model) -> Self {
        self.style(if model.colours { Style::new().fg(Color::DarkGray) } else { Style::new() })
    }
}

fn head(model: &Model) -> Vec<Line<'static>> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let Some(show) = model.show() else {
        return vec![Line::from(model.lost.clone().unwrap_or_default()), Line::default()];
    };
    let seconds = show.elapsed_s as u64;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let loads = model.loads.iter().map(|load| format!(" {:.0}%", load * 100.0));
    let name = crate::program::output::one_line(&show.name);
    let facts = format!(
        "  up {hours}:{minutes:02}:{:02}  addresses {} of {}  workers {}{}",
        seconds % 60,
        show.fdb.used,
        show.fdb.size,
        show.workers,
        loads.collect::<String>()
    );
    let second = match (&model.lost, &*model.filter) {
        (Some(why), _) => Line::styled(
            format!("gone, and looked for: {why}"),
            style(model, Color::Red).add_modifier(Modifier::BOLD),
        ),
        (None, "") => model.router.as_ref().map(|rate| router(model, rate)).unwrap_or_default(),
        (None, filter) => Line::from(format!("only names with `{filter}`; Esc shows all")),
    };
    vec![Line::from(vec![Span::styled(name, bold), Span::from(facts)]), second]
}

/// What the router does, where no filter is told.
fn router(model: &Model, rate: &RouterRate) -> Line<'static> {
    let RouterRate { received, forwarded, dropped, mostly } = rate;
    let (received, forwarded) = (short(*received), short(*forwarded));
    let text = format!("router: {received}/s received, {forwarded}/s forwarded");
    let mut spans = vec![Span::from(text)];
    if let Some(reason) = mostly {
        let text = format!(", {}/s dropped, most of them {reason}", short(*dropped));
        spans.push(Span::styled(text, style(model, Color::Red)));
    }
    Line::from(spans)
}

fn columns(sort: Sort) -> String {
    let mark = |sorted| if sorted == sort { "*" } else { " " };
    format!(
        "{:<13}{:<9}{:>8} {:>8}{:>8} {:>8}{:>8}  last minute",
        format!("port{}", mark(Sort::Name).trim_end()),
        "state",
        format!("rx/s{}", mark(Sort::Received).trim_end()),
        "bit/s",
        format!("tx/s{}", mark(Sort::Sent).trim_end()),
        "bit/s",
        format!("drops{}", mark(Sort::Drops).trim_end()),
    )
}

fn port(model: &Model, row: &Row, width: usize) -> Line<'static> {
    let name: String = row.name.chars().take(12).collect();
    let state: String = row.state.chars().take(8).collect();
    let text = format!(
        "{name:<13}{state:<9}{:>8} {:>8}{:>8} {:>8}",
        short(row.rx.frames),
        short(row.rx.bits),
        short(row.tx.frames),
        short(row.tx.bits)
    );
    let red = if row.dropped() > 0.0 { style(model, Color::Red) } else { Style::new() };
    let past = sparkline(row, width.saturating_sub(PAST));
    Line::from(vec![
        Span::from(text),
        Span::styled(format!("{:>8}  ", short(row.dropped())), red),
        Span::styled(past, style(model, Color::Green)),
    ])
}

/// The past in so many columns, the youngest on the right.
fn sparkline(row: &Row, width: usize) -> String {
    let most = row.history.iter().copied().fold(0.0, f64::max);
    let some = row.history.iter().skip(row.history.len().saturating_sub(width));
    let block = |rate: &f64| match most > 0.0 {
        true => BLOCKS[((rate / most * 7.0).round() as usize).min(7)],
        false => BLOCKS[0],
    };
    let blocks: String = some.map(block).collect();
    let empty = width.saturating_sub(row.history.len());
    format!("{}{blocks}", " ".repeat(empty))
}

/// The most frequent reasons of drops, a line each.
fn reasons(rows: &[&Row]) -> Vec<String> {
    let each = |row: &&Row| {
        let name = row.name.clone();
        row.drops
            .iter()
            .map(move |(counter, rate)| (name.clone(), *counter, *rate))
            .collect::<Vec<_>>()
    };
    let mut all: Vec<_> = rows.iter().flat_map(each).collect();
    all.sort_by(|one, other| other.2.total_cmp(&one.2));
    let tell = |(name, counter, rate): &(String, uswitch::stats::Counter, f64)| {
        format!("{name}: {} {}/s, {}", counter.name(), short(*rate), about(*counter))
    };
    all.iter().take(REASONS_MAX).map(tell).collect()
}

/// A rate in seven columns at the most.
fn short(rate: f64) -> String {
    let units = ["", "k", "M", "G", "T", "P"];
    let mut value = rate;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    let decimals = if unit == 0 || value >= 99.95 { 0 } else { 1 };
    format!("{value:.decimals$}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::{
        super::model::tests::{routed, sample},
        *,
    };

    fn screen(model: &Model, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model)).unwrap();
        let buffer = terminal.backend().buffer();
        let cells = buffer.content.chunks(width.into());
        let line = |cells: &[ratatui::buffer::Cell]| {
            let text: String = cells.iter().map(|cell| cell.symbol()).collect();
            text.trim_end().to_owned() + "\n"
        };
        cells.map(line).collect()
    }

    fn model() -> Model {
        let mut model = Model::new(false);
        for at in 0..5 {
            let ports = [("tap0", 1_000_000 * at, 200 * at * at, 0), ("tap1", 0, 3 * at, 7 * at)];
            model.take(sample(1, at, &ports));
        }
        model
    }

    #[test]
    fn screen_of_eighty_columns_has_rates_blocks_reasons_and_keys() {
        let expected = "\
lab  up 0:00:04  addresses 3 of 65536  workers 2 25% 0%

port*        state        rx/s    bit/s    tx/s    bit/s   drops  last minute
tap0         UP           1.0M     800M    1.4k     1.1M       0            ████
tap1         UP              0        0       3     2.4k       7            ████
tap1: tx_full 7/s, the port had no room



n r t d sort   / filter   ? help   q quit
";
        assert_eq!(screen(&model(), 80, 10), expected);
    }

    #[test]
    fn router_has_the_second_line() {
        let mut model = Model::new(false);
        model.take(routed(1, 1, [0; 4]));
        model.take(routed(1, 2, [1_000_000_000, 999_999_999, 100_000_000, 1]));
        let text = screen(&model, 80, 5);
        let line = "router: 1.0G/s received, 1.0G/s forwarded, 100M/s dropped, most of them ttl";
        assert_eq!(text.lines().nth(1), Some(line));
        model.filter = "a".to_owned();
        assert!(!screen(&model, 80, 5).contains("router"));
    }

    #[test]
    fn any_size_can_be_drawn() {
        for (width, height) in [(1, 1), (20, 3), (64, 5), (120, 40), (300, 2)] {
            let mut model = model();
            assert_eq!(screen(&model, width, height).lines().count(), usize::from(height));
            model.help = true;
            screen(&model, width, height);
            model.lose("gone");
            model.first = 1000;
            model.help = false;
            screen(&model, width, height);
            screen(&Model::new(true), width, height);
        }
    }

    #[test]
    fn end_of_the_switch_a_filter_and_help_are_told() {
        let mut model = model();
        model.filter = "tap1".to_owned();
        let text = screen(&model, 80, 24);
        assert!(text.contains("only names with `tap1`") && !text.contains("tap0"), "{text}");
        model.lose("the switch has hung up");
        assert!(screen(&model, 80, 24).contains("gone, and looked for: the switch has hung up"));
        model.help = true;
        assert!(screen(&model, 80, 24).contains("sort by name"));
    }

    #[test]
    fn nothing_is_coloured_where_nobody_wants_it() {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        let mut coloured = |model: &Model| {
            terminal.draw(|frame| draw(frame, model)).unwrap();
            let buffer = terminal.backend().buffer();
            buffer.content.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
        };
        let mut plain = model();
        assert!(!coloured(&plain));
        plain.colours = true;
        assert!(coloured(&plain));
    }

    #[test]
    fn rates_are_short() {
        for (rate, text) in [
            (0.0, "0"),
            (7.4, "7"),
            (999.4, "999"),
            (999.6, "1.0k"),
            (12_345.0, "12.3k"),
            (123_456.0, "123k"),
            (999_960.0, "1.0M"),
            (40e9, "40.0G"),
        ] {
            assert_eq!(short(rate), text, "{rate}");
        }
    }
}
