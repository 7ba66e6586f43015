//! What somebody without rights can plug in, and what he is told of the rest.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use netlab::Namespace;
use tempfile::TempDir;
use uswitch_tests::{
    exchange::{BROADCAST, frame, station},
    privileged, program,
};

use crate::{lab::Program, station::Station};

/// A folder that nobody owns, with a copy of the program in it.
struct Nobody {
    folder: TempDir,
    program: PathBuf,
}

impl Nobody {
    fn new() -> Nobody {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let copy = folder.path().join("uswitch");
        // By another process: a file that ours has open for writing cannot be run by those that
        // it starts meanwhile.
        assert!(Command::new("cp").arg(program()).arg(&copy).status().unwrap().success());
        Nobody { folder, program: copy }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, ports: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"]);
        command.args(["--bounding-set", "-all"]).arg(&self.program);
        command.args(["--json", "--no-control"]);
        command.args(ports.iter().flat_map(|port| ["--port", port])).current_dir(self.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What the program says that does not start.
    fn refused(&self, namespace: &Namespace, ports: &[&str]) -> String {
        let output = namespace.run(|| self.command(ports).output()).unwrap().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn sockets_and_files_need_no_right() {
    if !privileged() {
        return;
    }
    let nobody = Nobody::new();
    let machine = Namespace::new().unwrap();
    machine.links().unwrap().set_up("lo").unwrap();
    let ports = [
        "stream:vm.sock",
        "stream:server.sock,connect=on,name=server",
        "dgram:ours,theirs",
        "udp:127.0.0.1:5001,127.0.0.1:5002",
        "vhost-user:guest.sock",
        "vde:ctl",
        "pcap:out=out.pcapng",
    ];
    let mut program = machine.run(|| Program::run(nobody.command(&ports))).unwrap();
    assert!(!program.has_said("warning"), "{}", program.says("warning"));
    let mut stations = [1, 2].map(|number| {
        let station = Station::new(&nobody.path().join("vm.sock"));
        program.says(&format!("vm.{number}: connected"));
        station
    });
    let hello = frame(BROADCAST, station(1), b"hello");
    stations[0].put(&hello);
    assert_eq!(stations[1].take(), hello);
    program.stop();
    assert!(!nobody.path().join("vm.sock").exists() && !nobody.path().join("guest.sock").exists());
    assert!(fs::metadata(nobody.path().join("out.pcapng")).unwrap().len() > 0);
}

#[test]
fn what_needs_a_right_says_which() {
    if !privileged() {
        return;
    }
    let nobody = Nobody::new();
    let machine = Namespace::new().unwrap();
    machine.links().unwrap().add_veth("a", None, "b").unwrap();
    for (spec, sentence) in [
        ("packet:a", "a: CAP_NET_RAW is needed to open a packet socket"),
        ("veth:c,peer=d", "CAP_NET_ADMIN"),
        ("macvlan:c,lower=a", "CAP_NET_ADMIN"),
        ("macvtap:c,lower=a", "CAP_NET_ADMIN"),
    ] {
        let text = nobody.refused(&machine, &[spec]);
        assert!(text.contains(sentence), "{spec}: {text}");
    }
}
