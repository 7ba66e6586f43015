//! However `uswitch top` ends, the terminal is left as it was; what a switch answers does not end
//! it; and colours are left out where nobody wants them.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    process::Command,
    thread,
};

use uswitch_tests::program;

use crate::{
    Terminal,
    lab::{Lab, eventually},
};

/// Whether a screen has a colour that is not the terminal's own (ECMA-48, 8.3.117).
fn is_coloured(screen: &str) -> bool {
    let parameters = screen.split("\u{1b}[").skip(1).filter_map(|rest| rest.split_once('m'));
    let mut numbers = parameters.flat_map(|(list, _)| list.split([';', ':']));
    numbers.any(|number| {
        let number = number.parse().unwrap_or(0);
        (30..=48).contains(&number) && number != 39 || (90..=107).contains(&number)
    })
}

#[test]
fn no_color_is_heeded() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a"], &[]);
    let terminal = Terminal::new(&lab, 80, 24);
    for (value, coloured) in [("", true), ("1", false), ("0", false)] {
        let program = program().display().to_string();
        let command = format!("NO_COLOR={value} {program} top -n lab; echo \"ended $?\"");
        terminal.keys(&["clear", "Enter"]);
        eventually("it is empty", || !terminal.screen().contains("ended"));
        terminal.keys(&[&command, "Enter"]);
        terminal.shows(&["DORMANT", "q quit"]);
        assert_eq!(is_coloured(&terminal.painted()), coloured, "{:?}", terminal.painted());
        terminal.keys(&["q"]);
        terminal.shows(&["ended 0"]);
    }
    lab.end("lab", running);
}

#[test]
fn terminal_is_given_back_after_a_signal_an_error_and_a_panic() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a"], &[]);
    let note = lab.path("number").display().to_string();
    let tasks = format!("/proc/{}/task", running.0.id());
    // The kernel has no memory for a poll(2); it fails to close a folder, for which std panics.
    let error = "strace -o /dev/null -e trace=poll -e inject=poll:error=ENOMEM:when=9+ ";
    let panic = format!("strace -o /dev/null -P {tasks} -e inject=close:error=EIO:when=3+ ");
    let cases = [
        ("", Some("-TERM"), "ended 0"),
        ("", Some("-INT"), "ended 0"),
        ("", Some("-HUP"), "ended 0"),
        (error, None, "ended 1"),
        (&panic, None, "ended 101"),
    ];
    let terminal = Terminal::new(&lab, 80, 24);
    assert!(terminal.is_given_back());
    for (before, signal, ended) in cases {
        terminal.keys(&["clear", "Enter"]);
        eventually("it is empty", || !terminal.screen().contains("ended"));
        let top = format!("{} top -n lab -i 0.2", program().display());
        // A backtrace would push off the screen what is looked for.
        let run = format!("echo $$ >{note}; export RUST_BACKTRACE=0; exec {before}{top}");
        let command = format!("sh -c '{run}'; echo \"ended $?\"");
        terminal.keys(&[&command, "Enter"]);
        if let Some(signal) = signal {
            terminal.shows(&["q quit"]);
            assert!(!terminal.is_given_back(), "it is drawn on");
            let number = fs::read_to_string(&note).unwrap();
            assert!(Command::new("kill").args([signal, number.trim()]).status().unwrap().success());
        }
        let screen = terminal.shows(&[ended]);
        eventually("the terminal is given back", || terminal.is_given_back());
        match ended {
            "ended 1" => assert!(screen.contains("the terminal: "), "{screen}"),
            "ended 101" => assert!(screen.contains("unexpected error during closedir"), "{screen}"),
            _ => {}
        }
    }
    lab.end("lab", running);
}

/// How often each nonsense is told to who goes on asking for more.
const ANSWERS_MAX: usize = 6;

