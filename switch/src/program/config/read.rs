//! From TOML to words, each with its place in the file. Nothing is decided here but the form: what
//! is a table, a key, a value.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::ErrorKind,
    ops::Range,
};

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};
use uswitch::topology::{About, COMMON, Faults, KINDS, Kind, PartOf, PortSpec, Words, nearest};

use self::routing::PartPlaces;
use super::Fault;

mod routing;

/// A file, as far as it could be read.
pub(super) struct Reading {
    /// What it says, below what the command line says.
    pub(super) words: Words,
    /// Where it says what an option of the command line could have said.
    pub(super) options: BTreeMap<&'static str, Range<usize>>,
    /// Where the ports are that could be read, in their order.
    pub(super) ports: Vec<PortPlaces>,
    /// Where the address and the port of each static entry are.
    pub(super) statics: Vec<[Range<usize>; 2]>,
    /// Where legs, routes and neighbours are.
    parts: BTreeMap<PartOf, Vec<PartPlaces>>,
    pub(super) faults: Vec<Fault>,
}

/// Where the words of one port are.
pub(super) struct PortPlaces {
    /// The value of the key that names its kind.
    words: Range<usize>,
    /// Each word.
    each: Vec<Range<usize>>,
    /// The key and the value of each option.
    settings: BTreeMap<String, [Range<usize>; 2]>,
}

impl PortPlaces {
    /// The value of an option, or what names the port if it has none.
    pub(super) fn setting(&self, name: &str) -> Range<usize> {
        self.settings.get(name).map_or(&self.words, |[_, value]| value).clone()
    }
}

/// Where an option of the command line is kept.
type Slot = fn(&mut Words) -> &mut Option<String>;

/// The keys that set what an option of the command line sets: table, key, option.
pub(super) const SETTINGS: &[(&str, &str, &str, Slot)] = &[
    ("switch", "workers", "--workers", |words| &mut words.workers),
    ("switch", "cpus", "--cpus", |words| &mut words.cpus),
    ("switch", "busy-poll", "--busy-poll", |words| &mut words.busy_poll),
    ("switch", "group-forward", "--group-forward", |words| &mut words.group_forward),
    ("switch", "mtu", "--mtu", |words| &mut words.mtu),
    ("switch", "metrics", "--metrics", |words| &mut words.metrics),
    ("fdb", "size", "--fdb-size", |words| &mut words.fdb_size),
    ("fdb", "quota", "--fdb-quota", |words| &mut words.fdb_quota),
    ("fdb", "ageing", "--ageing", |words| &mut words.ageing),
    ("router", "icmp-rate", "--icmp-rate", |words| &mut words.icmp_rate),
    ("router", "icmp-burst", "--icmp-burst", |words| &mut words.icmp_burst),
    ("router", "routes", "--routes", |words| &mut words.routes),
];

/// Those whose value may be an array, which is written with commas on the command line.
const LISTS: &[&str] = &["cpus"];

/// The key of `[switch]` that is a switch itself.
pub(super) const PERSIST: &str = "persist";

/// The key of `[switch]` for folders, of which the command line may say more.
pub(super) const ALLOW_PATH: &str = "allow-path";

/// The array of `[fdb]`, and the keys of each table in it.
const STATIC: &str = "static";
const STATIC_KEYS: [&str; 2] = ["mac", "port"];

/// The tables that there are.
const TABLES: &[&str] = &["switch", "fdb", "router", "port", "leg", "route", "neighbour"];

type Entry<'t, 'i> = (&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>);

