//! Reads a story: the sentences of the language that is described at the head of main.rs.

use std::{collections::HashMap, time::Duration};

use uswitch::{
    bridge::GroupForward,
    fdb::{FdbConfig, Seed, Tick},
    frame::Mac,
    stats::Counter,
};
use uswitch_tests::bench::Terms;

use crate::frame::{self, address};

/// What is wrong, with the text or with what it says.
#[derive(Debug)]
pub struct Fault {
    pub line: usize,
    pub text: String,
}

/// A story that makes sense; whether it is true, playing it tells.
pub struct Story {
    pub fdb: FdbConfig,
    pub group_forward: GroupForward,
    pub workers: usize,
    pub frames: Vec<Wire>,
    pub steps: Vec<Step>,
}

/// A frame behind its virtio-net header.
pub struct Wire {
    pub octets: Vec<u8>,
    /// What a message calls it.
    pub name: String,
}

pub struct Step {
    pub line: usize,
    pub what: What,
    /// What comes out; for a port that is not mentioned, nothing.
    pub expected: Option<Expected>,
}

/// By port, the numbers of frames, and the line where that is said.
#[derive(Default)]
pub struct Expected {
    pub line: usize,
    pub by_port: HashMap<usize, Vec<usize>>,
}

/// Ports and frames are numbers by now.
pub enum What {
    Plug { port: usize, name: String, worker: Option<usize>, terms: Terms },
    Unplug(usize),
    Cut(usize),
    Gone(usize),
    Send(Vec<(usize, usize)>),
    Hold(usize),
    Release(usize),
    Wait(i64),
    Sweep,
    Table(Mac, Option<usize>),
    Entries(usize),
    Count(usize, Counter, u64),
}

/// What a reader remembers from line to line.
struct Reader {
    story: Story,
    /// Names by number; `None`: the number is free.
    ports: Vec<Option<String>>,
    /// Frames by the name that the story gives them.
    named: HashMap<String, Vec<usize>>,
    /// Frames that wait for others, by the port by which they come.
    waiting: Vec<(usize, usize)>,
    begun: bool,
}

impl Story {
    pub fn parse(text: &str) -> Result<Story, Fault> {
        let story = Story {
            fdb: FdbConfig { quota: 1024, seed: Seed::from_number(1), ..FdbConfig::new(1024) },
            group_forward: GroupForward::Standard,
            workers: 1,
            frames: Vec::new(),
            steps: Vec::new(),
        };
        let (ports, named) = (Vec::new(), HashMap::new());
        let mut reader = Reader { story, ports, named, waiting: Vec::new(), begun: false };
        let mut last = 0;
        for (index, line) in text.lines().enumerate() {
            let words = line.split('#').next().unwrap_or_default();
            let words: Vec<_> = words.split_whitespace().collect();
            if !words.is_empty() {
                last = index + 1;
                reader.read(last, &words).map_err(|text| Fault { line: last, text })?;
            }
        }
        reader.finished().map_err(|text| Fault { line: last, text })?;
        Ok(reader.story)
    }
}

impl Reader {
    fn read(&mut self, line: usize, words: &[&str]) -> Result<(), String> {
        match *words {
            ["=", "nobody"] => self.expect(line, None, &[]),
            ["=", ref ports @ ..] => self.expect(line, None, ports),
            [port, "=", ref frames @ ..] => self.expect(line, Some(port), frames),
            [port, ">>", ref frame @ ..] => self.frame(port, frame),
            [port, ">", ref frame @ ..] => {
                self.frame(port, frame)?;
                let frames = std::mem::take(&mut self.waiting);
                self.step(line, What::Send(frames))
            }
            _ => {
                self.finished()?;
                match self.read_setting(line, words) {
                    Some(read) => read,
                    None => self.read_step(line, words),
                }
            }
        }
    }

    /// What there is before anything happens. `None`: it is another sentence.
    fn read_setting(&mut self, line: usize, words: &[&str]) -> Option<Result<(), String>> {
        let story = &mut self.story;
        match *words {
            ["ports", ref ports @ ..] => {
                return Some(ports.iter().try_for_each(|port| self.plug(line, port)));
            }
            ["ageing", time] => {
                story.fdb.ageing = Duration::from_millis(ticks(time).ok()? as u64 * Tick::MILLIS);
            }
            ["size", size] => story.fdb.size = size.parse().ok()?,
            ["quota", quota] => story.fdb.quota = quota.parse().ok()?,
            ["workers", workers] => story.workers = workers.parse().ok()?,
            ["group-forward", "wire"] => story.group_forward = GroupForward::Wire,
            ["group-forward", "standard"] => story.group_forward = GroupForward::Standard,
            _ => return None,
        }
        let late = self.begun.then(|| Err("that is said before anything happens".into()));
        Some(late.unwrap_or(Ok(())))
    }

