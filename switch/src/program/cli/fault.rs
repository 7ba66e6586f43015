//! What clap finds wrong, one fault at a time: told as a sentence, and taken out of the words so
//! that the rest can be read as well.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What clap found, as one sentence.
pub(super) fn sentence(error: &clap::Error) -> String {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let argument = said(ContextKind::InvalidArg).unwrap_or_default();
    match (error.kind(), said(ContextKind::SuggestedArg), said(ContextKind::InvalidValue)) {
        (ErrorKind::UnknownArgument, Some(near), _) => {
            format!("there is no option `{argument}`; did you mean `{near}`?")
        }
        (ErrorKind::UnknownArgument, None, _) if !argument.starts_with('-') => {
            format!("`{argument}` stands alone, and nothing is to be done with it")
        }
        (ErrorKind::UnknownArgument, None, _) => format!("there is no option `{argument}`"),
        (ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, ..) => MISSING.to_owned(),
        (ErrorKind::MissingRequiredArgument, ..) => {
            let missing = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::Strings(words)) => words.join(" "),
                _ => argument.to_owned(),
            };
            format!("{missing} is missing; `--help` behind the command tells what it is")
        }
        (ErrorKind::InvalidValue, _, Some("")) => format!("option `{argument}` needs a value"),
        (ErrorKind::InvalidValue, _, Some(value)) => {
            let there = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(words)) => words.join(", "),
                _ => String::new(),
            };
            format!("`{value}` cannot be `{argument}`; there are: {there}")
        }
        (ErrorKind::InvalidSubcommand, ..) => {
            let word = said(ContextKind::InvalidSubcommand).unwrap_or_default();
            let near = match error.get(ContextKind::SuggestedSubcommand) {
                Some(ContextValue::Strings(words)) => words.first().cloned(),
                _ => None,
            };
            match near {
                Some(near) => format!("there is no `{word}` here; did you mean `{near}`?"),
                None => format!("there is no `{word}` here; `--help` in its place tells what is"),
            }
        }
        (ErrorKind::TooManyValues, _, Some(value)) => format!("`{value}` is one word too many"),
        _ => {
            let text = error.render().to_string();
            let line = text.lines().next().unwrap_or_default();
            line.trim_start_matches("error: ").to_owned()
        }
    }
}

const MISSING: &str = "a word is missing; `--help` behind the others tells what can follow";

/// Takes the argument about which clap complains out of the words, with what seems to be its
/// value. `false`: it was not found.
pub(super) fn take_out(words: &mut Vec<OsString>, error: &clap::Error) -> bool {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return false;
    };
    let name = argument.split([' ', '=']).next().unwrap_or_default();
    if !name.starts_with('-') {
        return false;
    }
    let is_culprit = |word: &OsString| {
        let word = word.to_string_lossy();
        let long = word.split('=').next() == Some(name);
        // A letter among several, as in `-jx`.
        let short = name.len() == 2 && !word.starts_with("--") && word.starts_with('-');
        long || short && word.contains(&name[1..])
    };
    let Some(found) = words.iter().skip(1).position(is_culprit).map(|index| index + 1) else {
        return false;
    };
    let alone = words.remove(found).to_string_lossy().contains('=');
    let value = words.get(found).map(|word| word.to_string_lossy());
    let is_value = |value: &str| match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(bad)) => bad == value,
        _ => error.kind() == ErrorKind::UnknownArgument && !value.starts_with('-'),
    };
    if !alone && value.is_some_and(|value| is_value(&value)) {
        words.remove(found);
    }
    true
}