impl Reading {
    /// Reads a text, with these words of a command line before it.
    pub(super) fn read(text: &str, words: &Words) -> Reading {
        let (options, ports, statics) = (BTreeMap::new(), Vec::new(), Vec::new());
        let (words, faults, parts) = (words.clone(), Vec::new(), BTreeMap::new());
        let mut reading = Reading { words, options, ports, statics, parts, faults };
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let end = text.len();
            let place = error.span().unwrap_or(end..end);
            let sentence = unquoted(text, &place).unwrap_or_else(|| error.message().to_owned());
            reading.fault(place, sentence);
        }
        // What was made of a faulty line says nothing of what was meant.
        if errors.is_empty() {
            reading.root(root.get_ref());
        } else {
            reading.words.unread = true;
            reading.words.unread_legs = true;
        }
        reading
    }

    fn fault(&mut self, place: Range<usize>, sentence: impl Into<String>) {
        self.faults.push(Fault { sentence: sentence.into(), places: vec![place] });
    }

    fn root(&mut self, root: &DeTable<'_>) {
        for (key, value) in in_order(root) {
            let (name, place) = (&**key.get_ref(), value.span());
            match (name, value.get_ref()) {
                ("port", DeValue::Array(ports)) => {
                    for port in ports.iter() {
                        self.port_or_fault(port);
                    }
                }
                ("port", _) => {
                    self.fault(place, "a port is a table in double brackets: [[port]]");
                    self.words.unread = true;
                }
                ("leg" | "route" | "neighbour", DeValue::Array(parts)) => {
                    parts.iter().for_each(|part| self.part_or_fault(name, part));
                }
                ("leg" | "route" | "neighbour", _) => self.part_form(name, place),
                ("switch" | "fdb" | "router", DeValue::Table(table)) => self.settings(name, table),
                ("switch" | "fdb" | "router", _) => {
                    self.fault(place, format!("`{name}` is a table: [{name}]"));
                }
                _ => {
                    let keys = SETTINGS.iter().find(|(_, key, ..)| *key == name);
                    let sentence = match (keys, nearest(name, TABLES.iter().copied())) {
                        (Some((table, ..)), _) => format!("`{name}` belongs below [{table}]"),
                        (None, Some(near)) => {
                            format!("there is no table `{name}`; did you mean `{near}`?")
                        }
                        (None, None) => format!(
                            "there is no table `{name}`; there are: [switch], [fdb], [router], \
                             [[port]], [[leg]], [[route]], [[neighbour]]"
                        ),
                    };
                    self.fault(key.span(), sentence);
                }
            }
        }
    }

    /// `[switch]` and `[fdb]`.
    fn settings(&mut self, table: &str, entries: &DeTable<'_>) {
        for (key, value) in in_order(entries) {
            let (name, place) = (&**key.get_ref(), value.span());
            if (table, name) == ("switch", PERSIST) {
                match text_of(value).as_deref() {
                    Ok("on") => self.words.persist = true,
                    Ok("off") => {}
                    _ => self.fault(place, "`persist` is true or false"),
                }
                continue;
            }
            if (table, name) == ("switch", ALLOW_PATH) {
                let folders = texts_of(value, true, name, &mut self.faults).unwrap_or_default();
                for (folder, place) in folders {
                    // Whoever may not look there cannot tell.
                    let is_none = match fs::metadata(&folder) {
                        Ok(found) => !found.is_dir(),
                        Err(error) => error.kind() == ErrorKind::NotFound,
                    };
                    if is_none {
                        let sentence = format!("`{}` is no folder", folder.escape_debug());
                        self.fault(place, sentence);
                    }
                    self.words.allow_path.push(folder);
                }
                continue;
            }
            if (table, name) == ("fdb", STATIC) {
                self.statics(value);
                continue;
            }
            let here = || SETTINGS.iter().filter(|(of, ..)| *of == table);
            let Some((_, _, option, slot)) = here().find(|(_, key, ..)| *key == name) else {
                let others =
                    [("switch", PERSIST), ("switch", ALLOW_PATH), ("fdb", STATIC)].into_iter();
                let others = || others.clone().filter(|(of, _)| *of == table).map(|(_, key)| key);
                let known = || here().map(|(_, key, ..)| *key).chain(others());
                let sentence = match nearest(name, known()) {
                    Some(near) => format!("there is no key `{name}`; did you mean `{near}`?"),
                    None => {
                        let list = known().collect::<Vec<_>>().join(", ");
                        format!("there is no key `{name}`; [{table}] has: {list}")
                    }
                };
                self.fault(key.span(), sentence);
                continue;
            };
            let texts = texts_of(value, LISTS.contains(&name), name, &mut self.faults);
            let slot = slot(&mut self.words);
            // The command line has said something else: that goes.
            if let (Some(texts), None) = (texts, &slot) {
                let texts: Vec<_> = texts.into_iter().map(|(text, _)| text).collect();
                *slot = Some(texts.join(","));
                self.options.insert(option, place);
            }
        }
    }

    /// `[[fdb.static]]`.
    fn statics(&mut self, value: &Spanned<DeValue<'_>>) {
        const FORM: &str = "a static entry is a table in double brackets: [[fdb.static]]";
        let DeValue::Array(entries) = value.get_ref() else {
            return self.fault(value.span(), FORM);
        };
        for entry in entries.iter() {
            let DeValue::Table(table) = entry.get_ref() else {
                self.fault(entry.span(), FORM);
                continue;
            };
            let mut found = [None, None];
            for (key, value) in in_order(table) {
                let name = &**key.get_ref();
                let Some(which) = STATIC_KEYS.iter().position(|known| *known == name) else {
                    let sentence = match nearest(name, STATIC_KEYS) {
                        Some(near) => format!("there is no key `{name}`; did you mean `{near}`?"),
                        None => format!("there is no key `{name}`; [[fdb.static]] has: mac, port"),
                    };
                    self.fault(key.span(), sentence);
                    continue;
                };
                // What could not be read has been told, and is not missing.
                let texts = texts_of(value, false, name, &mut self.faults).unwrap_or_default();
                found[which] = Some((texts.into_iter().next().map(|(text, _)| text), value.span()));
            }
            for (which, _) in found.iter().enumerate().filter(|(_, found)| found.is_none()) {
                let key = STATIC_KEYS[which];
                self.fault(entry.span(), format!("`{key}` is missing in a static entry"));
            }
            if let [Some((Some(mac), at)), Some((Some(port), port_at))] = found {
                self.words.statics.push([mac, port]);
                self.statics.push([at, port_at]);
            }
        }
    }

    fn port_or_fault(&mut self, port: &Spanned<DeValue<'_>>) {
        let found = match port.get_ref() {
            DeValue::Table(table) => self.port(table, port.span()),
            _ => {
                self.fault(port.span(), "a port is a table in double brackets: [[port]]");
                None
            }
        };
        match found {
            Some((spec, places)) => {
                self.words.read.push(spec);
                self.ports.push(places);
            }
            None => self.words.unread = true,
        }
    }

    /// One port.
    fn port(
        &mut self,
        table: &DeTable<'_>,
        header: Range<usize>,
    ) -> Option<(PortSpec, PortPlaces)> {
        let entries = in_order(table);
        let (kind, at) = self.kind(&entries, header)?;
        let faults_before = self.faults.len();
        let words = entries[at].1;
        let (mut each, mut options, mut settings) = (Vec::new(), Vec::new(), BTreeMap::new());
        let texts = match words.get_ref() {
            DeValue::Boolean(true) if kind.words.is_empty() => Some(Vec::new()),
            _ => texts_of(words, true, kind.name, &mut self.faults),
        };
        let mut plain = Vec::new();
        for (text, place) in texts.unwrap_or_default() {
            plain.push(text);
            each.push(place);
        }
        let known = || kind.options.iter().chain(COMMON);
        for (key, value) in
            entries.iter().enumerate().filter(|(index, _)| *index != at).map(|e| e.1)
        {
            let name = key.get_ref().to_string();
            let many = known().find(|setting| setting.name == name).is_none_or(|s| s.many);
            let texts = texts_of(value, many, &name, &mut self.faults).unwrap_or_default();
            options.extend(texts.into_iter().map(|(text, _)| (name.clone(), text)));
            settings.insert(name, [key.span(), value.span()]);
        }
        let places = PortPlaces { words: words.span(), each, settings };
        let words_read = faults_before == self.faults.len() || !plain.is_empty();
        match PortSpec::read(kind, plain, &options) {
            Ok(spec) if faults_before == self.faults.len() => return Some((spec, places)),
            Err(faults) if words_read => self.blame(kind, &places, &faults),
            _ => {}
        }
        None
    }

    /// Tells what is wrong with a port, each at its place.
    fn blame(&mut self, kind: &Kind, places: &PortPlaces, faults: &Faults) {
        let known = |name: &str| kind.options.iter().chain(COMMON).any(|known| known.name == name);
        let mut told = BTreeSet::new();
        for (about, sentence) in faults.places() {
            let place = match about {
                About::Word(number) => places.each.get(*number).unwrap_or(&places.words),
                About::Setting(name) => match places.settings.get(name) {
                    Some([_, value]) if known(name) => value,
                    // The same is said of each value in an array.
                    Some(_) if !told.insert(name) => continue,
                    Some([key, _]) => key,
                    None => &places.words,
                },
                _ => &places.words,
            };
            let sentence = sentence.replace(&kind.form(), &form(kind));
            self.fault(place.clone(), sentence);
        }
    }

    /// The kind of a port, and which entry names it. An option may have the name of a kind: in the
    /// table of a kind that has such an option, it is that.
    fn kind(
        &mut self,
        entries: &[Entry<'_, '_>],
        header: Range<usize>,
    ) -> Option<(&'static Kind, usize)> {
        let named =
            |index: usize| KINDS.iter().find(|kind| kind.name == *entries[index].0.get_ref());
        let named: Vec<_> = (0..entries.len()).filter_map(|i| Some((named(i)?, i))).collect();
        let is_option = |kind: &Kind, of: &Kind| of.options.iter().any(|o| o.name == kind.name);
        let kinds: Vec<_> = named
            .iter()
            .filter(|(kind, _)| !named.iter().any(|(other, _)| is_option(kind, other)))
            .collect();
        match &*kinds {
            [(kind, at)] => return Some((kind, *at)),
            [(_, first), others @ ..] => {
                for (kind, at) in others {
                    let sentence = format!(
                        "`{}` is a second kind of port: it has a table of its own",
                        kind.name
                    );
                    let places = [*at, *first].map(|at| entries[at].0.span()).to_vec();
                    self.faults.push(Fault { sentence, places });
                }
            }
            [] => {
                let common = |name: &str| COMMON.iter().any(|setting| setting.name == name);
                let keys = entries.iter().map(|(key, _)| *key);
                let strange = keys.filter(|key| !common(key.get_ref()));
                let names = || KINDS.iter().map(|kind| kind.name);
                let near = strange.filter_map(|key| Some((key, nearest(key.get_ref(), names())?)));
                match near.into_iter().next() {
                    Some((key, near)) => {
                        let name = key.get_ref();
                        let sentence =
                            format!("there is no kind of port `{name}`; did you mean `{near}`?");
                        self.fault(key.span(), sentence);
                    }
                    None => {
                        let list = names().collect::<Vec<_>>().join(", ");
                        self.fault(header, format!("no kind of port is named; there are: {list}"));
                    }
                }
            }
        }
        None
    }
}