/// Answers a client who asks for the switch itself and for its ports.
fn serve(socket: &UnixStream, [show, ports]: &[Vec<u8>; 2], answers: usize) {
    let lines = BufReader::new(socket).lines().map_while(Result::ok);
    for line in lines.take(answers) {
        let answer = if line.contains(r#""do":"port.show""#) { ports } else { show };
        let mut socket = socket;
        if socket.write_all(&[answer, &b"\n"[..]].concat()).is_err() {
            return;
        }
    }
}

const SHOW: &[u8] =
    br#"{"v":1,"ok":{"name":"sane","version":"0","pid":1,"elapsed_s":1.0,"workers":1,
    "fdb":{"used":0,"size":1}}}"#;
const NO_PORTS: &[u8] = br#"{"v":1,"ok":{"ports":[]}}"#;

#[test]
fn nonsense_of_a_switch_is_told_or_shown_and_ends_nothing() {
    let one_line = |text: &[u8]| text.split(|octet| *octet == b'\n').collect::<Vec<_>>().concat();
    let (show, large) = (one_line(SHOW), "9".repeat(200));
    let extreme = |seconds: &str| {
        let largest = u64::MAX;
        format!(
            r#"{{"v":1,"ok":{{"name":"\u001b[31mred\n{large}","version":"","pid":4294967295,
            "elapsed_s":{seconds},"workers":{largest},"fdb":{{"used":{largest},"size":0}}}}}}"#
        )
        .replace('\n', "")
    };
    let port = |name: &str, state: &str, count: u64| {
        format!(
            r#"{{"ifname":"{name}","operstate":"{state}","counts":{{"index":0,"counters":{{
            "rx_frames":{count},"tx_octets":{count},"rx_runt":{count},"nobody_knows":1}},
            "kernel_rx_dropped":{count},"kernel_tx_dropped":0}}}}"#
        )
        .replace('\n', "")
    };
    let ports = |rows: &[String]| format!(r#"{{"v":1,"ok":{{"ports":[{}]}}}}"#, rows.join(","));
    let hostile = port(r"\u001b[2Jp\u0007\u202e", r"\u001b[41mUP\n\r", u64::MAX);
    let many: Vec<_> = (0..3000).map(|n| port(&format!("port{n}"), "UP", n)).collect();
    let cases: Vec<[Vec<u8>; 2]> = vec![
        [b"nonsense".to_vec(), NO_PORTS.to_vec()],
        [b"\xff\xfe\x00".to_vec(), NO_PORTS.to_vec()],
        [b"".to_vec(), b"".to_vec()],
        [b"{\"v\":1,\"ok\":[]}".to_vec(), NO_PORTS.to_vec()],
        [vec![b'['; 200_000], NO_PORTS.to_vec()],
        [show.clone(), b"{\"v\":1,\"ok\":{\"ports\":[{}]}}".to_vec()],
        [show.clone(), b"{\"v\":1,\"error\":\"\\u001b[2Jno\"}".to_vec()],
        [extreme("-1e308").into(), ports(&[hostile.clone(), hostile]).into()],
        [extreme("1e308").into(), ports(&many).into()],
        [extreme("0").into(), ports(&[port("p", "UP", 0)]).into()],
    ];
    let lab = Lab::new();
    fs::create_dir_all(lab.path("run")).unwrap();
    let listener = UnixListener::bind(lab.socket("lab")).unwrap();
    let terminal = Terminal::new(&lab, 80, 24);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Who does not understand hangs up, and comes again.
            for answers in &cases {
                serve(&listener.accept().unwrap().0, answers, ANSWERS_MAX);
            }
            let last = [show.clone(), NO_PORTS.to_vec()];
            serve(&listener.accept().unwrap().0, &last, usize::MAX);
        });
        let top = format!("{} top -n lab -i 0.1; echo \"ended $?\"", program().display());
        terminal.keys(&[&top, "Enter"]);
        terminal.shows(&["sane  up 0:00:01  addresses 0 of 1  workers 1", "q quit"]);
        eventually("it is all there is", || !terminal.screen().contains("red"));
        terminal.keys(&["q"]);
        terminal.shows(&["ended 0"]);
    });
    assert!(terminal.is_given_back());
}
