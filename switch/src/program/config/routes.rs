//! The file of routes beside a configuration: `[router] routes = "FILE"`, or `--routes FILE`. What
//! stands in it says [`RouteFile`]; here it is read, and what is wrong with it is kept for its own
//! text.

use std::{
    ops::Range,
    path::{self, Path},
    sync::Arc,
};

use uswitch::topology::{LineFaults, Part, PartOf, RouteFile};

use super::{Fault, File, Reading, told::Told};

/// Octets of a file of routes at the most: some millions of lines.
const FILE_OCTETS_MAX: u64 = 512 * 1024 * 1024;

/// The option of the command line.
const OPTION: &str = "--routes";

/// A file of routes that was read, and what is wrong with it.
#[derive(Default)]
pub(super) struct Read {
    file: Option<(File, Option<Arc<RouteFile>>)>,
    pub(super) faults: Vec<Fault>,
    /// Those that are wrong beside these.
    more: usize,
}

/// Reads the file that is named, if one is, and puts it among the words. That of the configuration
/// is in the folder of that, that of the command line where we are.
pub(super) fn read(reading: &mut Reading, folder: &Path, faults: &mut Vec<Fault>) -> Read {
    let Some(said) = reading.words.routes.clone() else { return Read::default() };
    let places: Vec<Range<usize>> = reading.options.get(OPTION).cloned().into_iter().collect();
    let folder = if places.is_empty() { Path::new("") } else { folder };
    let found = match said.as_str() {
        "" | "-" => Err(format!("`{said}` is no file of routes: it is read again at each reload")),
        // Whoever hears of it may be elsewhere.
        said => path::absolute(folder.join(said))
            .map_err(|error| format!("{said}: {}", netlab::reason(&error)))
            .and_then(|path| {
                Ok((File::read_most(&path, FILE_OCTETS_MAX, "file of routes")?, path))
            }),
    };
    let (file, path) = match found {
        Ok(found) => found,
        Err(why) => {
            let option = if places.is_empty() { "--routes: " } else { "" };
            faults.push(Fault { sentence: format!("{option}{why}"), places });
            return Read::default();
        }
    };
    match RouteFile::read(&path, &file.text) {
        Ok(routes) => {
            let routes = Arc::new(routes);
            reading.words.route_file = Some(routes.clone());
            Read { file: Some((file, Some(routes))), ..Read::default() }
        }
        Err(LineFaults { first, count }) => {
            let more = count - first.len();
            let fault = |(place, sentence)| Fault { sentence, places: vec![place] };
            let faults = first.into_iter().map(fault).collect();
            Read { file: Some((file, None)), faults, more }
        }
    }
}

impl Read {
    /// Notes what is wrong with one of its routes.
    pub(super) fn blame(&mut self, part: &Part, other: Option<&Part>, sentence: &str) {
        let Some((File { text, .. }, Some(routes))) = &self.file else { return };
        let place = |part: &Part| routes.place(text, part.number, part.option, part.which);
        let other = other.filter(|other| other.of == PartOf::RouteFile).map(place);
        let places = [place(part)].into_iter().chain(other).collect();
        self.faults.push(Fault { sentence: sentence.to_owned(), places });
    }

    /// All that is wrong with it. `None`: nothing.
    pub(super) fn told(self) -> Option<Told> {
        let Read { file, faults, more } = self;
        let (file, _) = file.filter(|_| !faults.is_empty())?;
        Some(Told::new(file, faults).and_more(more))
    }
}

#[cfg(all(test, feature = "router"))]
mod tests {
    use std::fs;

    use uswitch::topology::{Topology, Words};

    use super::super::{emit::emit, load};