/// What to say where a value begins that seems to be a text without quotes: of that a reader of
/// TOML says odd things.
fn unquoted(text: &str, place: &Range<usize>) -> Option<String> {
    let before = text.get(..place.start)?.trim_end_matches([' ', '\t']);
    let end = |c: char| c.is_whitespace() || ",]}#\"'=".contains(c);
    let word = text[place.start..].split(end).next()?;
    let begins = word.starts_with(|c: char| c.is_alphabetic() || c == '/');
    (before.ends_with(['=', '[', ',']) && begins)
        .then(|| format!("`{word}` is no value; a text stands in quotes: \"{word}\""))
}

/// How a kind's words are written in a file.
fn form(kind: &Kind) -> String {
    match kind.words {
        [] => format!("{} = true", kind.name),
        [word] => format!("{} = {word}", kind.name),
        words => format!("{} = [{}]", kind.name, words.join(", ")),
    }
}

/// The entries in the order of the file.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Entry<'t, 'i>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// The texts of a value, or of each in an array where `many` may be. `None`: it has none, which is
/// a fault.
fn texts_of(
    value: &Spanned<DeValue<'_>>,
    many: bool,
    name: &str,
    faults: &mut Vec<Fault>,
) -> Option<Vec<(String, Range<usize>)>> {
    let alone = std::slice::from_ref(value);
    let values = match value.get_ref() {
        DeValue::Array(_) if !many => {
            let sentence = format!("`{name}` has one value, and no array of them");
            faults.push(Fault { sentence, places: vec![value.span()] });
            return None;
        }
        DeValue::Array(values) => values,
        _ => alone,
    };
    let mut texts = Some(Vec::new());
    for value in values {
        match text_of(value) {
            Ok(text) => texts.iter_mut().for_each(|texts| texts.push((text.clone(), value.span()))),
            Err(sentence) => {
                faults.push(Fault { sentence, places: vec![value.span()] });
                texts = None;
            }
        }
    }
    texts
}

/// A value as it would be typed behind an equals sign.
fn text_of(value: &Spanned<DeValue<'_>>) -> Result<String, String> {
    let what = match value.get_ref() {
        DeValue::String(text) => return Ok(text.to_string()),
        DeValue::Integer(number) => {
            let plain = i128::from_str_radix(number.as_str(), number.radix());
            return Ok(plain.map_or_else(|_| number.as_str().to_owned(), |plain| plain.to_string()));
        }
        DeValue::Float(number) => return Ok(number.as_str().to_owned()),
        DeValue::Boolean(on) => return Ok(if *on { "on" } else { "off" }.to_owned()),
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    Err(format!("{what} cannot stand here"))
}
