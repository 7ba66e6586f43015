//! A switch that runs is changed: by its file, which is read again, and port by port; and what runs
//! is written as a file. Ports are stream sockets and captures, which need no root.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use serde_json::{Value, json};
use uswitch_tests::{
    exchange::{BROADCAST, frame, station},
    running::Running,
};

use crate::lab::{Lab, eventually};

/// A file with these ports and these settings in front.
fn write(lab: &Lab, name: &str, settings: &str, ports: &[(&str, &str)]) -> String {
    let path = lab.path(name);
    let table = |(port, options): &(&str, &str)| {
        let socket = lab.path(port);
        format!("[[port]]\nstream = \"{}\"\n{options}\n", socket.display())
    };
    let ports: String = ports.iter().map(table).collect();
    // In one step, so that it is never read half written.
    fs::write(lab.path("new"), format!("{settings}\n{ports}")).unwrap();
    fs::rename(lab.path("new"), &path).unwrap();
    path.display().to_string()
}

/// The names of the plugs that there are.
fn plugs(lab: &Lab) -> Vec<String> {
    let config = lab.done("config");
    let paths = config.lines().filter_map(|line| line.strip_prefix("stream = \""));
    paths.map(|path| path.trim_end_matches('"').rsplit('/').next().unwrap().to_owned()).collect()
}

