//! The metrics of a switch that runs: what a scraper reads, and what others may not do.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use uswitch_tests::exchange::{BROADCAST, PATIENCE, frame, station};

use crate::{
    lab::{Lab, eventually},
    station::Station,
};

/// The limits, as the head of metrics.rs states them.
const CLIENTS_MAX: usize = 32;
const PATIENCE_SECONDS: u64 = 10;

/// Frames on their way at the most.
const WINDOW: u64 = 32;

const DASHBOARD: &str = include_str!("../../switch/package/grafana.json");
const GET: &str = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_OPEN: &str =
    "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: application/openmetrics-text\r\n\r\n";

impl Lab {
    /// Starts a switch with these ports and its metrics at a port that is free.
    fn start_with_metrics(&mut self, ports: &[&str]) -> SocketAddr {
        self.start(self.command(&[&["--metrics=127.0.0.1:0"], ports].concat()));
        let begin = "metrics: http://";
        self.said(&format!("{begin}127.0.0.1:"));
        self.said("switching ");
        let log = self.log();
        let place = log.lines().find_map(|line| line.strip_prefix(begin)).unwrap();
        place.strip_suffix("/metrics").unwrap().parse().unwrap()
    }
}

/// What comes of octets that are written to a connection: the head and the body.
fn ask(mut socket: impl Read + Write, request: &[u8]) -> (String, String) {
    // That nobody hears them, the answer will tell.
    let _ = socket.write_all(request);
    let mut octets = Vec::new();
    let _ = socket.read_to_end(&mut octets);
    let text = String::from_utf8(octets).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (head.to_owned(), body.to_owned())
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Scrapes in the older format.
fn scrape(address: SocketAddr) -> String {
    let (head, body) = ask(connect(address), GET.as_bytes());
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    body
}

/// The value of a series.
fn value(text: &str, series: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    rest.map(|value| value.parse().unwrap())
}

/// So many frames, each with another number.
fn frames(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| frame(BROADCAST, station(1), &number.to_be_bytes())).collect()
}

