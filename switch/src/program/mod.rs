//! Everything that a person types and reads. `cli` says what can be typed, `run` does it, and
//! `report` writes what comes of it; `control` lets others ask and steer what runs, `steer` does
//! so, `explain` asks what would become of a frame, and `top` watches; `demo` shows it. The switch
//! itself is the library's.

pub(crate) mod capture;
pub(crate) mod cli;
pub(crate) mod config;
pub(crate) mod control;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod external;
pub(crate) mod generate;
pub(crate) mod kinds;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod notify;
pub(crate) mod open;
pub(crate) mod output;
pub(crate) mod privileges;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod signals;
pub(crate) mod steer;
pub(crate) mod top;
