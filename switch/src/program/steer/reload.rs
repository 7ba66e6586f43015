//! `uswitch reload`: what the switch has done, or all that is wrong with its file, as `uswitch
//! check` shows it there.

use std::process::ExitCode;

use super::{Line, show};
use crate::program::{
    config,
    control::{Applied, Request, read_answer, read_faults},
    output::{self, DONE, USAGE},
};

impl Line {
    /// Asks for it, and tells what comes of it.
    pub(super) fn reload(&mut self, json: bool) -> Result<ExitCode, String> {
        let line = self.say(&Request::Reload {})?;
        let faults = read_faults(&line);
        if !faults.is_empty() {
            let printed = match json {
                true => output::print(&show::faults(&faults)),
                false => {
                    output::raw(&config::show(&faults));
                    output::complain("the switch goes on as it was");
                    ExitCode::from(DONE)
                }
            };
            return Ok(if printed == ExitCode::from(DONE) { USAGE.into() } else { printed });
        }
        let applied: Applied = serde_json::from_value(read_answer(&line)?)
            .map_err(|error| format!("the switch's answer is not what was expected: {error}"))?;
        let text = if json { applied.json() } else { applied.to_string() };
        Ok(output::print(&(text + "\n")))
    }
}
