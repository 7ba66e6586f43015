//! Configuration files, by the program itself: what it says of them, and what it does with them.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// What is said of a file, and the code with which it ended.
fn uswitch(folder: &TempDir, arguments: &str) -> (Option<i32>, String, String) {
    uswitch_told(folder, arguments, "")
}

fn uswitch_told(folder: &TempDir, arguments: &str, input: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_uswitch"))
        .args(arguments.split_whitespace())
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // Whoever reads nothing ends before it is written.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    let text = |octets| String::from_utf8(octets).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn write(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("it can be written");
    path
}

const LAB: &str = "\
[switch]
workers = 1
[[port]]
tap = \"tap0\"
[[port]]
dgram = [\"a.sock\", \"b.sock\"]
";

#[test]
fn a_sound_file_is_summed_up_in_a_line() {
    let folder = folder();
    write(&folder, "lab.toml", LAB);
    let (code, out, err) = uswitch(&folder, "check lab.toml");
    assert_eq!((code, &*out, &*err), (Some(0), "lab.toml: 2 ports, 1 worker, nothing wrong\n", ""));
    let (code, out, err) = uswitch(&folder, "check -j lab.toml");
    assert_eq!((code, &*out, &*err), (Some(0), "[]\n", ""));
    let (code, out, _) = uswitch_told(&folder, "check -", LAB);
    assert_eq!((code, &*out), (Some(0), "-: 2 ports, 1 worker, nothing wrong\n"));
}

#[test]
fn all_faults_of_a_file_are_told_with_their_places() {
    let folder = folder();
    write(&folder, "lab.toml", "[switch]\nworkers = 0\n[[port]]\ntap = \"a\"\nmtuu = 1\n");
    let expected = "\
error: 0 is out of range: 1 to 256, or `auto`
 --> lab.toml:2:11
  |
2 | workers = 0
  |           ^

error: there is no option `mtuu`; did you mean `mtu`?
 --> lab.toml:5:1
  |
5 | mtuu = 1
  | ^^^^

";
    let (code, out, err) = uswitch(&folder, "check lab.toml");
    assert_eq!((code, &*out, &*err), (Some(2), "", expected));
    let (code, out, err) = uswitch(&folder, "check -j lab.toml");
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &*err, json.as_array().map(Vec::len)), (Some(2), "", Some(2)));
    assert_eq!((&json[1]["line"], &json[1]["column"]), (&5.into(), &1.into()));
    // To run it is refused in the same words, with those of the command line.
    for form in ["run -c lab.toml --mtu 1", "-c lab.toml --mtu 1"] {
        let (code, out, err) = uswitch(&folder, form);
        assert_eq!((code, &*out), (Some(2), ""));
        assert!(err.starts_with("error: --mtu: 1 is out of range: 68 to 65521\n"), "{err}");
        assert!(err.contains(expected) && err.ends_with("uswitch: nothing was done\n"), "{err}");
    }
}

/// What people get wrong about a router, all of it in one file and told at once.
#[cfg(feature = "router")]
#[test]
fn all_faults_of_a_router_are_told_with_their_places() {
    let folder = folder();
    let text = "[[port]]\ntap = \"tap0\"\n\
        [[leg]]\nbridge = \"br\"\naddress = [\"10.0.0.1/24\", \"fd00:1::1/64\"]\n\
        [[leg]]\nbridge = \"lab\"\naddress = [\"10.0.0.129/25\"]\n\
        [[leg]]\nbridge = \"attic\"\naddress = [\"10.2.0.1/24\"]\n\
        [[leg]]\nbridge = \"shed\"\naddress = [\"10.2.0.1/24\"]\n\
        [[route]]\nto = \"10.8.0.0/16\"\n\
        [[route]]\nto = \"10.9.0.1/16\"\nvia = \"10.2.0.2\"\n\
        [[route]]\nto = \"10.10.0.0/16\"\nvia = \"192.168.7.7\"\n\
        [[route]]\nto = \"fd00:9::/64\"\nvia = \"fd00:7::2\"\n\
        [[route]]\nto = \"fd00:a::/64\"\nleg = \"cellar\"\n";
    write(&folder, "lab.toml", text);
    let (code, out, told) = uswitch(&folder, "check lab.toml");
    assert_eq!((code, &*out), (Some(2), ""), "{told}");
    for (place, sentence) in [
        ("8:12", "leg `lab` is on 10.0.0.128/25, and leg `br` on 10.0.0.0/24"),
        ("14:12", "10.2.0.1"),
        ("15:1", "it leads nowhere"),
        ("18:6", "10.9.0.1/16 has bits set behind its length"),
        ("22:7", "the gateway 192.168.7.7 of the route to 10.10.0.0/16 is on no link"),
        ("25:7", "the gateway fd00:7::2 of the route to fd00:9::/64 is on no link"),
        ("28:7", "cellar"),
    ] {
        let fault = told.split("error: ").find(|fault| fault.contains(&format!("toml:{place}\n")));
        let fault = fault.unwrap_or_else(|| panic!("{place}: {told}"));
        assert!(fault.contains(sentence) && fault.contains('^'), "{place}: {fault}");
    }
    assert_eq!(told.matches("error: ").count(), 7, "{told}");
}