#[test]
fn what_is_asked_wrongly_is_told_in_a_sentence_with_its_exit_code() {
    let lab = Lab::new();
    let file = write(&lab, "lab.toml", "", &[("a", ""), ("b", "")]);
    let none = "no switch runs that could be steered";
    for (words, code) in [("reload", 1), ("config", 1), (&*format!("diff {file}"), 2)] {
        let (found, out, err) = lab.run(words);
        assert_eq!((found, &*out), (code, ""), "{words}: {err}");
        assert!(err.contains(none), "{words}: {err}");
    }
    let running = lab.start("lab", &["a", "b"], &[]);
    let anew = format!("`uswitch port del a`, then `uswitch port add {},mtu=1400`", lab.spec("a"));
    for (words, code, sentence) in [
        ("reload", 1, "this switch was started without a file"),
        ("reload lab.toml", 2, "`lab.toml` stands alone"),
        ("reload -n other", 1, "no switch is named `other`; there are: `lab`"),
        ("port set", 2, "is missing"),
        ("port set a", 2, "<OPTION=VALUE>... is missing"),
        ("port set a quota", 2, "`quota` is not OPTION=VALUE, as in `quota=100`"),
        ("port set a quota 100", 2, "`100` is not OPTION=VALUE"),
        ("port set a quota=x", 2, "quota `x` is not a number"),
        ("port set a mtu=7", 2, "mtu 7 is out of range"),
        ("port set a quota=70000", 1, "quota 70000 is more than the 65536 addresses"),
        ("port set a qota=1", 1, "there is no option `qota`; did you mean `quota`?"),
        ("port set a conect=on", 1, "did you mean `connect`?"),
        ("port set c quota=1", 1, "there is no port `c`; did you mean `a`?"),
        ("port set a mtu=1400", 1, &anew),
        ("port set a mtu=1400 quota=1", 1, "only its quota can be set"),
        ("port set a name=c", 1, "only its quota can be set"),
        ("config -n other", 1, "no switch is named `other`"),
        ("config --running --mtu 1400", 2, "--running: what runs has options of its own"),
        ("config --mtu 1400", 2, "no port is given"),
        ("diff /no/such/file", 2, "/no/such/file: No such file"),
        (&format!("diff -n other {file}"), 2, "no switch is named `other`"),
        (&format!("diff -n lab {file} {file}"), 2, "two files are compared with each other"),
    ] {
        let (found, out, err) = lab.run(words);
        assert_eq!((found, &*out), (code, ""), "{words}: {err}");
        assert!(err.contains(sentence), "{words}: {err}");
    }
    let mut line = lab.line("lab");
    for (request, sentence) in [
        (r#"{"v":1,"do":"port.set","port":"a"}"#, "`set`"),
        (r#"{"v":1,"do":"port.set","port":"a","set":[]}"#, "nothing is said to be set"),
        (r#"{"v":1,"do":"port.set","port":"a","set":["quota"]}"#, "is not OPTION=VALUE"),
        (r#"{"v":1,"do":"port.set","port":"\u001b","set":["quota=1"]}"#, "\\u{1b}"),
        (r#"{"v":1,"do":"reload","file":"x"}"#, "`file`"),
        (r#"{"v":1,"do":"config","from":-1}"#, "-1"),
    ] {
        let answer = line.ask(request);
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(error.contains(sentence), "{request}: {answer}");
    }
    // Beyond the last port there is nothing, as everywhere.
    let answer = line.ask(r#"{"v":1,"do":"config","from":99}"#);
    assert_eq!(answer["ok"]["toml"], "");
    assert_eq!(lab.done(&format!("diff {file}")), "", "nothing was done");

    let other = lab.start("other", &["c"], &[]);
    for (words, code) in [("reload", 1), ("config", 1), (&*format!("diff {file}"), 2)] {
        let (found, out, err) = lab.run(words);
        assert_eq!((found, &*out), (code, ""), "{words}: {err}");
        assert!(err.contains("say which with `-n NAME`"), "{words}: {err}");
    }
    assert_eq!(lab.done(&format!("-n lab diff {file}")), "");
    assert!(lab.done("-n other config").starts_with("# what the switch `other` runs\n"));
    lab.end("other", other);
    lab.end("lab", running);
}

#[test]
fn file_is_the_truth_when_it_is_read_again() {
    let lab = Lab::new();
    let settings = "[switch]\nworkers = 1\nmtu = 1400\n[fdb]\nageing = 60\n";
    let file = write(&lab, "lab.toml", settings, &[("a", ""), ("b", "quota = 5")]);
    let running = lab.start("lab", &[], &["-c", &file]);
    let mut a = lab.station("a");
    eventually("it is there", || lab.log("lab").contains("a.1: connected"));
    assert_eq!(lab.done("reload"), format!("{file}: applied, nothing differs\n"));

    // The file's words are the defaults of a port that is added.
    lab.done(&format!("port add {}", lab.spec("more")));
    assert_eq!(lab.json("port show more -j")[0]["mtu"], 1400);
    lab.done("port del b");
    assert_eq!(lab.done("port set a quota=7"), "a: quota 7\n");
    assert_eq!(lab.json("port set a quota=7 -j"), json!(["a: it is so already"]));
    assert!(lab.done("config").contains("quota = 7\n"));
    assert_eq!(plugs(&lab), ["a", "more"]);
    let (code, out, _) = lab.run(&format!("diff {file}"));
    let [more, spec, b] = ["more", "a", "b"].map(|name| lab.spec(name));
    let expected = format!(
        "= {spec},mtu=1400,quota=7 -> {spec},mtu=1400\n- {more},mtu=1400\n+ {b},mtu=1400,quota=5\n"
    );
    assert_eq!((code, out), (1, expected));

    let mut monitor =
        Running(lab.command(&["monitor", "-j"]).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(monitor.0.stdout.take().unwrap()).lines();
    // Until it listens, there is something to be heard.
    std::thread::scope(|scope| {
        let first = scope.spawn(|| lines.next().unwrap().unwrap());
        while !first.is_finished() {
            for quota in ["1", "2"] {
                lab.done(&format!("port set a quota={quota}"));
            }
        }
        let first: Value = serde_json::from_str(&first.join().unwrap()).unwrap();
        assert_eq!((&first["event"], &first["port"]), (&"set".into(), &"a".into()));
    });
    let settings = settings.replace("60", "30") + "quota = 100\n";
    write(&lab, "lab.toml", &settings, &[("a", ""), ("b", "quota = 5"), ("c", "")]);
    let applied = json!({
        "file": file, "came": 2, "removed": 1, "changed": 1,
        "set": ["fdb-quota: 8192 -> 100", "ageing: 60 -> 30"],
    });
    assert_eq!(lab.json("reload -j"), applied);
    assert_eq!(plugs(&lab), ["a", "b", "c"]);
    let config = lab.done("config");
    assert!(config.contains("quota = 100\nageing = 30\n") && !config.contains("quota = 2"));
    let heard = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let heard: Vec<_> = heard.filter(|event| event["event"] != "set").take(4).collect();
    let found: Vec<_> = heard.iter().map(|e| (e["event"].clone(), e["port"].clone())).collect();
    let expected = [("removed", "more"), ("waits", "b"), ("waits", "c")];
    assert_eq!(found[..3], expected.map(|(event, port)| (event.into(), port.into())));
    assert_eq!((&heard[3]["event"], &heard[3]["applied"]), (&"applied".into(), &applied));
    assert_eq!(heard[0]["text"], "more: removed, the file has it not");
    let logged = |text: &str| eventually(text, || lab.log("lab").contains(text));
    logged("more: removed, the file has it not\n");
    let told = "applied, 2 ports in, 1 port out, 1 port changed, fdb-quota: 8192 -> 100, \
                ageing: 60 -> 30\n";
    logged(told);

    // What stayed is the port that it was.
    let mut b = lab.station("b");
    eventually("it is there", || lab.log("lab").contains("b.1: connected"));
    let hello = frame(BROADCAST, station(1), b"hello");
    a.put(&hello);
    assert_eq!(b.take(), hello);
    assert_eq!(lab.log("lab").matches("a.1: connected").count(), 1);
    lab.end("lab", running);
}

#[test]
fn quota_that_is_set_holds_at_once_for_all_clients_that_are_and_come() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a", "b"], &[]);
    let (mut a, mut b) = (lab.station("a"), lab.station("b"));
    eventually("both are there", || lab.log("lab").matches(": connected").count() == 2);
    lab.done("port set a quota=2");
    let mut learned = |from: &mut crate::station::Station| {
        for number in 1..6 {
            let hello = frame(BROADCAST, station(number), b"hello");
            from.put(&hello);
            assert_eq!(b.take(), hello);
        }
        lab.json("fdb show -j").as_array().unwrap().len()
    };
    assert_eq!(learned(&mut a), 2);
    lab.done("port set a quota=4");
    assert_eq!(learned(&mut a), 4);
    let (code, _, err) = lab.run("port set a.1 quota=1");
    assert!(code == 1 && err.contains("`a.1` is a client of `a`"), "{err}");
    drop(a);
    eventually("it has gone", || lab.log("lab").contains("the client has gone"));
    let mut again = lab.station("a");
    eventually("another has come", || lab.log("lab").contains("a.2: connected"));
    assert_eq!(learned(&mut again), 4);
    lab.done("port set a quota=default");
    assert_eq!(learned(&mut again), 5);
    lab.end("lab", running);
}

#[test]
fn what_cannot_be_done_is_told_as_check_tells_it_and_changes_nothing() {
    let lab = Lab::new();
    let file = write(&lab, "lab.toml", "[switch]\nworkers = 1\n", &[("a", ""), ("b", "")]);
    let running = lab.start("lab", &[], &["-c", &file]);
    let before = lab.done("config");
    write(&lab, "lab.toml", "[fdb]\nagein = 60\n", &[("a", "mtu = 1"), ("b", "quota = 70_000")]);
    let (code, out, check) = lab.run(&format!("check {file}"));
    assert_eq!((code, &*out), (2, ""));
    let (code, out, err) = lab.run("reload");
    assert_eq!((code, &*out), (2, ""));
    assert_eq!(err, format!("{check}uswitch: the switch goes on as it was\n"));
    let (code, out, err) = lab.run("reload -j");
    assert_eq!((code, out, &*err), (2, lab.run(&format!("check -j {file}")).1, ""));
    let answer = lab.line("lab").ask(r#"{"v":1,"do":"reload"}"#);
    let error = answer["error"].as_str().unwrap();
    assert!(error.lines().count() == 3 && error.contains(":2:1: there is no key"), "{answer}");
    // SIGHUP tells the same, where the switch tells what it does.
    let said = || lab.log("lab").matches("nothing was changed").count();
    // The log may come a moment after the answer.
    eventually("it is told", || said() == 3);
    running.signal("-HUP");
    eventually("it is told", || said() == 4);
    assert_eq!(lab.log("lab").matches(&*check).count(), 4);

    let more = [("a", ""), ("b", ""), ("no/such/folder", "")];
    for (settings, ports, sentence) in [
        ("[switch]\nworkers = 2", &more[..2], "workers: 1 -> 2 (takes a restart)"),
        ("[switch]\nworkers = 1\ncpus = [0]", &more[..2], "cpus: any -> 0 (takes a restart)"),
        ("[fdb]\nsize = 64\nageing = 9", &more[..2], "fdb-size: 65536 -> 64 (takes a restart)"),
        ("[fdb]\nageing = 9", &more, "folder: its folder"),
    ] {
        write(&lab, "lab.toml", settings, ports);
        let (code, out, err) = lab.run("reload");
        assert_eq!((code, &*out), (1, ""), "{settings}: {err}");
        assert!(err.contains(sentence), "{settings}: {err}");
    }
    fs::remove_file(&file).unwrap();
    let (code, _, err) = lab.run("reload");
    assert!(code == 1 && err.contains("lab.toml: No such file"), "{err}");
    assert_eq!(lab.done("config"), before);
    lab.end("lab", running);

    let text = format!("[[port]]\nstream = \"{}\"\n", lab.path("x").display());
    fs::write(lab.path("piped"), text).unwrap();
    let mut piped = lab.command(&["--name", "piped", "-c", "-"]);
    let piped = piped.stdin(fs::File::open(lab.path("piped")).unwrap()).stderr(Stdio::null());
    let mut piped = Running(piped.stdout(Stdio::null()).spawn().unwrap());
    eventually("it can be steered", || lab.socket("piped").exists() && lab.run("stats").0 == 0);
    let (code, _, err) = lab.run("reload");
    assert!(code == 1 && err.contains("standard input, which cannot be read again"), "{err}");
    piped.signal("-TERM");
    assert!(piped.0.wait().unwrap().success());
}

#[test]
fn what_runs_is_a_file_that_check_accepts_and_does_not_differ() {
    const PORTS: usize = 600;
    let lab = Lab::new();
    let file = write(&lab, "lab.toml", "[switch]\nworkers = 2\nbusy-poll = 7\n", &[("a,b", "")]);
    let words = ["-c", &file, "--mtu", "1300", "--persist", "--group-forward", "wire"];
    let running = lab.start("lab", &["c"], &words);
    let at = |name: &str| lab.path(name).display().to_string().replace(',', ",,");
    let mut line = lab.line("lab");
    let mut add = |spec: &str| {
        let answer = line.ask(&json!({"v": 1, "do": "port.add", "spec": spec}).to_string());
        assert!(answer["ok"].is_object(), "{spec}: {answer}");
    };
    add(&format!("dgram:{},{},name=\"quoted\",quota=3", at("d,1"), at("é = [2]")));
    add(&format!("pcap:out={},speed=2.5x,name=#", at("p\u{7f}")));
    add(&format!("stream:{},mtu=9000,name=on", at("s\"'\\")));
    add(&format!("stream:{},name=007", at("t")));
    // More than fit into one answer.
    for number in 0..PORTS {
        add(&format!("pcap:out={},name={}{number}", at(&format!("p{number}")), "x".repeat(60)));
    }
    lab.done("port del c");
    lab.done("port set on quota=9");
    let config = lab.done("config");
    assert!(config.len() > 64 << 10, "it did not fit into one");
    assert_eq!(lab.json("config --running -j"), json!({ "toml": config }));
    assert_eq!(lab.done("config -n lab"), config);
    let running_file = lab.path("running.toml").display().to_string();
    fs::write(&running_file, &config).unwrap();
    let told = format!("{running_file}: {} ports, 2 workers, nothing wrong\n", PORTS + 5);
    assert_eq!(lab.done(&format!("check {running_file}")), told);
    assert_eq!(lab.done(&format!("diff {running_file}")), "");
    assert_eq!(lab.json(&format!("diff -j {running_file}")), json!([]));
    let (code, out, _) = lab.run(&format!("diff {file} {running_file}"));
    assert_eq!((code, out.lines().count()), (1, PORTS + 4 + 4), "{out}");
    fs::write(&running_file, config.replace("quota = 9", "quota = 8")).unwrap();
    let (code, out, _) = lab.run(&format!("diff -j {running_file}"));
    let actions: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &actions[0]["action"], &actions[0]["port"]),
        (1, &"adjust".into(), &"on".into())
    );
    assert!(actions[1].is_null(), "{actions}");

    // With one port left it has more workers than a file could ask for, and with none no file.
    for name in ["\"quoted\"", "#", "on", "007"] {
        line.ask(&json!({"v": 1, "do": "port.del", "port": name}).to_string());
    }
    for number in 0..PORTS {
        let name = format!("{}{number}", "x".repeat(60));
        line.ask(&json!({"v": 1, "do": "port.del", "port": name}).to_string());
    }
    let (code, out, _) = lab.run(&format!("diff {file}"));
    // What its command line says and the file does not.
    let defaults = "= group-forward: wire -> standard\n= mtu: 1300 -> any\n= persist: on -> off\n";
    let spec = format!("stream:{}", at("a,b"));
    assert_eq!((code, out), (1, format!("{defaults}~ {spec},mtu=1300 -> {spec}\n")));
    line.ask(r#"{"v":1,"do":"port.del","port":"a,b"}"#);
    let config = lab.done("config");
    assert!(config.contains("# no port is plugged in") && config.contains("workers = \"auto\""));
    let (code, out, _) = lab.run(&format!("diff {file}"));
    assert!(code == 1 && out.ends_with(&format!("+ stream:{}\n", at("a,b"))), "{out}");
    lab.end("lab", running);
}
