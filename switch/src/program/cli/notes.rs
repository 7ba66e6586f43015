//! What is to be known beside the options.

/// Headings and lines, for help and manual page.
pub(crate) const NOTES: &[(&str, &str)] = &[
    (
        "Signals",
        "\
SIGINT, SIGTERM  end the switch; a second one does so at once, with exit code 1
SIGHUP           reads the file of --config again and does what differs, as
                 `uswitch reload`; ports that are the same in it lose no frame,
                 and a file with a fault changes nothing. Without a file it
                 ends the switch
SIGUSR1          prints the counters so far",
    ),
    (
        "Exit codes",
        "\
0  done; also when the reader of standard output has closed it
1  failure: a port did not open, all ports are gone, a disk is full
2  usage: the command line makes no sense, and nothing was done",
    ),
    (
        "Standard streams",
        "\
Counters go to standard output, everything else to standard error, as text
also with --json; `--log-format json` makes that JSON, too.",
    ),
    (
        "Steering",
        "\
A switch that runs is asked and changed by `uswitch port show|add|set|del`,
`fdb show|get|add|del|flush`, `reload`, `config`, `diff`, `stats`, `drops`,
`explain`, `capture` and `monitor`; `-n NAME` says which.
They speak to /run/uswitch/NAME.sock, or $XDG_RUNTIME_DIR/uswitch/NAME.sock
if it is not root's; $USWITCH_RUNTIME_DIR goes before both.",
    ),
    (
        "Other commands",
        "`uswitch NAME ...` with any other NAME runs `uswitch-NAME`: `bench` is the tester.",
    ),
    (
        "Examples",
        "\
uswitch demo
uswitch --ports tap0,tap1,tap2
uswitch --port tap0,netns=red --port tap1,netns=blue,mtu=9000
uswitch port add tap3,netns=green
uswitch --ports tap0,tap1 --busy-poll 50 --json | jq .total.rx_frames",
    ),
];

/// All of it, as it stands under the options.
pub(super) fn after_help() -> String {
    let note = |(title, text): &(&str, &str)| format!("{title}:\n  {}", text.replace('\n', "\n  "));
    NOTES.iter().map(note).collect::<Vec<_>>().join("\n\n")
}