#[test]
fn a_file_that_cannot_be_read_is_a_failure() {
    let folder = folder();
    write(&folder, "latin.toml", "");
    fs::write(folder.path().join("latin.toml"), b"# a\n# \xe4\n").expect("it can be written");
    for (name, sentence) in [
        ("there-is-none", "there-is-none: No such file"),
        (".", ".: "),
        ("latin.toml", ".toml:2: "),
    ] {
        let (code, out, err) = uswitch(&folder, &format!("check {name}"));
        assert_eq!((code, &*out), (Some(1), ""), "{err}");
        assert!(err.contains(sentence), "{err}");
        let (code, out, _) = uswitch(&folder, &format!("check --json {name}"));
        let json: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!((code, &json[0]["line"]), (Some(1), &Value::Null));
    }
}

#[test]
fn bad_words_behind_a_command_are_refused() {
    let folder = folder();
    let cases = [
        ("check", "<FILE> is missing"),
        ("check a b", "`b` stands alone"),
        ("check --colour a", "there is no option `--colour`"),
        ("run tap0", "`tap0` stands alone"),
        ("run", "no port is given"),
        ("--ports a run --ports b", "options stand behind `run`"),
        ("-q config --ports b", "options stand behind `run` or `config`"),
        ("run -c", "option `--config <FILE>` needs a value"),
    ];
    for (arguments, sentence) in cases {
        let (code, out, err) = uswitch(&folder, arguments);
        assert_eq!((code, &*out), (Some(2), ""), "{arguments}: {err}");
        assert!(err.contains(sentence), "{arguments}: {err}");
    }
}

#[test]
fn the_file_is_run_with_what_stands_beside_it() {
    let folder = folder();
    let file =
        "[[port]]\npcap = true\nout = \"there.pcap\"\n[[port]]\npcap = true\nin = \"none\"\n";
    write(&folder, "lab.toml", file);
    // It was understood: what is told is that there is no such capture.
    let (code, _, err) = uswitch(&folder, "run -c lab.toml --port dgram:no/a,b");
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("none: ") && err.contains("a: "), "{err}");
    assert!(!Path::new("there.pcap").exists());
}

#[test]
fn two_files_are_compared_as_diff_does() {
    let folder = folder();
    write(&folder, "old.toml", LAB);
    let new = LAB.replace("workers = 1", "workers = 2").replace("tap0\"", "tap0\"\nmtu = 9000");
    let new = new.replace("dgram", "stream").replace("[\"a.sock\", \"b.sock\"]", "\"c,d.sock\"");
    write(&folder, "new.toml", &new);
    let expected = "\
! workers: 1 -> 2 (takes a restart)
- dgram:a.sock,b.sock
~ tap:tap0 -> tap:tap0,mtu=9000
+ stream:c,,d.sock
";
    let (code, out, err) = uswitch(&folder, "diff old.toml new.toml");
    assert_eq!((code, &*out, &*err), (Some(1), expected, ""));
    let (code, out, _) = uswitch(&folder, "diff -j old.toml new.toml");
    let expected = serde_json::json!([
        {"action": "restart", "setting": "workers", "old": "1", "new": "2"},
        {"action": "remove", "port": "a", "old": "dgram:a.sock,b.sock"},
        {"action": "change", "port": "tap0", "old": "tap:tap0", "new": "tap:tap0,mtu=9000"},
        {"action": "add", "port": "c,d", "new": "stream:c,,d.sock"},
    ]);
    assert_eq!((code, serde_json::from_str::<Value>(&out).expect("JSON")), (Some(1), expected));
    let (code, out, err) = uswitch(&folder, "diff old.toml old.toml");
    assert_eq!((code, &*out, &*err), (Some(0), "", ""));
    write(&folder, "bad.toml", "[[port]]\n");
    let (code, out, err) = uswitch(&folder, "diff bad.toml there-is-none");
    assert_eq!((code, &*out), (Some(2), ""));
    assert!(err.contains("bad.toml:1:1") && err.contains("there-is-none: No such"), "{err}");
    for (words, sentence) in [
        ("diff", "<FILE>... is missing"),
        ("diff -n lab old.toml new.toml", "two files are compared with each other"),
    ] {
        let (code, out, err) = uswitch(&folder, words);
        assert_eq!((code, &*out), (Some(2), ""), "{words}");
        assert!(err.contains(sentence), "{words}: {err}");
    }
}