#[test]
fn a_scraper_reads_the_counters_and_promtool_finds_no_fault() {
    let mut lab = Lab::new();
    let address = lab.start_with_metrics(&[&lab.port("a"), &lab.port("b"), &lab.port("nobody")]);
    let (mut a, mut b) = (Station::new(&lab.path("a")), Station::new(&lab.path("b")));
    eventually("both are there", || lab.log().matches(": connected").count() == 2);
    for frame in frames(5) {
        a.put(&frame);
        assert_eq!(b.take(), frame);
    }
    let text = scrape(address);
    for (series, count) in [
        ("uswitch_port_receive_packets_total{port=\"a.1\"}", 5),
        ("uswitch_port_receive_bytes_total{port=\"a.1\"}", 5 * 22),
        ("uswitch_port_transmit_packets_total{port=\"b.1\"}", 5),
        ("uswitch_port_drops_total{port=\"a.1\",reason=\"rx_runt\"}", 0),
        ("uswitch_port_up{port=\"a.1\"}", 1),
        ("uswitch_port_up{port=\"nobody\"}", 0),
        ("uswitch_fdb_entries", 1),
        ("uswitch_fdb_size", 65536),
    ] {
        assert_eq!(value(&text, series), Some(count), "{series}\n{text}");
    }
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    let promtool = promtool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut promtool = promtool.expect("Debian's package prometheus has promtool");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let checked = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    assert!(checked.status.success() && said.is_empty(), "{said}");
    let (head, open) = ask(connect(address), GET_OPEN.as_bytes());
    assert!(head.contains("\r\nContent-Type: application/openmetrics-text; version=1.0.0;"));
    assert!(open.ends_with("\n# EOF\n"), "{open}");
    lab.signal("-TERM");
    assert!(lab.ended().success());
    a.end();
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn every_metric_of_the_dashboard_is_there() {
    let mut lab = Lab::new();
    let address = lab.start_with_metrics(&[&lab.port("a"), "--leg=br=10.0.0.1/24"]);
    let _a = Station::new(&lab.path("a"));
    lab.said(": connected");
    let text = scrape(address);
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let asked: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let asked = asked.into_iter().chain(variables.iter().filter_map(|v| v["definition"].as_str()));
    let mut names: Vec<_> = asked
        .flat_map(|expr| expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')))
        .filter(|word| word.starts_with("uswitch_") || word.starts_with("process_"))
        .collect();
    names.sort();
    names.dedup();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        let told =
            |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        assert!(text.lines().any(told), "{name}\n{text}");
    }
}

#[test]
fn counters_of_a_port_that_comes_back_go_on() {
    let mut lab = Lab::new();
    let path = lab.path("x");
    let listener = UnixListener::bind(&path).unwrap();
    let port = format!("--port=stream:{},connect=on,name=x", path.display());
    let address = lab.start_with_metrics(&[&port]);
    let received = "uswitch_port_receive_packets_total{port=\"x\"}";
    let mut total = 0;
    for count in [3, 2, 4] {
        let (socket, _) = listener.accept().unwrap();
        let mut station = Station(socket);
        eventually("it is there", || {
            value(&scrape(address), "uswitch_port_up{port=\"x\"}") == Some(1)
        });
        assert_eq!(value(&scrape(address), received), Some(total), "it goes on where it was");
        for frame in frames(count) {
            station.put(&frame);
        }
        total += count;
        eventually("they are counted", || value(&scrape(address), received) == Some(total));
        drop(station);
        eventually("it has left", || {
            let text = scrape(address);
            let up = value(&text, "uswitch_port_up{port=\"x\"}");
            // It may be back already: the listener takes it in before we do.
            up == Some(0) && value(&text, received).is_none() || up == Some(1)
        });
    }
}

#[test]
fn a_unix_socket_serves_as_well_and_is_gone_at_the_end() {
    let mut lab = Lab::new();
    let path = lab.path("metrics");
    lab.start(lab.command(&[&format!("--metrics=unix:{}", path.display()), &lab.port("a")]));
    lab.said("switching 1 port");
    let (head, body) = ask(UnixStream::connect(&path).unwrap(), GET.as_bytes());
    assert!(head.starts_with("HTTP/1.1 200 ") && body.contains("\nuswitch_workers "), "{body}");
    let (head, body) = ask(UnixStream::connect(&path).unwrap(), b"HEAD /metrics HTTP/1.0\n\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("\r\nContent-Length: "), "{head}");
    assert_eq!(body, "");
    lab.signal("-TERM");
    assert!(lab.ended().success());
    assert!(!path.exists());
}

#[test]
fn a_file_says_where_they_are_and_another_place_takes_a_restart() {
    let mut lab = Lab::new();
    let (socket, file) = (lab.path("metrics"), lab.path("lab.toml"));
    let ports = format!("[[port]]\nstream = \"{}\"\n", lab.path("a").display());
    let write = |place: &str| {
        fs::write(&file, format!("[switch]\nmetrics = \"{place}\"\n{ports}")).unwrap();
    };
    let place = format!("unix:{}", socket.display());
    write(&place);
    lab.start(lab.command(&["-c", file.to_str().unwrap()]));
    lab.said("switching 1 port");
    let workers = || {
        let (_, body) = ask(UnixStream::connect(&socket).unwrap(), GET.as_bytes());
        assert!(body.contains("\nuswitch_workers "), "{body}");
    };
    workers();
    write("[::1]:9119");
    lab.signal("-HUP");
    lab.said(&format!("metrics: {place} -> [::1]:9119 (takes a restart)\n"));
    fs::write(&file, &ports).unwrap();
    lab.signal("-HUP");
    lab.said(&format!("metrics: {place} -> off (takes a restart)\n"));
    assert_eq!(lab.log().matches("nothing was changed\n").count(), 2, "{}", lab.log());
    workers();
    lab.signal("-TERM");
    assert!(lab.ended().success());
}

#[test]
fn what_cannot_be_served_is_refused_before_a_port_is_opened() {
    let mut lab = Lab::new();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = held.local_addr().unwrap().to_string();
    let file = lab.path("lab.toml");
    for (place, code) in [(&*place, 1), ("192.0.2.1:1", 1), ("localhost", 2), ("unix:", 2)] {
        lab.start(lab.command(&["--metrics", place, &lab.port("a")]));
        assert_eq!(lab.ended().code(), Some(code), "{place}");
        let begin = if code == 1 { "uswitch: metrics " } else { "uswitch: --metrics: " };
        assert!(lab.log().contains(begin), "{}", lab.log());
        assert!(!lab.path("a").exists());
        fs::write(&file, format!("[switch]\nmetrics = \"{place}\"\n")).unwrap();
        lab.start(lab.command(&["-c", file.to_str().unwrap(), &lab.port("a")]));
        assert_eq!(lab.ended().code(), Some(code), "{place}");
        let begin = if code == 1 { "uswitch: metrics " } else { "lab.toml:2:11\n" };
        assert!(lab.log().contains(begin), "{}", lab.log());
        assert!(!lab.path("a").exists());
    }
    lab.start(lab.command(&["--metrics=0.0.0.0:0", &lab.port("a")]));
    lab.said("uswitch: warning: the metrics at http://0.0.0.0:");
    lab.signal("-TERM");
    assert!(lab.ended().success());
}

#[test]
fn hostile_clients_are_cut_off_and_no_frame_is_lost() {
    let mut lab = Lab::new();
    let address = lab.start_with_metrics(&[&lab.port("a"), &lab.port("b")]);
    let (mut a, mut b) = (Station::new(&lab.path("a")), Station::new(&lab.path("b")));
    eventually("both are there", || lab.log().matches(": connected").count() == 2);
    let (done, passed) = (AtomicBool::new(false), AtomicU64::new(0));
    let sent = thread::scope(|scope| {
        let transfer = scope.spawn(|| {
            let mut sent = 0;
            while !done.load(Ordering::Relaxed) {
                let frames = frames(WINDOW);
                frames.iter().for_each(|frame| a.put(frame));
                frames.iter().for_each(|frame| assert_eq!(b.take(), *frame, "none is lost"));
                sent += WINDOW;
                passed.store(sent, Ordering::Relaxed);
            }
            sent
        });
        let attacks: [fn(SocketAddr); 6] =
            [garbage, endless_head, half_open, crowd, deaf, one_who_asks_and_goes];
        for attack in attacks {
            let before = passed.load(Ordering::Relaxed);
            let guard = Stop(&done);
            attack(address);
            eventually("frames pass", || passed.load(Ordering::Relaxed) > before);
            // Whoever is well-behaved is heard, as soon as those before him are through.
            eventually("there is room again", || {
                ask(connect(address), GET.as_bytes()).0.starts_with("HTTP/1.1 200 ")
            });
            std::mem::forget(guard);
        }
        done.store(true, Ordering::Relaxed);
        transfer.join().unwrap()
    });
    let text = scrape(address);
    assert_eq!(value(&text, "uswitch_port_receive_packets_total{port=\"a.1\"}"), Some(sent));
    assert_eq!(value(&text, "uswitch_port_transmit_packets_total{port=\"b.1\"}"), Some(sent));
    let full = "uswitch_port_drops_total{port=\"b.1\",reason=\"tx_full\"}";
    assert_eq!(value(&text, full), Some(0));
}

/// Ends the transfer when a test beside it panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes what is no request, or one for something else.
fn garbage(address: SocketAddr) {
    for (request, status) in [
        (&b"\0\xff\xfe\n\n"[..], "400 Bad Request"),
        (b"{\"v\":1,\"do\":\"show\"}\n\n", "400 Bad Request"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 HTTP Version Not Supported"),
    ] {
        let (head, body) = ask(connect(address), request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
        assert!(body.ends_with('\n') && body.len() > 10, "it is told why: {body}");
    }
}

/// Writes without ever coming to an end.
fn endless_head(address: SocketAddr) {
    let mut socket = connect(address);
    let octets = "X: y\r\n".repeat(10_000);
    let mut written = 0;
    while let Ok(len) = socket.write(octets.as_bytes()) {
        written += len;
        assert!(written < 100 << 20, "it is cut off");
    }
    // A drop now and then is no whole request.
    let (head, _) = ask(connect(address), &octets.as_bytes()[..9000]);
    assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
}

/// Begins, and never comes to an end.
fn half_open(address: SocketAddr) {
    let begin = Instant::now();
    let (silent, mut half) = (connect(address), connect(address));
    half.write_all(b"GET /metrics HTTP/1.1\r\nHost").unwrap();
    for socket in [silent, half] {
        let (head, _) = ask(socket, b"");
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    }
    assert!(begin.elapsed().as_secs() >= PATIENCE_SECONDS, "not before its time");
}

/// More than there is room for, all of them silent: who asks is heard all the same.
fn crowd(address: SocketAddr) {
    let mut silent: Vec<_> = (0..200).map(|_| connect(address)).collect();
    scrape(address);
    let mut open = 0;
    for socket in &mut silent {
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        open += usize::from(
            socket.read(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock),
        );
    }
    assert!(open <= CLIENTS_MAX, "{open} of 200 are open still");
    let whole = thread::scope(|scope| {
        let scraping: Vec<_> =
            (0..200).map(|_| scope.spawn(|| ask(connect(address), GET.as_bytes()))).collect();
        scraping
            .into_iter()
            .map(|one| one.join().unwrap())
            .filter(|(head, body)| {
                head.starts_with("HTTP/1.1 200 ") && body.contains("uswitch_fdb_size")
            })
            .count()
    });
    assert!(whole > 0, "some of a crowd that asks are answered");
}

/// Asks, and does not read.
fn deaf(address: SocketAddr) {
    let mut deaf: Vec<_> = (0..CLIENTS_MAX).map(|_| connect(address)).collect();
    for socket in &mut deaf {
        socket.write_all(GET.as_bytes()).unwrap();
    }
    // Their answers fit into the kernel's buffers: nothing is owed to them then.
    eventually("there is room again", || {
        ask(connect(address), GET.as_bytes()).0.starts_with("HTTP/1.1 200 ")
    });
}

/// Asks, and is gone before the answer.
fn one_who_asks_and_goes(address: SocketAddr) {
    for _ in 0..200 {
        let _ = connect(address).write_all(GET.as_bytes());
    }
}
