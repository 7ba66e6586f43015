//! `uswitch top` in a real terminal, which is tmux's: its screens are captured as text.

mod left;

#[path = "../control/lab.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod lab;
#[path = "../sockets/station.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod station;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use lab::{Lab, eventually};
use uswitch_tests::program;

/// A terminal with a shell in it, on a tmux server of its own.
struct Terminal<'a> {
    lab: &'a Lab,
}

impl<'a> Terminal<'a> {
    fn new(lab: &'a Lab, width: u32, height: u32) -> Terminal<'a> {
        let terminal = Terminal { lab };
        let (width, height) = (width.to_string(), height.to_string());
        let size = ["-x", &width, "-y", &height];
        terminal.tmux(&[&["new-session", "-d"][..], &size, &["sh"]].concat());
        terminal
    }

    #[track_caller]
    fn tmux(&self, words: &[&str]) -> Output {
        let mut tmux = Command::new("tmux");
        tmux.args(["-f", "/dev/null", "-u", "-S"]).arg(self.lab.path("tmux")).args(words);
        // A tmux in which this test may run is another.
        tmux.env("USWITCH_RUNTIME_DIR", self.lab.path("run")).env_remove("TMUX").env("PS1", "$ ");
        let output = tmux.output().expect("tmux is installed: ci.sh does so");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {told}");
        output
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn screen(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p"]).stdout).unwrap()
    }

    /// The screen with the sequences by which it is coloured.
    fn painted(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-e", "-p"]).stdout).unwrap()
    }

    /// What tmux knows of it.
    fn fact(&self, name: &str) -> String {
        let told = self.tmux(&["display-message", "-p", &format!("#{{{name}}}")]).stdout;
        String::from_utf8(told).unwrap().trim().to_owned()
    }

    /// Whether it is as a shell wants it: the first screen, with a cursor, and what is typed is
    /// shown, and read line by line.
    fn is_given_back(&self) -> bool {
        let terminal = self.fact("pane_tty");
        let told = Command::new("stty").args(["-F", &terminal, "-a"]).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let has = |word: &str| told.split_whitespace().any(|other| other.trim_matches(';') == word);
        let screen = [self.fact("alternate_on"), self.fact("cursor_flag")];
        screen == ["0", "1"] && has("echo") && has("icanon")
    }

    /// Waits until all of this is on the screen.
    fn shows(&self, words: &[&str]) -> String {
        let all = || words.iter().all(|word| self.screen().contains(word));
        eventually(&format!("the screen shows {words:?}"), all);
        self.screen()
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn terminal_is_drawn_on_obeys_keys_outlives_the_switch_and_is_given_back() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a", "b"], &[]);
    let _stations = ["a", "b"].map(|port| lab.station(port));
    eventually("both are there", || lab.log("lab").matches(": connected").count() == 2);
    let terminal = Terminal::new(&lab, 80, 24);
    let command = format!("{} top -n lab -i 0.2; echo \"ended $?\"", program().display());
    terminal.keys(&[&command, "Enter"]);
    let screen = terminal.shows(&["a.1", "b.1", "addresses 0 of 65536", "q quit"]);
    assert_eq!(screen.lines().count(), 24, "{screen}");
    assert!(screen.lines().last().unwrap().contains("q quit"), "{screen}");

    terminal.keys(&["r"]);
    terminal.shows(&["rx/s*"]);
    terminal.keys(&["?"]);
    terminal.shows(&["sort by name"]);
    terminal.keys(&["?"]);
    terminal.keys(&["/"]);
    terminal.keys(&["b.1"]);
    terminal.keys(&["Enter"]);
    terminal.shows(&["only names with `b.1`"]);
    eventually("the other is hidden", || !terminal.screen().contains("a.1"));

    terminal.tmux(&["resize-window", "-x", "120", "-y", "40"]);
    let last = || terminal.screen().lines().nth(39).is_some_and(|line| line.contains("q quit"));
    eventually("the larger screen is used", last);

    drop(running);
    terminal.shows(&["gone, and looked for"]);
    let again = lab.start("lab", &["a", "other"], &[]);
    terminal.keys(&["Escape"]);
    terminal.shows(&["other", "DORMANT"]);
    eventually("it is found", || !terminal.screen().contains("gone, and looked for"));
    terminal.keys(&["q"]);
    terminal.shows(&["ended 0"]);
    lab.end("lab", again);
}

#[test]
fn terminal_that_is_closed_ends_it() {
    let lab = Lab::new();
    let running = lab.start("lab", &["a", "b"], &[]);
    let terminal = Terminal::new(&lab, 80, 24);
    let note = lab.path("number").display().to_string();
    let command = format!("sh -c 'echo $$ >{note}; exec {} top -n lab'", program().display());
    terminal.keys(&[&command, "Enter"]);
    terminal.shows(&["q quit"]);
    let number = fs::read_to_string(&note).unwrap();
    let process = Path::new("/proc").join(number.trim());
    assert!(process.exists());
    drop(terminal);
    eventually("it has ended", || !process.exists());
    lab.end("lab", running);
}

#[test]
fn where_there_is_no_terminal_it_says_what_there_is() {
    let lab = Lab::new();
    let (code, out, err) = lab.run("top");
    assert_eq!((code, &*out), (1, ""));
    assert!(err.contains("there is none; `uswitch port show -s`"), "{err}");
    let (code, _, err) = lab.run("top -i 0");
    assert!(code == 2 && err.contains("0.1 to 60 seconds"), "{err}");
}
