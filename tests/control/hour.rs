//! The README's walk through an ordinary hour, run as it stands there: its commands, typed to a
//! shell, and what it says that they tell.

use std::{
    env, fs,
    os::unix::fs::symlink,
    process::{Command, Stdio},
};

use netlab::{FrameSocket, Namespace};
use uswitch_tests::{exchange::PATIENCE, privileged, program, running::Running};

use crate::lab::{Lab, eventually, told};

const README: &str = include_str!("../../README.md");
/// The station that the README asks for.
const STATION: [u8; 6] = [0xc6, 0xd2, 0xd6, 0x90, 0x67, 0x09];

/// Who works there: in a folder of his own, on a machine of its own, with three hosts beside it.
struct Desk {
    lab: Lab,
    machine: Namespace,
    hosts: [(Namespace, Running); 3],
}

/// A command, and what it is to tell.
struct Step {
    command: String,
    tells: Vec<String>,
}

impl Desk {
    fn new() -> Desk {
        let lab = Lab::new();
        symlink(program(), lab.path("uswitch")).unwrap();
        let hosts = [(); 3].map(|()| {
            let namespace = Namespace::new().unwrap();
            namespace.set_sysctl("net/ipv6/conf/all/disable_ipv6", "1").unwrap();
            namespace.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1").unwrap();
            let sleep = || Command::new("sleep").arg("600").spawn().unwrap();
            let sleep = Running(namespace.run(sleep).unwrap());
            (namespace, sleep)
        });
        Desk { lab, machine: Namespace::new().unwrap(), hosts }
    }

    /// The file, as the text before the commands describes it.
    fn write(&self, ageing: u32) {
        let mut text = format!("[switch]\nworkers = 2\n\n[fdb]\nageing = {ageing}\n");
        for (number, (_, host)) in self.hosts[..2].iter().enumerate() {
            text += &format!(
                "\n[[port]]\nveth = \"lab{number}\"\npeer = \"eth0\"\nnetns = \"{}\"\n\
                 addr = [\"10.0.0.{}/24\"]\n",
                host.0.id(),
                number + 1
            );
        }
        fs::write(self.lab.path("lab.toml"), text).unwrap();
    }

    /// What the README calls `green` has another name here.
    fn named(&self, text: &str) -> String {
        text.replace("netns=green", &format!("netns={}", self.hosts[2].1.0.id()))
    }

    /// A shell with this command.
    fn shell(&self, command: &str) -> Command {
        let folder = self.lab.path("");
        let path = format!("{}:{}", folder.display(), env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&folder).env("PATH", path);
        shell.env("USWITCH_RUNTIME_DIR", self.lab.path("run")).stdin(Stdio::null());
        shell
    }

    fn run(&self, command: &str) -> String {
        let (_, out, err) = told(&self.shell(&self.named(command)).output().unwrap());
        out + &err
    }

    /// Sends a frame to everybody from a host.
    fn speak(&self, host: usize, station: [u8; 6]) {
        let socket = FrameSocket::open(&self.hosts[host].0, "eth0").unwrap();
        let head = [&[0xff; 6][..], &station, &[0x88, 0xb5]].concat();
        socket.send(&[&head[..], &[0; 46]].concat()).unwrap();
    }
}

/// What is the same each time: neither seconds nor what this kernel can do.
fn timeless(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(" updated ") {
        Some((line, _)) => line,
        None => line.split(", offloads").next().unwrap_or_default(),
    });
    lines.map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn steps() -> Vec<Step> {
    let (_, hour) = README.split_once("### An ordinary hour\n").expect("it is there");
    let (hour, _) = hour.split_once("\n### ").expect("others follow");
    let mut steps: Vec<Step> = Vec::new();
    let mut within = false;
    for line in hour.lines() {
        if line.starts_with("```") {
            within = !within;
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| within) {
            steps.push(Step { command: command.to_owned(), tells: Vec::new() });
        } else if within {
            steps.last_mut().expect("a command comes first").tells.push(line.to_owned());
        }
    }
    steps
}

#[test]
fn ordinary_hour_is_as_the_readme_tells_it() {
    if !privileged() {
        return;
    }
    let desk = Desk::new();
    desk.write(60);
    let steps = steps();
    assert_eq!(steps.len(), 8, "all of them are tried");
    let log = fs::File::create(desk.lab.path("log")).unwrap();
    let mut first = desk.shell(&format!("exec {}", steps[0].command));
    first.stderr(log.try_clone().unwrap()).stdout(log);
    let mut running = Running(desk.machine.run(|| first.spawn()).unwrap().unwrap());
    let said = || fs::read_to_string(desk.lab.path("log")).unwrap();
    eventually("it switches", || said().lines().count() >= steps[0].tells.len());
    assert_eq!(timeless(&said()), timeless(&steps[0].tells.join("\n")));
    for Step { command, tells } in &steps[1..] {
        let tells = timeless(&desk.named(&tells.join("\n")));
        let words: Vec<_> = command.split_whitespace().take(3).collect();
        let told = match words[1..] {
            ["fdb", "get"] => {
                let mut links = desk.hosts[2].0.links().unwrap();
                links.set_mac("eth0", STATION).unwrap();
                assert!(links.wait_running("eth0", PATIENCE).unwrap());
                eventually("it is known", || {
                    desk.speak(2, STATION);
                    desk.run(command).contains(" dev ")
                });
                desk.run(command)
            }
            ["capture", _] => {
                let mut capture = desk.shell(command);
                let capture = capture.stdout(Stdio::piped()).stderr(Stdio::piped());
                let mut capture = capture.spawn().unwrap();
                eventually("it has its frames", || {
                    desk.speak(0, [2, 0, 0, 0, 0, 0x0b]);
                    capture.try_wait().unwrap().is_some()
                });
                let (_, out, err) = told(&capture.wait_with_output().unwrap());
                out + &err
            }
            ["diff", _] => {
                desk.write(30);
                desk.run(command)
            }
            _ => desk.run(command),
        };
        let told = timeless(&told);
        if words[1] == "explain" {
            // Of the steps in between the README tells nothing.
            let mut lines = told.lines();
            let missing = tells.lines().find(|line| !lines.any(|other| other == *line));
            assert_eq!(missing, None, "{command}\n{told}");
        } else {
            assert_eq!(told, tells, "{command}");
        }
    }
    running.signal("-TERM");
    assert!(running.0.wait().unwrap().success(), "{}", said());
}
