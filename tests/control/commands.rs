//! The program's commands, most of them on a switch with stream ports, which need no root.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::fd::{AsFd, AsRawFd},
    process::Stdio,
};

use netlab::Namespace;
use serde_json::{Value, json};
use uswitch::stats::Counter;
use uswitch_tests::{
    exchange::{BROADCAST, PATIENCE, frame, station},
    privileged,
    running::Running,
};

use crate::lab::{Lab, eventually};

/// The first station's address, as it is written.
const MAC: &str = "02:00:00:00:01:01";

#[test]
fn what_is_asked_wrongly_is_told_in_a_sentence_with_its_exit_code() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a", "b"], &[]);
    let there = lab.spec("a");
    for (words, code, sentence) in [
        ("port show c", 1, "there is no port `c`; did you mean `a`?"),
        ("port show nothing-like-it", 1, "`uswitch port show` lists them"),
        ("port", 2, "a word is missing"),
        ("top --interval 0", 2, "it is 0.1 to 60 seconds"),
        ("top", 1, "draws on a terminal, and there is none"),
        // They are empty, and it is told why.
        ("route show", 0, "this switch has no router: it was given no leg"),
        ("neigh show", 1, "this switch has no router"),
        ("leg show -s", 0, "this switch has no router"),
        ("port add", 2, "<SPEC> is missing"),
        ("port add strem:/x", 2, "did you mean `stream`?"),
        ("port add stream:/x,mtu=1,mut=2", 2, "there is no option `mut`"),
        ("port add stream:/x,mtu=1,mut=2", 2, "mtu 1 is out of range"),
        ("port add stream:/x,quota=70000", 1, "quota 70000 is more than the 65536 addresses"),
        ("port add stream:/no/such/folder", 1, "its folder /no/such could not be opened"),
        ("port add tap:x,netns=no-such-namespace", 1, "`no-such-namespace`"),
        (&format!("port add {there}"), 1, "two ports are named `a`"),
        (&format!("port add {there},name=c"), 1, "another program serves it"),
        ("port del", 2, "<PORT> is missing"),
        ("port del c", 1, "there is no port `c`"),
        ("port dle a", 2, "dle"),
        ("fdb get", 2, "<MAC> is missing"),
        ("fdb get 02:00", 2, "`02:00` is no address"),
        ("fdb get 02:00:00:00:00:99", 1, "02:00:00:00:00:99 is not known"),
        ("fdb show a", 2, "`a` is not `port NAME`"),
        ("fdb show port c", 1, "there is no port `c`"),
        ("fdb flush prot a", 2, "`prot a` is not `port NAME`"),
        ("fdb flush port c", 1, "there is no port `c`"),
        ("fdb add", 2, "<MAC> is missing"),
        ("fdb add 02:00:00:00:00:01", 2, "`dev NAME` is missing"),
        ("fdb add 02:00 dev a.1", 2, "`02:00` is no address"),
        ("fdb add 01:00:5e:00:00:01 dev a.1", 2, "the address of a group"),
        ("fdb add 01:80:c2:00:00:00 dev a.1", 2, "is reserved"),
        ("fdb add 00:00:00:00:00:00 dev a.1", 2, "nobody's address"),
        ("fdb add 02:00:00:00:00:01 dev a.1 dynamic", 2, "`dev a.1 dynamic` is not `port NAME`"),
        ("fdb add 02:00:00:00:00:01 dev a", 1, "name one, as in `a.1`"),
        ("fdb add 02:00:00:00:00:01 dev c", 1, "there is no port `c`; did you mean `a`?"),
        ("fdb del 02:00:00:00:00:01", 1, "02:00:00:00:00:01 is not known"),
        ("fdb del 02:00:00:00:00:01 dev", 2, "`dev` is not `port NAME`"),
        ("monitor prot", 2, "prot"),
        ("stats -x", 2, "-x"),
        ("drops all", 2, "all"),
        ("monitor -n other", 1, "no switch is named `other`; there are: `lab`"),
        ("-n /no/such/socket stats", 1, "no switch can be reached at /no/such/socket"),
        ("--name a/b --ports x", 2, "`a/b` cannot be a switch's name"),
        ("--socket-group no-such-group --ports x", 2, "there is no group `no-such-group`"),
    ] {
        let (found, out, err) = lab.run(words);
        assert_eq!((found, &*out), (code, ""), "{words}: {err}");
        assert!(err.contains(sentence), "{words}: {err}");
        assert!(err.lines().all(|line| line.starts_with("uswitch: ")), "{words}: {err}");
    }
    let ports = lab.json("port show -j");
    assert_eq!(ports.as_array().map(Vec::len), Some(2), "nothing was done: {ports}");
    lab.end("lab", running);
}