    /// A configuration and its file of routes.
    fn resolve(config: &str, routes: &str, words: &Words) -> Result<Topology, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab.toml");
        fs::write(&path, format!("{HEAD}{config}")).unwrap();
        fs::write(folder.path().join("full.routes"), routes).unwrap();
        let found = load(&path, words, &[0]);
        let here = folder.path().display().to_string() + "/";
        found.map_err(|told| told.text(false).replace(&here, ""))
    }

    const HEAD: &str = "[[port]]\ntap = 't'\n[[leg]]\nbridge = 'br'\naddress = '10.0.0.1/24'\n";
    const NAMED: &str = "[router]\nroutes = 'full.routes'\n";

    #[test]
    fn a_file_of_routes_is_beside_that_which_names_it() {
        let text = "10.1.0.0/16 via 10.0.0.2 dev br\nblackhole 10.2.0.0/16\n";
        let topology = resolve(NAMED, text, &Words::default()).unwrap();
        let file = topology.route_file.as_ref().unwrap();
        assert_eq!((file.len(), topology.routes.len()), (2, 0));
        assert!(file.path().is_absolute() && file.path().ends_with("full.routes"));
        let line = format!(
            "[router]\nicmp-rate = 100\nicmp-burst = 50\nroutes = \"{}\"\n",
            file.path().display()
        );
        assert!(emit(&topology).contains(&line), "{}", emit(&topology));
        let found = topology.lookup("10.1.2.3".parse().unwrap()).unwrap();
        assert!(format!("{found:?}").contains("10.0.0.2"), "{found:?}");
    }

    #[test]
    fn what_is_wrong_with_both_files_is_told_at_once_each_at_its_place() {
        let text = "\
# all
10.1.0.0/16 via 10.0.0.2
10.1.0.0/16 via 10.0.0.3
10.2.0.0/16 via 192.0.2.1
10.3.0.0/16
\tnexthop via 10.0.0.2
\tnexthop dev lan
";
        let told = resolve("mtuu = 7\n[router]\nroutes = 'full.routes'\n", text, &Words::default());
        let expected = "\
error: there is no option `mtuu`; did you mean `mtu`?
 --> lab.toml:6:1
  |
6 | mtuu = 7
  | ^^^^

error: there are two routes to 10.1.0.0/16 with one metric: make it one with two next hops, or \
give one of them another metric
 --> full.routes:3:1
  |
2 | 10.1.0.0/16 via 10.0.0.2
  | ----------- first here
3 | 10.1.0.0/16 via 10.0.0.3
  | ^^^^^^^^^^^
";
        assert_eq!(told.unwrap_err(), expected, "of legs nobody knows which are missing");
        let told = resolve(NAMED, text, &Words::default()).unwrap_err();
        for place in ["full.routes:3:1", "full.routes:4:17", "full.routes:7:14"] {
            assert!(told.contains(place), "{place}: {told}");
        }
        assert!(told.contains("there is no leg `lan`"), "{told}");
    }

    #[test]
    fn faults_of_a_file_are_counted_and_the_first_are_shown() {
        let told = resolve(NAMED, &"10.0.0.1/8 dev br\n".repeat(5000), &Words::default());
        let told = told.unwrap_err();
        assert_eq!(told.matches("error: ").count(), 50);
        assert!(told.ends_with("and 4950 more\n"), "{told}");
        // The same of those that are found between routes and legs.
        let line =
            |number: usize| format!("10.{}.{}.0/24 via 192.0.2.1\n", number / 256, number % 256);
        let text: String = (256..20_256).map(line).collect();
        let told = resolve(NAMED, &text, &Words::default()).unwrap_err();
        assert!(told.ends_with("and 9950 more\n"), "{told}");
    }

    #[test]
    fn file_that_cannot_be_read_is_told_where_it_is_named() {
        let told = resolve("[router]\nroutes = 'none'\n", "", &Words::default()).unwrap_err();
        assert!(told.starts_with("error: none: ") && told.contains("lab.toml:7:10"), "{told}");
        let words = Words { routes: Some("/nowhere/at/all".to_owned()), ..Words::default() };
        let told = resolve(NAMED, "", &words).unwrap_err();
        assert!(told.starts_with("error: --routes: /nowhere/at/all: "), "{told}");
    }
}
