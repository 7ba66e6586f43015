//! Clients that mean no good, while frames pass.

use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Instant,
};

use uswitch_tests::exchange::{BROADCAST, frame, station};

use crate::lab::{Lab, Line, eventually};

/// The limits, as the head of control.rs states them.
const CLIENTS_MAX: usize = 64;
const LINE_MAX: usize = 64 << 10;
const PATIENCE_SECONDS: u64 = 10;

/// Frames on their way at the most.
const WINDOW: u64 = 32;

#[test]
fn hostile_clients_are_cut_off_and_no_frame_is_lost() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a", "b"], &[]);
    let (mut a, mut b) = (lab.station("a"), lab.station("b"));
    eventually("both are there", || lab.log("lab").matches(": connected").count() == 2);
    let (done, passed) = (AtomicBool::new(false), AtomicU64::new(0));
    let sent = thread::scope(|scope| {
        let transfer = scope.spawn(|| {
            let mut sent = 0u64;
            while !done.load(Ordering::Relaxed) {
                let frames = (sent..sent + WINDOW)
                    .map(|number| frame(BROADCAST, station(1), &number.to_be_bytes()));
                let frames: Vec<_> = frames.collect();
                frames.iter().for_each(|frame| a.put(frame));
                frames.iter().for_each(|frame| assert_eq!(b.take(), *frame, "none is lost"));
                sent += WINDOW;
                passed.store(sent, Ordering::Relaxed);
            }
            sent
        });
        let attacks: [fn(&Lab); 6] =
            [endless_line, garbage, idler, crowd, deaf_listener, one_who_asks_and_goes];
        for attack in attacks {
            let before = passed.load(Ordering::Relaxed);
            let guard = Stop(&done);
            attack(&lab);
            eventually("frames pass", || passed.load(Ordering::Relaxed) > before);
            std::mem::forget(guard);
            // Whoever is well-behaved is heard.
            lab.done("stats");
        }
        done.store(true, Ordering::Relaxed);
        transfer.join().unwrap()
    });
    let report = lab.end("lab", running);
    let ports = report["ports"].as_array().unwrap();
    let count = |name: &str, counter: &str| {
        let port = ports.iter().find(|port| port["name"] == name).expect("it was there");
        port[counter].as_u64().unwrap()
    };
    assert_eq!((count("a.1", "rx_frames"), count("b.1", "tx_frames")), (sent, sent));
    assert_eq!(count("b.1", "tx_full"), 0);
}

/// Ends the transfer when a test beside it panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes without ever coming to an end.
fn endless_line(lab: &Lab) {
    let mut line = lab.line("lab");
    let octets = vec![b'{'; LINE_MAX];
    let mut written = 0;
    while let Ok(len) = line.0.get_mut().write(&octets) {
        written += len;
        assert!(written < 100 * LINE_MAX, "it is cut off");
    }
    let answer = line.next().expect("it is told why");
    assert!(answer["error"].as_str().unwrap().contains("65536 octets"), "{answer}");
    assert_eq!(line.next(), None);
}

/// Writes what is no request.
fn garbage(lab: &Lab) {
    for octets in [&b"\0\xff\xfe\n"[..], b"GET / HTTP/1.1\r\n\r\n", b"\n", b"[]\n", b"{}\n"] {
        let mut line = lab.line("lab");
        line.put(octets);
        assert!(line.next().expect("it is told")["error"].is_string());
        assert_eq!(line.next(), None);
    }
    // This one speaks the language, and may try again.
    let mut line = lab.line("lab");
    assert!(line.ask(r#"{"v":1,"do":"dance"}"#)["error"].is_string());
    assert!(line.ask(r#"{"v":1,"do":"show"}"#)["ok"]["pid"].is_u64());
}

/// Begins, and never comes to an end.
fn idler(lab: &Lab) {
    let begin = Instant::now();
    let (mut silent, mut half) = (lab.line("lab"), lab.line("lab"));
    half.put(br#"{"v":1,"do":"#);
    // A drop now and then is no whole request.
    for line in [&mut silent, &mut half] {
        assert!(line.next().expect("it is told")["error"].is_string());
        assert_eq!(line.next(), None);
    }
    assert!(begin.elapsed().as_secs() >= PATIENCE_SECONDS, "not before its time");
}

/// More than there is room for.
fn crowd(lab: &Lab) {
    let mut inside: Vec<Line> = Vec::new();
    let mut outside = 0;
    for _ in 0..1000 {
        let mut line = lab.line("lab");
        line.put(b"{\"v\":1,\"do\":\"monitor\"}\n");
        let answer = line.next().expect("an answer");
        if answer["ok"].is_object() {
            inside.push(line);
        } else {
            assert!(answer["error"].as_str().unwrap().contains("64 clients"), "{answer}");
            outside += 1;
        }
    }
    assert_eq!((inside.len(), outside), (CLIENTS_MAX, 1000 - CLIENTS_MAX));
    drop(inside);
    eventually("there is room again", || lab.run("stats").0 == 0);
}

/// Wants to hear everything, and does not listen.
fn deaf_listener(lab: &Lab) {
    let mut deaf = lab.line("lab");
    assert!(deaf.ask(r#"{"v":1,"do":"monitor","what":"port"}"#)["ok"].is_object());
    let mut attentive = lab.line("lab");
    assert!(attentive.ask(r#"{"v":1,"do":"monitor","what":"port"}"#)["ok"].is_object());
    let mut steering = lab.line("lab");
    let name = "x".repeat(60);
    let spec = lab.spec("x");
    let add = format!(r#"{{"v":1,"do":"port.add","spec":"{spec},name={name}"}}"#);
    let del = format!(r#"{{"v":1,"do":"port.del","port":"{name}"}}"#);
    // As much as waits for it, and what the kernel holds on its behalf.
    let mut heard = 0;
    while heard < 700 << 10 {
        assert!(steering.ask(&add)["ok"].is_object());
        assert!(steering.ask(&del)["ok"].is_object());
        for event in ["waits", "removed"] {
            let told = attentive.next().expect("who listens hears all");
            assert_eq!((&told["event"], &told["missed"]), (&event.into(), &().into()));
            heard += told.to_string().len();
        }
    }
    let mut octets = Vec::new();
    match deaf.0.read_to_end(&mut octets) {
        Ok(_) => {}
        Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset),
    }
    assert!(octets.len() < heard, "it was cut off: {} of {heard}", octets.len());
}

/// Asks for much, and is gone before the answer.
fn one_who_asks_and_goes(lab: &Lab) {
    for _ in 0..200 {
        let mut socket = UnixStream::connect(lab.socket("lab")).unwrap();
        let requests = "{\"v\":1,\"do\":\"port.show\",\"all\":true}\n".repeat(20);
        // It may be full of others who have just gone.
        let _ = socket.write_all(requests.as_bytes());
    }
    // What it asked is done nevertheless.
    let path = lab.path("late").display().to_string();
    eventually("it is done", || {
        let mut socket = UnixStream::connect(lab.socket("lab")).unwrap();
        let add = format!("{{\"v\":1,\"do\":\"port.add\",\"spec\":\"pcap:out={path}\"}}\n");
        let _ = socket.write_all(add.as_bytes());
        drop(socket);
        lab.run("port show late").0 == 0
    });
    lab.done("port del late");
}