#[test]
fn port_added_while_it_runs_carries_frames_until_it_is_deleted() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a", "b"], &["--mtu", "1400"]);
    let (mut a, mut b) = (lab.station("a"), lab.station("b"));
    eventually("both are there", || lab.log("lab").matches(": connected").count() == 2);
    let hello = frame(BROADCAST, station(1), b"hello");
    a.put(&hello);
    assert_eq!(b.take(), hello);

    assert_eq!(lab.done(&format!("port add {}", lab.spec("c"))), "c: waits for clients\n");
    assert_eq!(
        lab.json("port show c -j"),
        json!([{
            "ifname": "c", "operstate": "DORMANT", "mtu": 1400, "kind": "stream",
        "waits_for": "clients",
        }])
    );
    let mut c = lab.station("c");
    eventually("it is there", || lab.log("lab").contains("c.1: connected"));
    // An option of the start is a default for what comes later.
    assert_eq!(
        lab.json("port show c -j"),
        json!([{
            "ifname": "c.1", "operstate": "UP", "mtu": 1400, "kind": "stream", "plug": "c",
        }])
    );
    let answer = frame(station(1), station(3), b"answer");
    c.put(&answer);
    assert_eq!(a.take(), answer);
    let again = frame(station(3), station(1), b"again");
    a.put(&again);
    assert_eq!(c.take(), again);

    assert_eq!(
        lab.done("fdb get 02:00:00:00:01:03").split(" updated").next().unwrap(),
        "02:00:00:00:01:03 dev c.1"
    );
    assert_eq!(lab.done("fdb show"), format!("{MAC} dev a.1\n02:00:00:00:01:03 dev c.1\n"));
    assert_eq!(lab.done("fdb show port a"), format!("{MAC} dev a.1\n"));
    let entries = lab.json("fdb show dev c -j");
    assert_eq!((&entries[0]["ifname"], &entries[0]["state"]), (&"c.1".into(), &"".into()));
    assert!(entries[0]["updated"].is_number() && entries[1].is_null(), "{entries}");
    assert_eq!(lab.done("fdb flush port c"), "1 address forgotten\n");
    assert_eq!(lab.done("fdb show"), format!("{MAC} dev a.1\n"));
    assert_eq!(lab.json("fdb flush -j"), json!({"flushed": 1}));
    assert_eq!(lab.done("fdb show"), "");

    let (code, _, err) = lab.run("port del c.1");
    assert!(code == 1 && err.contains("`c.1` is a client of `c`"), "{err}");
    let last = lab.json("port del c -j");
    let counters = &last[0]["counts"]["counters"];
    assert_eq!((&counters["rx_frames"], &counters["tx_frames"]), (&1.into(), &1.into()), "{last}");
    c.end();
    assert!(!lab.path("c").exists(), "its socket is gone");
    a.put(&hello);
    assert_eq!(b.take(), hello);

    // The last one may go: another may come.
    assert_eq!(lab.done("port del a") + &lab.done("port del b"), "");
    assert_eq!(lab.json("port show -j"), json!([]));
    lab.done(&format!("port add {}", lab.spec("a")));
    let total = &lab.end("lab", running)["total"];
    assert_eq!(total["rx_frames"], 4, "{total}");
}

#[test]
fn counters_and_drops_are_those_of_the_switch() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a", "b"], &[]);
    let (mut a, mut b) = (lab.station("a"), lab.station("b"));
    eventually("both are there", || lab.log("lab").matches(": connected").count() == 2);
    assert_eq!(
        (lab.done("drops"), lab.json("drops -j")),
        ("no frame was dropped\n".into(), json!([]))
    );
    a.put(&frame(BROADCAST, BROADCAST, b"from everybody"));
    let hello = frame(BROADCAST, station(1), b"hello");
    a.put(&hello);
    assert_eq!(b.take(), hello);
    // A turn is counted when its frames have left.
    eventually("both are counted", || lab.json("stats -j")["total"]["rx_frames"] == 2);

    let status = lab.json("stats -j");
    for counter in Counter::ALL {
        assert!(status["total"][counter.name()].is_u64(), "{counter:?}");
    }
    assert_eq!((&status["total"]["rx_frames"], &status["fdb"]["used"]), (&2.into(), &1.into()));
    let table = lab.done("stats");
    for words in
        ["so far", "rx frames", "a.1 ", "rx_group_source", "learned addresses: 1 of 65,536"]
    {
        assert!(table.contains(words), "{words}: {table}");
    }
    let drops = lab.done("drops");
    assert!(drops.contains("rx_group_source  a.1        1  the source is a group"), "{drops}");
    let drops = lab.json("drops -j");
    assert_eq!((&drops[0]["reason"], &drops[0]["frames"]), (&"rx_group_source".into(), &1.into()));
    assert_eq!(drops[0]["about"], Counter::RxGroupSource.about());
    let ports = lab.json("port show -s -j");
    assert_eq!(
        ports[0]["stats64"]["rx"],
        json!({"bytes": 14 + 14 + 14 + 5, "packets": 2, "dropped": 1})
    );
    assert!(lab.done("port show -s").contains("tx frames"));

    // What has left is counted, but no port any more.
    lab.done("port del a");
    assert_eq!(lab.json("stats -j")["total"]["rx_frames"], 2);
    assert_eq!(lab.json("port show -j")[0]["ifname"], "b.1");
    lab.end("lab", running);
}

