//! Ports on stream sockets: clients that come, go, lie and do not read; servers that do.

use std::{
    fs,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::Command,
    time::Instant,
};

use uswitch_tests::exchange::{BROADCAST, frame, station};

use crate::{
    lab::{PATIENCE, Program, command},
    station::Station,
};

fn start(ports: &[&str]) -> Program {
    Program::run(command(ports))
}

/// What the program says that does not start with these ports.
fn refused(ports: &[&str]) -> String {
    let output = command(ports).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{ports:?}: {text}");
    text
}

/// The next client, and the name of its port.
fn client(program: &mut Program, path: &Path, name: &str) -> Station {
    let client = Station::new(path);
    program.says(&format!("{name}: connected"));
    client
}

/// Everybody hears a frame of the first.
fn heard(stations: &mut [&mut Station], word: &str) {
    let hello = frame(BROADCAST, station(1), word.as_bytes());
    stations[0].put(&hello);
    for station in &mut stations[1..] {
        assert_eq!(station.take(), hello);
    }
}

#[test]
fn clients_come_and_go_each_with_a_port_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vm.sock");
    let mut program = start(&[&format!("stream:{},name=guests,mtu=2000", path.display())]);
    program.says("guests: waits for clients");
    let mut one = client(&mut program, &path, "guests.1");
    let mut two = client(&mut program, &path, "guests.2");
    heard(&mut [&mut one, &mut two], "two of them");
    drop(one);
    program.says("guests.1: the client has gone");
    let mut three = client(&mut program, &path, "guests.3");
    heard(&mut [&mut two, &mut three], "another two");
    // The MTU is all of theirs.
    let mut large = frame(BROADCAST, station(1), &[7; 2000]);
    two.put(&large);
    assert_eq!(three.take(), large);
    large.push(7);
    two.put(&large);
    heard(&mut [&mut two, &mut three], "one octet less");
    let json = program.stop();
    assert_eq!(crate::lab::count(&json, "guests.3", "tx_oversize"), 1, "{json}");
    assert!(!path.exists(), "its socket goes with it");
}

#[test]
fn client_with_a_hostile_length_is_closed_alone() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vm.sock");
    let mut program = start(&[&format!("stream:{}", path.display())]);
    let mut one = client(&mut program, &path, "vm.1");
    let mut two = client(&mut program, &path, "vm.2");
    for (number, length) in [(3, [0xff; 4]), (4, [0; 4]), (5, [0, 1, 0, 0x20])] {
        let name = format!("vm.{number}");
        let mut liar = client(&mut program, &path, &name);
        liar.0.write_all(&length).unwrap();
        liar.end();
        let line = program.says(&format!("{name}: the client has gone"));
        assert!(line.contains("announced a frame of"), "{line}");
        heard(&mut [&mut one, &mut two], "as before");
    }
    program.stop();
}

#[test]
fn client_that_stops_reading_costs_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vm.sock");
    let mut program = start(&[&format!("stream:{}", path.display())]);
    let mut one = client(&mut program, &path, "vm.1");
    let mut two = client(&mut program, &path, "vm.2");
    let _deaf = client(&mut program, &path, "vm.3");
    let large = frame(BROADCAST, station(1), &[7; 1500]);
    let begin = Instant::now();
    while program.count("vm.3", "tx_full") < 100 {
        assert!(begin.elapsed() < PATIENCE);
        for _ in 0..100 {
            one.put(&large);
            assert_eq!(two.take(), large);
        }
    }
    let json = program.stop();
    assert_eq!(crate::lab::count(&json, "vm.2", "tx_full"), 0, "{json}");
}

