//! The rules of style that a program can check, over all files of the tree. Each rule is a
//! function from a file to its faults, and is itself tested on a snippet that breaks it.
//!
//! An exception is a line in a list, with its reason. A list that names what is not there any
//! more is a fault too, so that no rule ends unnoticed.

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use std::{
    fs,
    path::{Path, PathBuf},
};

use rules::{HOT, RULES};
use source::Source;

/// Folders that are not of the tree, or not written by us.
const SKIPPED: [&str; 5] =
    [".git", "target", "tests/fuzz/target", "tests/fuzz/corpus", "tests/fuzz/artifacts"];

#[test]
fn every_file_keeps_the_rules() {
    let sources = sources();
    assert!(sources.len() > 20, "the tree is there");
    let faults: Vec<_> =
        sources.iter().flat_map(|source| RULES.iter().flat_map(|(_, rule)| rule(source))).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_function_on_the_way_of_a_frame_is_where_the_list_says() {
    let sources = sources();
    for (path, name) in HOT {
        let there = sources.iter().find(|source| source.path == *path);
        let found = there.is_some_and(|s| s.functions().iter().any(|f| f.name == *name));
        assert!(found, "{path} has no function {name}: is the list of tidy/rules.rs up to date?");
    }
}

#[test]
fn every_list_of_files_names_files_that_need_it() {
    let sources = sources();
    for (list, rule) in rules::LISTS {
        for (path, _) in *list {
            // Without its line in the list the file would have a fault.
            let stripped = |s: &Source| Source::new("elsewhere.rs", &s.text);
            let source = sources.iter().find(|source| source.path == *path);
            let needed = source.is_some_and(|source| !rule(&stripped(source)).is_empty());
            assert!(needed, "{path} is on a list and does not need to be");
        }
    }
}

#[test]
fn every_counter_is_explained_in_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).expect("there is a README");
    use uswitch_router::{neighbour::stats::Counter, stats::Reason, totals::Count};
    let missing = uswitch::stats::Counter::ALL.iter().map(|counter| counter.name());
    let missing = missing.chain(Count::ALL.iter().map(|count| count.name()));
    let missing = missing.chain(Reason::ALL.iter().map(|reason| reason.name()));
    let neighbours = Counter::ALL.iter().filter(|counter| counter.reason().is_none());
    let missing = missing.chain(neighbours.map(|counter| counter.name()));
    let missing: Vec<_> = missing.filter(|name| !readme.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "README.md does not mention {missing:?}");
}

/// Whoever keeps rights is to be read in one sitting. Comments do not count, nor does what opens
/// ports for anybody.
#[test]
fn process_that_keeps_the_rights_has_under_300_lines_of_its_own() {
    let own = "switch/src/plug/opener/serve";
    let sources = sources();
    let its = sources.iter().filter(|source| source.path.starts_with(own));
    let lines: Vec<_> = its
        .map(|source| {
            let code = source.code.lines().take(source.lines_without_tests());
            code.filter(|line| !line.trim().is_empty()).count()
        })
        .collect();
    assert!(lines.len() > 1 && lines.iter().sum::<usize>() < 300, "{lines:?}");
}

#[test]
fn changes_are_written_down() {
    assert!(root().join("CHANGELOG.md").is_file(), "CHANGELOG.md is there");
}

#[test]
fn every_package_has_the_lints_of_the_workspace() {
    let manifests = files().into_iter().filter(|path| path.ends_with("Cargo.toml"));
    let members = manifests.filter(|path| *path != "Cargo.toml" && !path.contains("fuzz/"));
    for path in members.collect::<Vec<_>>() {
        let text = fs::read_to_string(root().join(&path)).expect("a file can be read");
        assert!(text.contains("\n[lints]\nworkspace = true\n"), "{path} has the lints");
    }
}

#[test]
fn no_file_names_a_path_of_somebodys_machine() {
    for path in files() {
        // What is not text names nothing.
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        let faults = rules::foreign_paths(&text);
        assert!(faults.is_empty(), "{path}: {faults:?}");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources() -> Vec<Source> {
    let rust = files().into_iter().filter(|path| path.ends_with(".rs"));
    rust.map(|path| {
        let text = fs::read_to_string(root().join(&path)).expect("a file can be read");
        Source::new(&path, &text)
    })
    .collect()
}

/// The paths of all files of the tree, from its root, in order.
fn files() -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder can be read") {
            let entry = entry.expect("a folder can be read");
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let kind = entry.file_type().expect("a file has a type");
            if SKIPPED.contains(&path.as_str()) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
