//! `uswitch generate`: which of the files that are made from this very description.

use clap::Subcommand;
use clap_complete::Shell;

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
