//! The manual page and the shells' completions, made from the same description as `--help`.

use clap::{CommandFactory, Subcommand};
use clap_complete::Shell;
use clap_mangen::Man;

use super::cli::Cli;

/// What can be generated.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Generate {
    /// The manual page, in roff: `uswitch generate man | man -l -`
    Man,
    /// Completions for a shell: `source <(uswitch generate completions bash)`
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// The text of it.
pub(crate) fn generate(what: Generate) -> String {
    let mut command = Cli::command();
    let mut text = Vec::new();
    match what {
        Generate::Man => {
            let written = Man::new(command).render(&mut text);
            written.expect("a vector takes everything");
        }
        Generate::Completions { shell } => {
            clap_complete::generate(shell, &mut command, "uswitch", &mut text);
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}
