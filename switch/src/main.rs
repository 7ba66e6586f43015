//! The program `uswitch`. It reads its arguments whole, tells everything that is wrong with them
//! at once, and hands the rest to the one function that does it.

use std::{env, process::ExitCode};

mod program;

use program::{
    capture,
    cli::{self, Order},
    config::{check, diff},
    demo, doctor, external, generate, log, output, run, steer, top,
};

fn main() -> ExitCode {
    let order = cli::read(env::args_os());
    log::begin(match &order {
        Ok(Order::Switch(options)) => Some(options),
        _ => None,
    });
    let order = match order {
        Ok(order) => order,
        Err(faults) => return output::usage(&faults),
    };
    match order {
        Order::Print(text) => output::print(&text),
        Order::Switch(options) => run::run(&options),
        Order::Check { file, json } => check::run(&file, json),
        Order::Config(options) => run::print_config(&options),
        Order::Diff { old, new, json } => diff::run(&old, &new, json),
        Order::Demo(args) => demo::run(&args),
        Order::Doctor { json } => doctor::run(json),
        Order::Capture(what) => capture::run(&what),
        Order::Extcap(words) => capture::extcap::run(&words),
        Order::Steer(what) => steer::run(&what),
        Order::Top(args) => top::run(&args),
        Order::Generate(what) => output::print(&generate::generate(what)),
        Order::External(words) => external::run(&words),
    }
}
