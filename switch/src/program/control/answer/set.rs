//! `port.set`: what can be changed of a port that stays. Anything else would take its device away
//! and open it again, and frames with it: that is for who deletes and adds it.

use uswitch::topology::{
    COMMON, Faults, PortSpec, can_be_set, check_bridges, check_quotas, check_twice, settle,
};

use super::{Steered, Told, lines};
use crate::program::control::Event;

/// The value of an option that is to be as if it had not been said.
const DEFAULT: &str = "default";

impl Steered<'_> {
    /// These ports beside all others: in a bridge of its own is the one on which a leg is.
    pub(super) fn beside(&self, new: &[PortSpec]) -> Result<Vec<PortSpec>, String> {
        let mut faults = Faults::default();
        let there = self.plugs.specs().map(|(spec, _)| spec);
        let mut all: Vec<_> = there.chain(new).cloned().collect();
        for (_, why) in settle(&mut all, &self.topology.legs) {
            faults.push(why);
        }
        check_twice(&all, &mut faults);
        check_bridges(&all, &self.topology.legs, &mut faults);
        if faults.is_empty() {
            Ok(all.split_off(all.len() - new.len()))
        } else {
            Err(lines(&faults))
        }
    }

    /// Sets these options of the port of this name: all, or none.
    pub(super) fn set(&mut self, name: &str, words: &[String]) -> Result<Told, String> {
        let old = self.plugs.specs().find(|(spec, _)| spec.name == name);
        let Some(old) = old.map(|(spec, _)| spec.clone()) else {
            self.check_no_leg(name)?;
            return Err(match self.plug_of(name) {
                Some(plug) => format!(
                    "`{name}` is a client of `{plug}`; what is set there goes for each of them"
                ),
                None => self.unknown(name),
            });
        };
        let new = changed(&old, words).map_err(|faults| lines(&faults))?;
        if new == old {
            return Ok(Told { told: vec![format!("{name}: it is so already")] });
        }
        if !can_be_set(&old, &new) {
            return Err(format!(
                "of a port that runs only its quota can be set; for anything else it goes and \
                 comes again: `uswitch port del {name}`, then `uswitch port add {new}`"
            ));
        }
        let mut faults = Faults::default();
        check_quotas(std::slice::from_ref(&new), self.topology.switch.fdb.size, &mut faults);
        if !faults.is_empty() {
            return Err(lines(&faults));
        }
        self.plugs.set_quota(name, new.quota, self.handle);
        let event = Event::set(&new);
        let told = Told { told: vec![event.text.clone()] };
        self.news.push(event);
        Ok(told)
    }
}

/// The spec with these options in place of what it has of their names.
fn changed(old: &PortSpec, words: &[String]) -> Result<PortSpec, Faults> {
    let (kind, plain, options) = old.emit();
    let mut faults = Faults::default();
    let mut given = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some((name, value)) => given.push((name.to_owned(), value.to_owned())),
            None => faults
                .push(format!("`{}` is not OPTION=VALUE, as in `quota=100`", word.escape_debug())),
        }
    }
    if given.is_empty() && faults.is_empty() {
        faults.push("nothing is said to be set; say for example `quota=100`");
    }
    let known = |name: &str| kind.options.iter().chain(COMMON).any(|known| known.name == name);
    let kept = options.into_iter().map(|(name, value)| (name.to_owned(), value));
    let kept = kept.filter(|(name, _)| !given.iter().any(|(other, _)| other == name));
    let said = given.iter().filter(|(name, value)| value != DEFAULT || !known(name));
    let options: Vec<_> = kept.chain(said.cloned()).collect();
    let new = PortSpec::read(kind, plain, &options).map_err(|found| faults.append(found));
    faults.or(new.ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(spec: &str, words: &[&str]) -> Result<String, String> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let new = changed(&spec.parse().unwrap(), &words);
        new.map(|spec| spec.to_string()).map_err(|faults| lines(&faults))
    }

    #[test]
    fn options_take_the_place_of_those_of_their_names() {
        let cases = [
            ("a", &["quota=1"][..], "tap:a,quota=1"),
            ("a,quota=1,mtu=9000", &["quota=2"], "tap:a,mtu=9000,quota=2"),
            ("a,quota=1,name=b", &["quota=default"], "tap:a,name=b"),
            ("a", &["quota=default"], "tap:a"),
            (
                "host:h,addr=10.0.0.1/8",
                &["addr=10.0.0.2/8", "addr=10.0.0.3/8"],
                "host:h,addr=10.0.0.2/8,addr=10.0.0.3/8",
            ),
        ];
        for (spec, words, expected) in cases {
            assert_eq!(set(spec, words), Ok(expected.to_owned()), "{spec} {words:?}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let cases = [
            (&["quota"][..], &["`quota` is not OPTION=VALUE"][..]),
            (&[], &["nothing is said to be set"]),
            (&["qota=1", "mtu=7", "x"], &["did you mean `quota`", "mtu 7 is out of", "`x` is not"]),
            (&["qota=default"], &["did you mean `quota`"]),
            (&["quota=1", "quota=2"], &["option `quota` is given twice"]),
            (&["quota="], &["option `quota` needs a value"]),
            (&["quota=0"], &["quota 0 is out of range"]),
        ];
        for (words, sentences) in cases {
            let told = set("a", words).unwrap_err();
            assert_eq!(told.lines().count(), sentences.len(), "{told}");
            assert!(sentences.iter().all(|sentence| told.contains(sentence)), "{told}");
        }
    }
}
