//! The manual page and the shells' completions, made from the same description as `--help`.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::{
    cli::{Cli, Generate, NOTES},
    kinds,
};

/// The text of it.
pub(crate) fn generate(what: Generate) -> String {
    let mut text = Vec::new();
    match what {
        Generate::Man => manual(&mut text).expect("a vector takes everything"),
        Generate::Completions { shell } => {
            let mut command = Cli::command();
            // Only here: clap would tell a wrong one alone, and not with all other faults.
            for (option, words) in WORDS {
                command = command.mut_arg(option, |argument| argument.value_parser(*words));
            }
            clap_complete::generate(shell, &mut command, "uswitch", &mut text);
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Words that a shell may propose.
const WORDS: &[(&str, [&str; 2])] =
    &[("group_forward", ["standard", "wire"]), ("busy_poll", ["off", "always"])];

fn manual(text: &mut Vec<u8>) -> io::Result<()> {
    // Tables have sections of their own: in an option's text their lines would be filled.
    let command = Cli::command().after_help(None::<&str>).mut_arg("port", |argument| {
        argument.long_help(
            "One port with options, such as `tap0,mtu=9000,netns=h1`; may be repeated. See PORT \
             SPECS.",
        )
    });
    let line = |command: &Command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        format!("{:<24}{about}", format!("uswitch {}", command.get_name()))
    };
    let commands: Vec<_> = command.get_subcommands().map(line).collect();
    let manual = Man::new(command);
    manual.render_title(text)?;
    manual.render_name_section(text)?;
    manual.render_synopsis_section(text)?;
    manual.render_description_section(text)?;
    manual.render_options_section(text)?;
    let form = "[KIND:]WORD[,WORD]...[,OPTION=VALUE]...      a comma in a value is written twice";
    section("Port specs", &format!("{form}\n\n{}", kinds::options()), text)?;
    section("Commands", &commands.join("\n"), text)?;
    NOTES.iter().try_for_each(|(title, lines)| section(title, lines, text))
}

/// A section whose lines stay as they are.
fn section(title: &str, lines: &str, text: &mut Vec<u8>) -> io::Result<()> {
    writeln!(text, ".SH {}\n.nf", title.to_uppercase())?;
    for line in lines.lines() {
        // A dot or an apostrophe in front would be a command.
        writeln!(text, "\\&{}", line.replace('\\', "\\e").replace('-', "\\-"))?;
    }
    writeln!(text, ".fi")
}