#[test]
fn place_of_a_socket_is_taken_over_only_from_the_dead() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vm.sock");
    let spec = format!("stream:{}", path.display());

    fs::write(&path, "a file").unwrap();
    let text = refused(&[&spec]);
    assert!(text.contains("it is there already, and is no socket"), "{text}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a file", "it is as it was");
    fs::remove_file(&path).unwrap();

    let mut program = start(&[&spec]);
    let text = refused(&[&spec]);
    assert!(text.contains("another program serves it: end that program"), "{text}");
    drop(client(&mut program, &path, "vm.1"));
    // Killed, it leaves nothing behind: its opener sees to that. Others do.
    assert!(Command::new("kill").args(["-KILL", &program.pid().to_string()]).status().is_ok());
    drop(program);
    let begin = Instant::now();
    while path.exists() {
        assert!(begin.elapsed() < PATIENCE, "its socket goes");
    }
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let mut program = start(&[&spec]);
    drop(client(&mut program, &path, "vm.1"));
    program.stop();

    let text = refused(&[&format!("stream:{}/none/vm.sock", folder.path().display())]);
    assert!(text.contains("its folder ") && text.contains("could not be opened"), "{text}");
    // Of what does not start, no socket is left.
    let text = refused(&[&spec, &format!("stream:{}/none/a", folder.path().display())]);
    assert!(text.contains("its folder "), "{text}");
    assert!(!path.exists());
}

#[test]
fn paths_longer_than_an_address_work_for_clients_and_servers() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a".repeat(120));
    fs::create_dir(&deep).unwrap();
    // Others reach it by a shorter way.
    let near = folder.path().join("near");
    std::os::unix::fs::symlink(&deep, &near).unwrap();
    let mut program = start(&[
        &format!("stream:{}/in.sock", deep.display()),
        &format!("stream:{}/out.sock,connect=on", deep.display()),
    ]);
    let listener = UnixListener::bind(near.join("out.sock")).unwrap();
    let mut server = accept(&listener);
    program.says("out: connected");
    let mut client = client(&mut program, &near.join("in.sock"), "in.1");
    heard(&mut [&mut client, &mut server], "by long ways");
    program.stop();
}

fn accept(listener: &UnixListener) -> Station {
    let (socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    Station(socket)
}

#[test]
fn connection_waits_for_its_server_and_finds_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("passt.sock"), folder.path().join("vm.sock"));
    let connect = format!("stream:{},connect=on", path.display());
    let mut program = start(&[&connect, &format!("stream:{}", other.display())]);
    program.says("passt: waits for somebody who listens there");
    let mut guest = client(&mut program, &other, "vm.1");
    for word in ["first", "second", "third"] {
        let listener = UnixListener::bind(&path).unwrap();
        let mut server = accept(&listener);
        program.says("passt: connected");
        heard(&mut [&mut server, &mut guest], word);
        heard(&mut [&mut guest, &mut server], word);
        drop((server, listener));
        program.says("passt: connection lost, it is tried again");
        fs::remove_file(&path).unwrap();
    }
    // It ends the connection only: the server is there still.
    let listener = UnixListener::bind(&path).unwrap();
    for _ in 0..3 {
        let mut server = accept(&listener);
        program.says("passt: connected");
        heard(&mut [&mut server, &mut guest], "the same server");
        drop(server);
        program.says("passt: connection lost");
    }
    program.stop();

    // A server that is there is connected to before frames flow.
    let mut program = start(&[&connect]);
    program.says("passt: connected, MTU 1500");
    drop(accept(&listener));
    program.stop();
    drop(listener);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "a file").unwrap();
    let text = refused(&[&connect]);
    assert!(text.contains("it is there already, and is no socket"), "{text}");
}

#[test]
fn stream_goes_on_while_others_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vm.sock");
    let mut program = start(&[&format!("stream:{}", path.display())]);
    let mut one = client(&mut program, &path, "vm.1");
    let mut two = client(&mut program, &path, "vm.2");
    for number in 3..20 {
        let short = UnixStream::connect(&path).unwrap();
        heard(&mut [&mut one, &mut two], &format!("beside {number}"));
        drop(short);
        heard(&mut [&mut two, &mut one], &format!("after {number}"));
        program.says(&format!("vm.{number}: connected"));
        program.says(&format!("vm.{number}: the client has gone"));
    }
    program.stop();
}
