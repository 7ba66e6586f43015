//! A host whose own TAP is a port: the program makes the device in the host's namespace.

use std::{
    net::IpAddr,
    os::fd::{AsFd, AsRawFd},
    process::{self, Command, Output, Stdio},
};

use netlab::{Namespace, Prefix};
use uswitch_tests::running::Running;

use crate::{lab::PATIENCE, machine::prefix};

/// What each calls its end.
pub const TAP: &str = "tap0";

/// A host.
pub struct Member {
    pub namespace: Namespace,
    /// Of its port.
    name: String,
}

impl Member {
    pub fn new(name: &str) -> Member {
        Member { namespace: Namespace::new().unwrap(), name: name.to_owned() }
    }

    /// The port's word on a command line, with these options behind it.
    pub fn port(&self, options: &str) -> String {
        format!("--port=tap:{TAP},netns={},name={}{options}", self.netns(), self.name)
    }

    /// Where its namespace is found.
    pub fn netns(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.namespace.as_fd().as_raw_fd())
    }

    /// When the program runs: these addresses, and these routers to all else.
    pub fn settle(&self, addresses: &[&str], routers: &[&str]) {
        let mut links = self.namespace.links().unwrap();
        links.set_up("lo").unwrap();
        links.set_up(TAP).unwrap();
        addresses.iter().for_each(|text| links.add_address(TAP, prefix(text)).unwrap());
        assert!(links.wait_running(TAP, PATIENCE).unwrap());
        for router in routers {
            let router: IpAddr = router.parse().unwrap();
            let all = if router.is_ipv4() { Prefix::ALL_V4 } else { Prefix::ALL_V6 };
            links.add_route(all, Some(router), None).unwrap();
        }
    }
}

/// What a program says in a namespace on its standard output; its end has to be a good one.
pub fn says(namespace: &Namespace, words: &str) -> String {
    let output = run(namespace, words);
    assert!(output.status.success(), "`{words}`: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program in a namespace to its end.
pub fn run(namespace: &Namespace, words: &str) -> Output {
    let mut command = command(words);
    namespace.run(|| command.output()).unwrap().unwrap_or_else(|e| panic!("`{words}`: {e}"))
}

/// Starts one that ends with the test; what it says is at its `stdout`.
pub fn spawn(namespace: &Namespace, words: &str) -> Running {
    let mut command = command(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let child = namespace.run(|| command.spawn()).unwrap();
    Running(child.unwrap_or_else(|e| panic!("`{words}`: {e}")))
}

fn command(words: &str) -> Command {
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).env("LC_ALL", "C");
    command
}
