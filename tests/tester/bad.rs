//! Devices that let nothing through, lose everything or die are results; what was typed wrongly,
//! rights that are missing, full disks and Ctrl-C are told.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use uswitch_tests::{privileged, program, running::Running, tester};

use super::{device, lines, on_device, said};

const PATIENCE: Duration = Duration::from_secs(120);
const SEARCH: &str = "throughput --no-calibrate --rounds 1 --trial 0.02 --resolution 0.3";

#[test]
fn a_device_that_swallows_everything_has_a_throughput_of_nothing() {
    if !privileged() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = on_device(SEARCH, "swallow", &folder.path().join("told")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let found = lines(&output, "throughput").pop().expect("a result is told");
    assert_eq!((&found["median"], &found["fault"]), (&0.0.into(), &().into()), "{found}");
    assert!(lines(&output, "trial").iter().all(|trial| trial["received"] == 0));
}

#[test]
fn a_device_that_dies_is_told_of() {
    if !privileged() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = on_device(SEARCH, "die", &folder.path().join("told")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let found = lines(&output, "throughput").pop().expect("a result is told");
    assert_eq!(found["fault"], "its process has ended", "{found}");
}

#[test]
fn a_device_that_lets_nothing_through_is_told_of() {
    if !privileged() {
        return;
    }
    let words = "trial --device exec --patience 0.2 --json --exec";
    let output =
        Command::new(tester()).args(words.split(' ')).arg("tail -f /dev/null").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let trial = lines(&output, "trial").pop().expect("a result is told");
    assert_eq!(trial["fault"], "no frame came through in 0.2 s");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_done() {
    for (words, cure) in [
        ("trial --device exec", "needs the words of a program"),
        ("trial --device exec --exec no-such-program", "`no-such-program`, did not start"),
        (
            "trial --device uswitch --uswitch /nowhere/uswitch",
            "`/nowhere/uswitch` is not installed",
        ),
    ] {
        if !privileged() {
            return;
        }
        let output = Command::new(tester()).args(words.split(' ')).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(said(&output).contains(cure), "{}", said(&output));
        assert!(output.stdout.is_empty(), "{words}");
    }
    let output = Command::new(tester()).args(["trial", "--device", "brigde"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("there are veth, "), "{}", said(&output));
}

#[test]
fn who_is_not_root_is_told_which_right_is_missing() {
    if !privileged() {
        return;
    }
    // Where anybody may read it.
    let folder = tempfile::Builder::new().permissions(all()).tempdir().unwrap();
    let program = folder.path().join("uswitch-bench");
    fs::copy(tester(), &program).unwrap();
    let mut command = Command::new(program);
    let output = command.args(["trial", "--device", "veth"]).uid(NOBODY).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("it takes root or CAP_SYS_ADMIN"), "{}", said(&output));
}

#[test]
fn a_full_disk_is_told() {
    if !privileged() {
        return;
    }
    let words = "trial --device veth --rate 1000 --frames 10 --output /dev/full";
    let output = Command::new(tester()).args(words.split(' ')).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("`/dev/full` could not be written: No space left"), "{text}");
}

#[test]
fn a_report_of_no_results_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (results, page) = (folder.path().join("results"), folder.path().join("page"));
    let report = |page: &Path| {
        let mut command = Command::new(tester());
        command.arg("report").arg(&results).arg("--html").arg(page).output().unwrap()
    };
    let refused = |page: &Path, cure: &str| {
        let output = report(page);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(cure), "{}", said(&output));
    };
    refused(&page, "could not be read: No such file");
    fs::write(&results, "{\"kind\":\"run\"}\nnonsense\n").unwrap();
    refused(&page, "there are no results");
    assert!(!page.exists());
    fs::write(&results, "{\"kind\":\"ratio\"}\n{\"kind\":\"rat").unwrap();
    refused(Path::new("/dev/full"), "`/dev/full` could not be written: No space left");
    assert_eq!(report(&page).status.code(), Some(0));
    assert!(page.exists());
}

#[test]
fn an_interrupt_leaves_nothing_and_tells_what_was_found() {
    if !privileged() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("told");
    let words = "throughput --no-calibrate --rounds 1000 --trial 0.05";
    let mut command = on_device(words, "none", &file);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let found = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(r#""trial""#)));
    assert!(found.is_some(), "a trial is told");
    running.signal("-INT");
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(running.0.wait().unwrap().code(), Some(130));
    let last = rest.last().expect("the device's line is told");
    assert!(last.contains(r#""kind":"throughput""#), "{last}");
    let (pid, _) = device::told(&file);
    assert!(pid == 0 || !Path::new(&format!("/proc/{pid}")).exists(), "the device has ended");
}

#[test]
fn devices_end_with_a_tester_that_is_killed() {
    if !privileged() {
        return;
    }
    for device in ["loop", "uswitch", "vde", "socat"] {
        let folder = tempfile::tempdir().unwrap();
        let words = format!("trial --device {device} --rate 10 --frames 100000 --json");
        let mut command = Command::new(tester());
        command.args(words.split(' ')).arg("--uswitch").arg(program());
        command.stdout(fs::File::create(folder.path().join("out")).unwrap());
        let mut running = Running(command.spawn().unwrap());
        let begin = Instant::now();
        // The device, and what watches the tester for it.
        let processes = loop {
            assert!(begin.elapsed() < PATIENCE, "{device} is there");
            let processes = children(running.0.id());
            if processes.len() == 2 {
                break processes;
            }
            thread::yield_now();
        };
        running.signal("-KILL");
        running.0.wait().unwrap();
        while processes.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            assert!(begin.elapsed() < PATIENCE, "{device} ends with the tester");
            thread::yield_now();
        }
    }
}

/// What the threads of a process have started.
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let text = |task: fs::DirEntry| fs::read_to_string(task.path().join("children"));
    let texts: Vec<String> = tasks.filter_map(|task| text(task).ok()).collect();
    let words = texts.iter().flat_map(|text| text.split_whitespace());
    words.map(|word| word.parse().expect("a number")).collect()
}

fn all() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

const NOBODY: u32 = 65_534;
