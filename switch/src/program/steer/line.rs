//! The line to a switch that runs: requests go out, answers and events come in, page by page.

use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use serde::de::DeserializeOwned;

use super::{
    super::{
        control::{
            self, ConfigPage, FdbPage, FdbRow, PortPage, PortRow, Request, Show, read_answer,
        },
        report::Status,
    },
    show,
};

/// A connection to a switch.
pub(crate) struct Line {
    pub(super) reader: BufReader<UnixStream>,
}

impl Line {
    /// To the switch of this name. An answer may take so long.
    pub(crate) fn open(name: Option<&str>, patience: Duration) -> Result<Line, String> {
        let socket = control::connect(name)?;
        let most = Some(patience);
        let patience = socket.set_read_timeout(most);
        let patience = patience.and_then(|()| socket.set_write_timeout(most));
        patience.map_err(|error| netlab::reason(&error))?;
        Ok(Line { reader: BufReader::new(socket) })
    }

    /// All rows of ports, page by page.
    pub(crate) fn ports(&mut self, port: Option<&str>, all: bool) -> Result<Vec<PortRow>, String> {
        let (mut rows, mut from) = (Vec::new(), Some(0));
        while let Some(first) = from {
            let port = port.map(str::to_owned);
            let page: PortPage = self.ask(&Request::PortShow { port, all, from: first })?;
            rows.extend(page.ports);
            // One that does not get on would go on for ever.
            from = page.next.filter(|next| *next > first);
        }
        Ok(rows)
    }

    /// All known addresses, page by page.
    pub(super) fn fdb(&mut self, port: Option<&str>) -> Result<Vec<FdbRow>, String> {
        let (mut rows, mut from) = (Vec::new(), Some(0));
        while let Some(first) = from {
            let port = port.map(str::to_owned);
            let page: FdbPage = self.ask(&Request::FdbShow { port, from: first })?;
            rows.extend(page.entries);
            from = page.next.filter(|next| *next > first);
        }
        Ok(rows)
    }

    /// What runs, as a file, page by page.
    pub(super) fn config(&mut self) -> Result<ConfigPage, String> {
        let (mut whole, mut from) = (ConfigPage::default(), Some(0));
        while let Some(first) = from {
            let page: ConfigPage = self.ask(&Request::Config { from: first })?;
            from = page.next.filter(|next| *next > first);
            whole.toml += &page.toml;
            whole.workers = page.workers;
            whole.allow_path = page.allow_path;
        }
        Ok(whole)
    }

    /// The switch and its ports as they are now.
    pub(crate) fn look(&mut self) -> Result<(Show, Vec<PortRow>), String> {
        Ok((self.ask(&Request::Show {})?, self.ports(None, false)?))
    }

    /// Everything that SIGUSR1 would print.
    pub(super) fn status(&mut self) -> Result<Status, String> {
        let show: Show = self.ask(&Request::Show {})?;
        let rows = self.ports(None, true)?;
        Ok(show::status(&show, &rows))
    }

    /// Asks for what takes the connection whole, which is handed out behind the answer.
    pub(crate) fn give(mut self, request: &Request) -> Result<BufReader<UnixStream>, String> {
        let _: serde_json::Value = self.ask(request)?;
        let patience = self.reader.get_mut().set_read_timeout(None);
        patience.map_err(|error| netlab::reason(&error))?;
        Ok(self.reader)
    }

    /// The line that answers a request.
    pub(super) fn say(&mut self, request: &Request) -> Result<String, String> {
        // Who was turned away finds out why when he reads.
        let _ = self.reader.get_mut().write_all(request.line().as_bytes());
        self.next()?.ok_or_else(|| "the switch has hung up without an answer".to_owned())
    }

    /// The answer to a request.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, String> {
        let answer = read_answer(&self.say(request)?)?;
        serde_json::from_value(answer)
            .map_err(|error| format!("the switch's answer is not what was expected: {error}"))
    }

    /// The next line. `None`: there will be none.
    pub(super) fn next(&mut self) -> Result<Option<String>, String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(line)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Err("the switch has not answered for too long".to_owned())
            }
            Err(error) => Err(format!("the switch has hung up: {}", netlab::reason(&error))),
        }
    }
}
