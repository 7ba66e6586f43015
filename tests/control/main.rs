//! A switch that runs, steered: by the program's own commands, and by whoever writes to its
//! control socket what he likes.

mod capture;
mod change;
mod commands;
mod fdb;
mod filter;
mod hostile;
mod hour;
mod lab;
mod privileges;
mod rights;
mod routing;
mod shown;
#[path = "../sockets/station.rs"]
mod station;
mod texts;
mod unread;
