//! Stories: what the switch does, told in text files beside this one. One story, one rule.
//!
//! A line is one sentence; `#` begins a comment. First what there is, then what happens:
//!
//! ```text
//! ports a b c:mtu=9000        ports, with `mtu=`, `quota=`, `room=` (frames that its cable holds)
//!                             and `worker=` (who receives for it), separated by commas
//! ageing 300s                 how long a silent station is remembered      (300s)
//! size 64                     entries of the table                         (1024)
//! quota 8                     entries for one port at the most             (1024)
//! workers 2                   who share the ports, the first one's first   (1)
//! group-forward wire          reserved addresses pass                      (standard)
//!
//! a > all 02:..:0a arp        a frame comes in by port a, to everybody, from this station
//! = b c                       and comes out by b and c, octet for octet, and by no other port
//! = nobody                    (or by none at all)
//! a >> 02:..:0b 02:..:0a "x"  a frame that waits for the next one, to be moved in one batch
//! b = x y x                   by b come out exactly these, in this order
//! wait 299.9s                 time passes, in tenths of a second
//! sweep                       the table is swept
//! table 02:..:0a a            the station is known behind port a
//! table 02:..:0a nowhere      (or nowhere)
//! entries 3                   so many are in the table, those included that nobody swept
//! count a rx_runt 1           what the switch has counted for a port
//! hold b                      the host at b takes nothing, and its cable fills
//! release b                   it takes what waits; followed by what that is, as after a frame
//! plug d:mtu=9000             a port comes, by the lowest number that is free
//! unplug b                    a port is removed
//! cut b                       the device of b is gone; nobody has noticed yet
//! gone b                      a worker has noticed it, and so it is removed
//! ```
//!
//! Every frame must be followed by what comes of it. An address is `all`, `null`, or written out,
//! where `..` stands for as many zeros as are missing. A frame is `TO FROM` and any of these words:
//!
//! ```text
//! vlan=5 svlan=6 priority=7   tags in this order: a C-tag, an S-tag, a C-tag without VLAN
//! arp ipv4 ipv6 llc type=88b5 what it carries                              (type=88b5)
//! "name"                      written into it, and what later lines call it
//! size=1514                   octets in all, without check sequence; cut if need be     (60)
//! tso=1448 uso=1472           to be cut into segments with so much payload, over IPv4
//! x5                          so many of them
//! rising                      each from the next higher address
//! ```
//!
//! or `raw` and octets in hexadecimal, any number of them.
//!
//! `USWITCH_STORY=move cargo test -p uswitch-tests --test stories` plays those whose file has this
//! in its name.

mod frame;
mod play;
mod story;

use std::{env, fs, path::Path};

use story::Story;

/// There should be at least so many.
const STORIES_MIN: usize = 30;

#[test]
fn every_story_comes_true() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stories");
    let wanted = env::var("USWITCH_STORY").unwrap_or_default();
    let entries = fs::read_dir(folder).expect("a folder of stories");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(files.len() >= STORIES_MIN, "{} stories", files.len());
    let mut failures = Vec::new();
    for file in files {
        let name = file.file_name().expect("a file has a name").to_string_lossy();
        if name.contains(&wanted) {
            let text = fs::read_to_string(&file).expect("a story is text");
            failures.extend(tell(&name, &text).err());
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Reads and plays a story. The error names file and line.
fn tell(name: &str, text: &str) -> Result<(), String> {
    let told = Story::parse(text).and_then(|story| play::play(&story));
    told.map_err(|fault| format!("stories/{name}:{}: {}", fault.line, fault.text))
}

#[test]
fn fault_in_a_story_is_told_by_file_and_line() {
    let told = |text: &str| tell("x.txt", text).unwrap_err();
    let ports = "ports a b\n";
    for (text, fault) in [
        ("wait 3s", "x.txt:1: the first sentence says which `ports` there are"),
        ("# nothing\nports a a", "x.txt:2: port a is there already"),
        ("ports a:mut=5", "x.txt:1: `mut=5` is no option of a port"),
        ("ports a\nb > all 02:..:0a\n= nobody", "x.txt:2: there is no port b"),
        ("ports a\na > all 02:..:0g", "x.txt:2: `02:..:0g` is no address"),
        ("ports a\na > all null arp ip", "x.txt:2: `ip` is no word of a frame"),
        ("ports a\na > all null\nsweep", "x.txt:3: what comes of the frame before?"),
        ("ports a\nsweep\n= nobody", "x.txt:3: nothing came in that could come out"),
        ("ports a\ncount a rx_rnut 1", "x.txt:2: there is no counter rx_rnut"),
        ("ports a\nfoo", "x.txt:2: `foo` is no sentence"),
    ] {
        assert_eq!(told(text), format!("stories/{fault}"));
    }
    let frame = "a > all 02:..:0a \"one\"\n";
    for (text, fault) in [
        (&*format!("{ports}{frame}= nobody"), "x.txt:3: by b came one, not nothing"),
        (&format!("{ports}{frame}b = one one"), "x.txt:3: by b came one, not one one"),
        (&format!("{ports}{frame}= b\ntable 02:..:0a b"), "x.txt:4: it is behind a"),
        (&format!("{ports}{frame}= b\nentries 2"), "x.txt:4: there are 1"),
        (&format!("{ports}{frame}= b\ncount b tx_frames 2"), "x.txt:4: it is 1"),
        (&format!("{ports}gone b"), "x.txt:2: nobody has noticed"),
    ] {
        assert_eq!(told(text), format!("stories/{fault}"));
    }
}