/// The head of the README's table of commands.
const HEAD: &str = "| `brctl`, `bridge`, `ip` | `uswitch` | |";

#[test]
fn every_command_of_the_readme_works() {
    let lab = Lab::new();
    let file = lab.path("lab.toml").display().to_string();
    let port = |name| format!("[[port]]\nstream = \"{}\"\n", lab.path(name).display());
    // What is not in the file would go when it is read again.
    let leg = "[[leg]]\nbridge = \"br\"\naddress = [\"10.0.0.1/24\"]\n";
    fs::write(&file, port("a") + &port("tap3") + leg).unwrap();
    let running = lab.start("lab", &[], &["-c", &file]);
    let mut a = lab.station("a");
    eventually("it is there", || lab.log("lab").contains(": connected"));
    a.put(&frame(BROADCAST, station(1), b"hello"));
    eventually("it is known", || lab.done("fdb show").contains(MAC));
    let table = include_str!("../../README.md").lines().skip_while(|line| *line != HEAD).skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    let commands = rows.map(|row| row.split('|').nth(2).unwrap().trim().trim_matches('`'));
    let commands: Vec<_> = commands.collect();
    assert!(commands.len() >= 10, "the table is there");
    let _station = lab.station("tap3");
    eventually("it is there", || lab.log("lab").contains("tap3.1: connected"));
    for command in commands {
        let words = command.strip_prefix("uswitch ").unwrap().replace("ADDR", MAC);
        match &*words {
            // These do not end.
            "monitor" | "monitor fdb" | "monitor neigh" | "capture tap3" | "top" => {}
            "port add tap3" => drop(lab.done(&format!("port add {}", lab.spec("tap4")))),
            // The switch of this test has stream ports: a client of theirs is a port.
            "fdb add 02:00:00:00:01:01 dev tap3" => drop(lab.done(&words.replace("tap3", "a.1"))),
            "port del tap3" => drop(lab.done("port del tap4")),
            words => drop(lab.done(words)),
        }
    }
    lab.end("lab", running);
}

#[test]
fn device_that_is_added_is_made_where_it_is_wanted_and_goes_when_it_is_deleted() {
    if !privileged() {
        return;
    }
    let lab = Lab::new();
    let hosts = [Namespace::new().unwrap(), Namespace::new().unwrap()];
    let running = lab.start("lab", &["a"], &[]);
    let add = |name: &str, host: &Namespace| {
        let netns = format!("/proc/{}/fd/{}", std::process::id(), host.as_fd().as_raw_fd());
        lab.done(&format!("port add tap:{name},netns={netns}"))
    };
    assert!(add("tap0", &hosts[0]).starts_with("tap0: created, MTU 1500"));
    add("tap1", &hosts[1]);
    for (number, host) in hosts.iter().enumerate() {
        let (name, mut links) = (format!("tap{number}"), host.links().unwrap());
        links.add_address(&name, format!("10.0.0.{}/24", number + 1).parse().unwrap()).unwrap();
        links.set_up(&name).unwrap();
    }
    let trips = netlab::ping(&hosts[0], "10.0.0.2".parse().unwrap(), 3, PATIENCE).unwrap();
    assert_eq!(trips.len(), 3);
    let far = netlab::transfer_tcp(
        &hosts[0],
        &hosts[1],
        ([10, 0, 0, 2], 0).into(),
        1 << 20,
        1,
        &netlab::NEVER,
    );
    assert!(far.unwrap().is_sound(), "64 KB frames pass whole");
    lab.done("port del tap0");
    assert_eq!(hosts[0].links().unwrap().get("tap0").unwrap(), None);
    assert!(hosts[1].links().unwrap().get("tap1").unwrap().is_some());
    // The name is free for another.
    assert!(add("tap0", &hosts[0]).starts_with("tap0: created"));
    lab.end("lab", running);
}

