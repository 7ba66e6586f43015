//! What came of reading the file again: an answer, an event and a line of the log.

use std::fmt;

use serde::{Deserialize, Serialize};
use uswitch::topology::Action;

/// What was done.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Applied {
    /// The file.
    pub(crate) file: String,
    /// Ports that were not there.
    pub(crate) came: usize,
    /// Ports that are there no more.
    pub(crate) removed: usize,
    /// Ports that are now another, or were set.
    pub(crate) changed: usize,
    /// Settings of the switch: `ageing: 300 -> 10`.
    pub(crate) set: Vec<String>,
    /// Static entries that came, went or changed: `+ 02:00:00:00:00:01 dev tap0 static`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) statics: Vec<String>,
    /// Legs that came, went or changed, and how many routes and neighbours did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) router: Vec<String>,
}

impl Applied {
    /// What is done when these actions are.
    pub(crate) fn of(file: &str, actions: &[Action]) -> Applied {
        let mut applied = Applied { file: file.to_owned(), ..Applied::default() };
        for action in actions {
            match action {
                Action::Add(_) => applied.came += 1,
                Action::Remove(_) => applied.removed += 1,
                Action::Change { .. } | Action::Adjust { .. } => applied.changed += 1,
                Action::Set { setting, old, new } | Action::Restart { setting, old, new } => {
                    applied.set.push(format!("{setting}: {old} -> {new}"));
                }
                Action::RemoveLeg(_) | Action::ChangeLeg { .. } | Action::AddLeg(_) => {
                    applied.router.push(action.to_string());
                }
                Action::Routes { gone, come } => {
                    applied.router.push(counted("routes", gone.len(), come.len()));
                }
                Action::RouteFile { gone, come } => {
                    applied.router.push(counted("routes", gone.count, come.count));
                }
                Action::Neighbours { gone, come } => {
                    applied.router.push(counted("neighbours", gone.len(), come.len()));
                }
                Action::RemoveStatic(_) | Action::ChangeStatic { .. } | Action::AddStatic(_) => {
                    applied.statics.push(action.to_string());
                }
            }
        }
        applied
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers")
    }
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Applied { file, came, removed, changed, set, statics, router } = self;
        let counts = [(came, "in"), (removed, "out"), (changed, "changed")];
        let ports = |(count, what): &(&usize, &str)| match **count {
            1 => format!("1 port {what}"),
            count => format!("{count} ports {what}"),
        };
        let done = counts.iter().filter(|(count, _)| **count > 0).map(ports);
        let done: Vec<_> = done.chain(set.iter().chain(statics).chain(router).cloned()).collect();
        match &*done {
            [] => write!(f, "{file}: applied, nothing differs"),
            done => write!(f, "{file}: applied, {}", done.join(", ")),
        }
    }
}

/// How many have come and gone.
fn counted(what: &str, gone: usize, come: usize) -> String {
    format!("{what}: {come} in, {gone} out")
}

#[cfg(test)]
mod tests {
    use uswitch::topology::StaticEntry;

    use super::*;

    #[test]
    fn each_action_is_counted_and_told() {
        let spec = |text: &str| text.parse().unwrap();
        let ends = || ("300".to_owned(), "10".to_owned());
        let (old, new) = ends();
        let mac = "02:00:00:00:00:01".parse().unwrap();
        let actions = [
            Action::Set { setting: "ageing", old, new },
            Action::Adjust { old: spec("a"), new: spec("a,quota=1") },
            Action::Remove(spec("b")),
            Action::Change { old: spec("c"), new: spec("c,mtu=1400") },
            Action::Add(spec("d")),
            Action::Add(spec("e")),
            Action::AddStatic(StaticEntry { mac, port: "a".to_owned() }),
            Action::AddLeg("br=10.0.0.1/24".parse().unwrap()),
            Action::Routes { gone: vec![], come: vec!["default,leg=br".parse().unwrap()] },
        ];
        let applied = Applied::of("x.toml", &actions);
        let told = "x.toml: applied, 2 ports in, 1 port out, 2 ports changed, ageing: 300 -> 10, \
                    + 02:00:00:00:00:01 dev a static, + leg br=10.0.0.1/24, routes: 1 in, 0 out";
        assert_eq!(applied.to_string(), told);
        assert_eq!(serde_json::from_str::<Applied>(&applied.json()).unwrap(), applied);
        assert_eq!(Applied::of("y", &[]).to_string(), "y: applied, nothing differs");
    }
}
