//! What is wrong with a request, all of it at once: sentences for a person, each with what it is
//! about, for whoever can show the place.

use std::fmt;

/// Everything that is wrong with a request, in sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    faults: Vec<Fault>,
}

/// What a fault is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum About {
    /// The request, or the one port of which it is said.
    #[default]
    Whole,
    /// An option of the command line, as it is named there: `--mtu`.
    Option(String),
    /// The word of a spec that has this number.
    Word(usize),
    /// The option of a spec that has this name.
    Setting(String),
    /// The port that has this number in the topology, and the option of it that has this name.
    Port(usize, &'static str),
    /// Two ports, by their numbers in the topology: they cannot both be.
    Twice([usize; 2]),
    /// The static entry that has this number among the words, and what of it: `mac` or `port`.
    Static(usize, &'static str),
    /// Two static entries, by the same numbers: they have the same address.
    StaticTwice([usize; 2]),
    /// The option of a part of the router that has this number among those that were said.
    Said(usize),
    /// The name of that option: there is none of this name.
    Name(usize),
    /// A part of the router, and what it is at odds with.
    Router(Part, Option<Part>),
}

/// A part of the router, and what of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub of: PartOf,
    /// Its number in the topology.
    pub number: usize,
    /// The option.
    pub option: &'static str,
    /// Which of the option's values.
    pub which: usize,
}

/// The parts of a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartOf {
    /// A leg.
    Leg,
    /// A route.
    Route,
    /// A route of the file of routes.
    RouteFile,
    /// A neighbour.
    Neighbour,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    about: About,
    /// Behind the words that it is about, if it stands on a command line.
    sentence: String,
    /// Octets of those words.
    prefix: usize,
}

impl Faults {
    /// The sentences, in the order of the words that they are about.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.faults.iter().map(|fault| fault.sentence.as_str())
    }

    /// What each is about, and its sentence without the words of a command line.
    pub fn places(&self) -> impl Iterator<Item = (&About, &str)> {
        self.faults.iter().map(|fault| (&fault.about, &fault.sentence[fault.prefix..]))
    }

    /// Whether nothing was found yet.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// One sentence more.
    pub fn push(&mut self, sentence: impl Into<String>) {
        self.push_about(About::Whole, sentence);
    }

    /// One sentence more, and what it is about.
    pub fn push_about(&mut self, about: About, sentence: impl Into<String>) {
        self.faults.push(Fault { about, sentence: sentence.into(), prefix: 0 });
    }

    /// All sentences of another.
    pub fn append(&mut self, faults: Faults) {
        self.faults.extend(faults.faults);
    }

    /// The value, or its faults on the list, each behind the words that it is about.
    pub fn note<T>(&mut self, option: &str, outcome: Result<T, Faults>) -> Option<T> {
        let faults = match outcome {
            Ok(value) => return Some(value),
            Err(faults) => faults,
        };
        self.faults.extend(faults.faults.into_iter().map(|fault| {
            let about = match fault.about {
                About::Whole => About::Option(option.to_owned()),
                finer => finer,
            };
            let sentence = format!("{option}: {}", fault.sentence);
            Fault { about, sentence, prefix: option.len() + ": ".len() + fault.prefix }
        }));
        None
    }

    /// The value, if nothing was wrong on the way to it.
    ///
    /// # Errors
    ///
    /// These faults.
    ///
    /// # Panics
    ///
    /// If there is neither a value nor a fault that says why.
    pub fn or<T>(self, value: Option<T>) -> Result<T, Faults> {
        if self.faults.is_empty() {
            return Ok(value.expect("what could not be parsed has left a fault"));
        }
        Err(self)
    }
}

impl From<String> for Faults {
    fn from(sentence: String) -> Faults {
        let mut faults = Faults::default();
        faults.push(sentence);
        faults
    }
}

impl From<&str> for Faults {
    fn from(sentence: &str) -> Faults {
        Faults::from(sentence.to_owned())
    }
}

impl fmt::Display for Faults {
    /// One a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_bears_the_words_it_is_about_and_can_be_had_without() {
        let mut faults = Faults::default();
        assert_eq!(faults.note("--mtu", Ok(1)), Some(1));
        assert_eq!(faults.note::<()>("--mtu", Err("9 is out of range".into())), None);
        faults.push_about(About::Twice([0, 2]), "twice");
        assert_eq!(faults.iter().collect::<Vec<_>>(), ["--mtu: 9 is out of range", "twice"]);
        let option = About::Option("--mtu".into());
        let places: Vec<_> = faults.places().collect();
        assert_eq!(places, [(&option, "9 is out of range"), (&About::Twice([0, 2]), "twice")]);
    }
}