#[test]
fn a_command_line_becomes_a_file_that_can_be_checked() {
    let folder = folder();
    let line = "config --ports tap0 --port udp:127.0.0.1:1,127.0.0.1:2,quota=9 --workers 1 \
                --port host:lan0,addr=10.0.0.1/24,mac=02:00:00:00:00:01 --busy-poll 50 --persist";
    let expected = "\
[switch]
workers = 1
busy-poll = 50
group-forward = \"standard\"
persist = true

[fdb]
size = 65536
quota = 8192
ageing = 300

[[port]]
tap = \"tap0\"
persist = true

[[port]]
udp = [\"127.0.0.1:1\", \"127.0.0.1:2\"]
quota = 9

[[port]]
host = \"lan0\"
addr = [\"10.0.0.1/24\"]
mac = \"02:00:00:00:00:01\"
";
    let (code, out, err) = uswitch(&folder, line);
    assert_eq!((code, &*out, &*err), (Some(0), expected, ""));
    let (code, said, err) = uswitch_told(&folder, "check -", &out);
    assert_eq!((code, &*said), (Some(0), "-: 3 ports, 1 worker, nothing wrong\n"), "{err}");
    write(&folder, "lab.toml", &out);
    let (code, again, _) = uswitch(&folder, "config -c lab.toml");
    assert_eq!((code, again), (Some(0), out));
    let (code, out, err) = uswitch(&folder, "config --ports a/b");
    assert_eq!((code, &*out), (Some(2), ""));
    assert!(err.contains("has a '/' in it"), "{err}");
}

/// What the README shows, and what it says of it.
#[test]
fn the_readme_tells_the_truth() {
    let readme = include_str!("../../README.md");
    let begin = readme.find("```toml\n").expect("there is an example") + "```toml\n".len();
    let text = &readme[begin..][..readme[begin..].find("```").expect("it has an end")];
    let folder = folder();
    write(&folder, "lab.toml", text);
    let (code, out, err) = uswitch(&folder, "check lab.toml");
    assert_eq!((code, &*err), (Some(0), ""), "{out}");
    assert!(out.starts_with("lab.toml: 3 ports, "), "{out}");
    let line = "config --busy-poll 50 --metrics 127.0.0.1:9119 --ageing 60 \
                --port tap:tap0,mtu=9000 \
                --port dgram:/run/switch.sock,/run/vm2.sock \
                --port host:lan0,addr=10.0.0.1/24,addr=fd00::1/64";
    let (code, same, err) = uswitch(&folder, line);
    assert_eq!((code, &*err), (Some(0), ""));
    // No option says it.
    let line = "02:00:00:00:00:01 dev tap0 static\n";
    write(&folder, "same.toml", &same);
    let differs = (Some(1), format!("- {line}"), String::new());
    assert_eq!(uswitch(&folder, "diff lab.toml same.toml"), differs);
    let entry = "[[fdb.static]]\nmac = \"02:00:00:00:00:01\"\nport = \"tap0\"\n";
    write(&folder, "same.toml", &(same + entry));
    assert_eq!(
        uswitch(&folder, "diff lab.toml same.toml"),
        (Some(0), String::new(), String::new())
    );
}

#[test]
fn every_file_of_the_readme_is_right() {
    let folder = folder();
    let readme = include_str!("../../README.md");
    let files: Vec<_> = readme.split("```toml\n").skip(1).collect();
    assert!(files.len() > 1);
    // The file of routes that one of them names stands behind it.
    let (_, behind) = readme.split_once("routes = \"full.routes\"").unwrap();
    let routes = behind.split("```text\n").nth(1).unwrap();
    write(&folder, "full.routes", routes.split("```").next().unwrap());
    for text in files {
        write(&folder, "lab.toml", text.split("```").next().unwrap());
        let (code, out, err) = uswitch(&folder, "check lab.toml");
        assert_eq!((code, &*err), (Some(0), ""), "{text}: {out}");
        // What would run is the same.
        let (_, same, _) = uswitch(&folder, "config -c lab.toml");
        write(&folder, "same.toml", &same);
        let (code, out, err) = uswitch(&folder, "diff lab.toml same.toml");
        assert_eq!((code, &*out, &*err), (Some(0), "", ""));
    }
}