    fn read_step(&mut self, line: usize, words: &[&str]) -> Result<(), String> {
        if self.ports.is_empty() {
            return Err("the first sentence says which `ports` there are".into());
        }
        self.begun = true;
        let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number"));
        let what = match *words {
            ["plug", port] => return self.plug(line, port),
            ["unplug", port] => What::Unplug(self.leave(port)?),
            ["gone", port] => What::Gone(self.leave(port)?),
            ["cut", port] => What::Cut(self.port(port)?),
            ["hold", port] => What::Hold(self.port(port)?),
            ["release", port] => What::Release(self.port(port)?),
            ["wait", time] => What::Wait(ticks(time)?),
            ["sweep"] => What::Sweep,
            ["table", station, "nowhere"] => What::Table(address(station)?, None),
            ["table", station, port] => What::Table(address(station)?, Some(self.port(port)?)),
            ["entries", count] => What::Entries(number(count)? as usize),
            ["count", port, name, count] => {
                let counter = Counter::ALL.iter().find(|counter| counter.name() == name);
                let counter = counter.ok_or_else(|| format!("there is no counter {name}"))?;
                What::Count(self.port(port)?, *counter, number(count)?)
            }
            _ => return Err(format!("`{}` is no sentence", words.join(" "))),
        };
        self.step(line, what)
    }

    fn step(&mut self, line: usize, what: What) -> Result<(), String> {
        self.finished()?;
        self.story.steps.push(Step { line, what, expected: None });
        Ok(())
    }

    /// Whether all is said about what came before.
    fn finished(&self) -> Result<(), String> {
        let asks = self.story.steps.last().is_some_and(|step| {
            matches!(step.what, What::Send(_) | What::Release(_)) && step.expected.is_none()
        });
        if asks || !self.waiting.is_empty() {
            return Err("what comes of the frame before?".into());
        }
        Ok(())
    }

    fn frame(&mut self, port: &str, words: &[&str]) -> Result<(), String> {
        let port = self.port(port)?;
        let frames = frame::parse(words)?;
        self.begun = true;
        for octets in frames.wires {
            let number = self.story.frames.len();
            let name = frames.name.clone().unwrap_or_else(|| format!("frame {number}"));
            self.story.frames.push(Wire { octets, name });
            self.waiting.push((port, number));
            if let Some(name) = &frames.name {
                self.named.entry(name.clone()).or_default().push(number);
            }
        }
        Ok(())
    }

    /// By `port` come the frames with these names; or by the ports with these names come all.
    fn expect(&mut self, line: usize, port: Option<&str>, words: &[&str]) -> Result<(), String> {
        let mut by_port = Vec::new();
        if let Some(port) = port {
            let frames = words.iter().map(|name| {
                self.named.get(*name).ok_or_else(|| format!("there is no frame {name}"))
            });
            let frames = frames.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().copied();
            by_port.push((self.port(port)?, frames.collect()));
        }
        let step = self.story.steps.last();
        if let (None, Some(Step { what: What::Send(sent), .. })) = (port, step) {
            for name in words {
                let frames = sent.iter().map(|(_, number)| *number).collect();
                by_port.push((self.port(name)?, frames));
            }
        }
        match self.story.steps.last_mut() {
            Some(step) if matches!(step.what, What::Send(_) | What::Release(_)) => {
                let expected = step.expected.get_or_insert_default();
                expected.line = line;
                expected.by_port.extend(by_port);
                Ok(())
            }
            _ => Err("nothing came in that could come out".into()),
        }
    }

    /// A port comes, with its options.
    fn plug(&mut self, line: usize, text: &str) -> Result<(), String> {
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        if self.port(name).is_ok() {
            return Err(format!("port {name} is there already"));
        }
        let mut terms = Terms { mtu: 1500, takes_offloads: true, room: 1000, quota: None };
        let mut worker = None;
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let fault = || format!("`{option}` is no option of a port");
            let (key, value) = option.split_once('=').ok_or_else(fault)?;
            let value: u32 = value.parse().map_err(|_| fault())?;
            match key {
                "mtu" => terms.mtu = value,
                "room" => terms.room = value as usize,
                "quota" => terms.quota = Some(value),
                "worker" => worker = Some(value as usize),
                _ => return Err(fault()),
            }
        }
        let port = self.ports.iter().position(Option::is_none).unwrap_or(self.ports.len());
        self.ports.resize(self.ports.len().max(port + 1), None);
        self.ports[port] = Some(name.into());
        self.step(line, What::Plug { port, name: name.into(), worker, terms })
    }

    fn leave(&mut self, name: &str) -> Result<usize, String> {
        let port = self.port(name)?;
        self.ports[port] = None;
        Ok(port)
    }

    fn port(&self, name: &str) -> Result<usize, String> {
        let port = self.ports.iter().position(|port| port.as_deref() == Some(name));
        port.ok_or_else(|| format!("there is no port {name}"))
    }
}

/// Seconds, and perhaps tenths of them.
fn ticks(text: &str) -> Result<i64, String> {
    let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok());
    let seconds = seconds.ok_or_else(|| format!("`{text}` is no time as in 299.9s"))?;
    Ok((seconds * 10.0).round() as i64)
}
