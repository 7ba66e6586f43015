//! The program `uswitch-bench`, also `uswitch bench`. See `uswitch-bench --help`.

use std::process::ExitCode;

use uswitch_bench::device::role;

mod program;

fn main() -> ExitCode {
    role::play_if_asked();
    program::run()
}