#[test]
fn many_ports_and_addresses_come_page_by_page() {
    const PORTS: usize = 300;
    const STATIONS: u32 = 3000;
    let lab = Lab::new();
    let running = lab.start("lab", &["a", "b"], &[]);
    let (mut a, mut b) = (lab.station("a"), lab.station("b"));
    eventually("both are there", || lab.log("lab").matches(": connected").count() == 2);
    for number in 0..STATIONS {
        let [_, _, high, low] = number.to_be_bytes();
        let hello = frame(BROADCAST, [2, 0, 0, 0, high, low], b"hello");
        a.put(&hello);
        assert_eq!(b.take(), hello);
    }
    let entries = lab.json("fdb show -j");
    let macs: Vec<_> = entries.as_array().unwrap().iter().map(|entry| &entry["mac"]).collect();
    assert_eq!(macs.len(), STATIONS as usize);
    assert!(macs.is_sorted_by(|one, other| one.as_str() < other.as_str()), "each once, in order");
    let first = lab.line("lab").ask(r#"{"v":1,"do":"fdb.show"}"#);
    assert!(first["ok"]["next"].is_u64(), "it did not fit into one");

    let pcap = lab.path("pcap").display().to_string();
    let mut line = lab.line("lab");
    for number in 0..PORTS {
        let spec = format!("pcap:out={pcap}-{number},name=p{number}");
        let request = json!({"v": 1, "do": "port.add", "spec": spec});
        assert!(line.ask(&request.to_string())["ok"].is_object());
    }
    let ports = lab.json("port show -s -j");
    assert_eq!(ports.as_array().unwrap().len(), PORTS + 2);
    let first = lab.line("lab").ask(r#"{"v":1,"do":"port.show"}"#);
    assert!(first["ok"]["next"].is_u64(), "they did not fit into one");
    lab.end("lab", running);
}

#[test]
fn events_are_told_as_they_happen() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a", "b"], &[]);
    let listen = |words: &[&str]| {
        let mut monitor = Running(lab.command(words).stdout(Stdio::piped()).spawn().unwrap());
        let lines = BufReader::new(monitor.0.stdout.take().unwrap()).lines();
        (monitor, lines)
    };
    let (mut for_people, mut texts) = listen(&["monitor"]);
    let (mut for_programs, mut objects) = listen(&["monitor", "-j"]);
    // When the first event comes, they may not listen yet.
    let (ready, done) = (lab.path("ready"), lab.path("done"));
    for lines in [&mut texts, &mut objects] {
        let heard = std::thread::scope(|scope| {
            let first = scope.spawn(|| lines.next().unwrap().unwrap());
            while !first.is_finished() {
                lab.done(&format!("port add pcap:out={},name=first", ready.display()));
                lab.done("port del first");
            }
            first.join().unwrap()
        });
        assert!(heard.contains("first: "), "{heard}");
    }
    lab.done(&format!("port add pcap:out={},name=second", done.display()));
    let station = lab.station("a");
    drop(station);
    eventually("it has gone", || lab.log("lab").contains("the client has gone"));
    lab.done("port del b");
    let text = |line: Result<String, std::io::Error>| line.unwrap();
    let texts = texts.map(text).filter(|line| !line.contains("first: "));
    let expected = [
        format!("second: records into {}", done.display()),
        "a.1: connected".to_owned(),
        "a.1: the client has gone".to_owned(),
        "b: removed".to_owned(),
    ];
    assert_eq!(texts.take(4).collect::<Vec<_>>(), expected);
    let objects = objects.map(|line| serde_json::from_str::<Value>(&text(line)).unwrap());
    let objects = objects.filter(|object| object["port"] != "first");
    for (object, (event, port)) in objects.take(4).zip([
        ("came", "second"),
        ("came", "a.1"),
        ("left", "a.1"),
        ("removed", "b"),
    ]) {
        let found = (&object["v"], &object["event"], &object["port"]);
        assert_eq!(found, (&1.into(), &event.into(), &port.into()), "{object}");
        assert!(object["time"].as_f64() > Some(1e9) && object["text"].is_string());
    }
    lab.end("lab", running);
    for monitor in [&mut for_people, &mut for_programs] {
        assert_eq!(monitor.0.wait().unwrap().code(), Some(1), "the switch has ended");
    }
}

#[test]
fn two_switches_are_told_apart_by_their_names() {
    let lab = Lab::new();
    let one = lab.start("one", &["a"], &[]);
    assert!(lab.done("port show").contains("\na "), "the only one that runs needs no name");
    let other = lab.start("other", &["b"], &[]);
    let (code, _, err) = lab.run("port show");
    assert_eq!(
        (code, &*err),
        (1, "uswitch: several switches run: `one`, `other`; say which with `-n NAME`\n")
    );
    assert!(lab.done("port show -n one").contains("\na "));
    assert!(lab.done("-n other port show").contains("\nb "));
    let path = lab.socket("other");
    assert!(lab.done(&format!("-n {} port show", path.display())).contains("\nb "));
    let usual = lab.start("uswitch", &["c"], &[]);
    assert!(lab.done("port show").contains("\nc "), "without a name, who has none");

    // A name that is taken: it switches all the same.
    let spec = lab.spec("d");
    let mut fourth = lab.command(&["--name", "one", "--port", &spec]);
    let mut fourth = Running(fourth.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
    let stderr = BufReader::new(fourth.0.stderr.take().unwrap());
    let lines: Vec<_> = stderr
        .lines()
        .map(Result::unwrap)
        .take_while(|line| !line.contains("Ctrl-C ends it"))
        .collect();
    let warned =
        lines.iter().any(|line| line.contains("`one` runs already") && line.contains("--name"));
    assert!(warned, "{lines:?}");
    lab.station("d");
    fourth.signal("-TERM");
    assert!(fourth.0.wait().unwrap().success());
    assert!(lab.socket("one").exists(), "it is not the fourth's to remove");
    for (name, running) in [("one", one), ("other", other), ("uswitch", usual)] {
        lab.end(name, running);
        assert!(!lab.socket(name).exists());
    }
}

#[test]
fn socket_of_a_switch_that_was_killed_is_nobody_and_is_taken_over() {
    let lab = Lab::new();
    let none = "no switch runs that could be steered";
    let (code, _, err) = lab.run("stats");
    assert!(code == 1 && err.contains(none) && err.contains("uswitch --ports tap0,tap1"), "{err}");
    let mut killed = lab.start("uswitch", &["a"], &[]);
    killed.signal("-KILL");
    killed.0.wait().unwrap();
    assert!(lab.socket("uswitch").exists());
    let (code, _, err) = lab.run("stats");
    assert!(code == 1 && err.contains(none), "{err}");
    let (code, _, err) = lab.run("stats -n uswitch");
    assert!(code == 1 && err.contains("no switch is named `uswitch`"), "{err}");
    let running = lab.start("uswitch", &["a"], &[]);
    lab.done("stats");
    // What is there and is no socket stays.
    fs::write(lab.socket("file"), "mine").unwrap();
    let spec = lab.spec("b");
    let mut other = lab.command(&["--name", "file", "--port", &spec]);
    let mut other = Running(other.stderr(Stdio::piped()).spawn().unwrap());
    let mut first = String::new();
    let mut stderr = BufReader::new(other.0.stderr.take().unwrap());
    while !first.contains("no control socket") {
        assert!(stderr.read_line(&mut first).unwrap() > 0, "{first}");
    }
    assert!(first.contains("is no socket"), "{first}");
    assert_eq!(fs::read_to_string(lab.socket("file")).unwrap(), "mine");
    drop(other);
    lab.end("uswitch", running);
}

#[test]
fn without_control_there_is_no_socket() {
    let lab = Lab::new();
    let spec = lab.spec("a");
    let mut command = lab.command(&["--no-control", "--port", &spec]);
    let mut running =
        Running(command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
    let lines = BufReader::new(running.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let said: Vec<_> = lines.take_while(|line| !line.contains("Ctrl-C ends it")).collect();
    assert!(!said.iter().any(|line| line.contains("socket")), "{said:?}");
    assert!(!lab.path("run").exists());
    // Nobody may say where his sockets are: that is told as well.
    let mut homeless = lab.command(&["--port", &lab.spec("b")]);
    let output = homeless.env("USWITCH_RUNTIME_DIR", "/dev/null/x").stdout(Stdio::null());
    let mut homeless = Running(output.stderr(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(homeless.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let said: Vec<_> = lines.take_while(|line| !line.contains("Ctrl-C ends it")).collect();
    assert!(said.iter().any(|line| line.contains("could not make its folder")), "{said:?}");
}
