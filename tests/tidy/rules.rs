//! The rules, and what is excepted from them, with the reason.

use super::source::{Function, Source, is_word};

/// A rule: the faults of a file, each with its place.
pub type Rule = fn(&Source) -> Vec<String>;

/// All of them, each with a snippet that breaks it.
pub const RULES: &[(&str, Rule)] = &[
    (WIDE_LINE, wide_lines),
    (LONG_FUNCTION, long_functions),
    (LONG_FILE, long_files),
    ("fn a() {\n    // SAFETY: none.\n    unsafe { b() }\n}", unsafe_code),
    ("use std::sync::atomic::fence;", atomics),
    ("impl Worker {\n    fn turn(&self) { self.names.clone(); }\n}", hot_functions),
    ("fn a() { dbg\u{21}(b) }", unfinished),
    ("    // let a = b();", commented_out),
    ("fn a() {\n    unsafe { b() }\n}", unproved),
    ("use std::io;", without_head),
    ("fn f(ctx: &Context) {}", forbidden_names),
];

const LINE_COLUMNS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 500;

/// A line of one column too many, a function and a file of one line too many.
const WIDE_LINE: &str = text(&[b'a'; LINE_COLUMNS_MAX + 1]);
const LONG_FUNCTION: &str = {
    const OCTETS: [u8; FUNCTION_LINES_MAX + 9] = {
        let mut octets = [b'\n'; FUNCTION_LINES_MAX + 9];
        octets.first_chunk_mut::<8>().expect("it is longer").copy_from_slice(b"fn a() {");
        octets[FUNCTION_LINES_MAX + 8] = b'}';
        octets
    };
    text(&OCTETS)
};
const LONG_FILE: &str = text(&[b'\n'; FILE_LINES_MAX + 1]);

const fn text(octets: &[u8]) -> &str {
    match str::from_utf8(octets) {
        Ok(text) => text,
        Err(_) => panic!("these octets are text"),
    }
}

/// Files, each with the reason for its exception.
pub type Exceptions = &'static [(&'static str, &'static str)];

/// Where unsafe code may stand.
const UNSAFE: Exceptions = &[
    ("benches/tap/rings.rs", "a bare loop on memory shared with the kernel, to compare with"),
    ("switch/src/port/packet/ring.rs", "memory shared with the kernel, with a safe face"),
    ("switch/src/port/vhost/memory.rs", "memory shared with a guest, with a safe face"),
    ("switch/src/sys.rs", "system calls and instructions, with a safe face"),
    ("switch/src/sys/process.rs", "the same for a second process"),
    ("tools/netlab/src/sys.rs", "system calls, with a safe face"),
    ("tools/netlab/src/traffic/ring.rs", "memory shared with the kernel, with a safe face"),
];

/// Where atomics may stand.
const ATOMICS: Exceptions = &[
    ("router/src/limit.rs", "a number that all workers take from; it guards nothing"),
    ("switch/src/capture/ring.rs", "words that pass from one thread to another; loom checks them"),
    ("switch/src/fdb.rs", "the fence of rule 5; loom checks it"),
    ("switch/src/fdb/atomic.rs", "chooses those of loom or of the standard library"),
    ("switch/src/fdb/bucket.rs", "the words and ages that all workers share; loom checks them"),
    ("switch/src/fdb/settings.rs", "numbers that the control thread sets; they guard nothing"),
    ("switch/src/fdb/shares.rs", "counts that guard nothing else; loom checks them"),
    ("switch/src/port/packet/drops.rs", "sums that guard nothing else"),
    ("switch/src/port/packet/ring.rs", "the status words by which slots change hands"),
    ("switch/src/port/vhost/driver.rs", "the fences of a guest that is played, for tests"),
    ("switch/src/port/vhost/memory.rs", "the words of a ring, which a guest writes too"),
    ("switch/src/port/vhost/signals.rs", "who wakes whom at a ring; loom checks it"),
    ("switch/src/run.rs", "the bell by which a worker is told of commands"),
    ("switch/src/stats.rs", "counters with one writer each"),
    ("switch/src/program/demo.rs", "whether somebody wishes the end"),
    ("switch/src/program/demo/measure.rs", "counts of the load's threads, and their end"),
    ("switch/src/program/signals.rs", "a signal handler may do nothing else"),
    ("tools/bench/src/stop.rs", "that a measurement ends, and that sending is done"),
    ("benches/fdb.rs", "the contenders share a table between threads, as the workers do"),
    ("benches/tap/measure.rs", "counts of the load's threads"),
    ("benches/tap/rings.rs", "the status words by which slots change hands"),
    ("tools/netlab/src/test.rs", "numbers for names that no other test has"),
    ("tools/netlab/src/traffic/frames.rs", "counts of a sender and a sink, and their end"),
    ("tools/netlab/src/traffic/mod.rs", "counts of a sender and a sink, and their end"),
    ("tools/netlab/src/traffic/ping.rs", "the number of an echo, and the end"),
    ("tools/netlab/src/traffic/ring.rs", "the status words by which slots change hands"),
    ("tools/netlab/src/traffic/round_trip.rs", "the end of a measurement"),
    ("tools/netlab/src/traffic/tcp.rs", "counts of a sender and a sink, and their end"),
    ("tools/netlab/src/traffic/transfer.rs", "the end of a transfer"),
];

/// What is longer than a file should be.
const LONG: Exceptions = &[("switch/tests/program.rs", "to be split by subject; do not add to it")];

/// The lists of files, each with the rule from which they are excepted.
pub const LISTS: &[(Exceptions, Rule)] =
    &[(UNSAFE, unsafe_code), (ATOMICS, atomics), (LONG, long_files)];

/// The functions on the way of a frame, between device and device.
pub const HOT: &[(&str, &str)] = &[
    ("switch/src/routing.rs", "Routing::take"),
    ("switch/src/routing.rs", "Routing::place"),
    ("switch/src/routing.rs", "Routing::decide"),
    ("switch/src/routing.rs", "Routing::made"),
    ("switch/src/routing.rs", "packet"),
    ("switch/src/routing.rs", "meta"),
    ("switch/src/routing.rs", "Made::address"),
    ("switch/src/routing.rs", "Made::room"),
    ("switch/src/routing/cross.rs", "Crossing::route"),
    ("switch/src/routing/cross.rs", "Crossing::route_from"),
    ("switch/src/routing/cross.rs", "Crossing::go_on"),
    ("switch/src/routing/cross.rs", "Crossing::enter"),
    ("switch/src/routing/cross.rs", "onward"),
    ("switch/src/egress/legs.rs", "Egress::take"),
    ("switch/src/egress/legs.rs", "Egress::took"),
    ("switch/src/egress/legs.rs", "Egress::offer"),
    ("switch/src/egress/legs.rs", "Egress::count"),
    ("switch/src/port/leg.rs", "LegTx::send"),
    ("switch/src/port/leg.rs", "is_for"),
    ("switch/src/port/tun.rs", "TunRx::recv"),
    ("switch/src/port/tun.rs", "put_in_front"),
    ("switch/src/port/tun.rs", "TunTx::send"),
    ("switch/src/worker.rs", "sort"),
    ("router/src/fib.rs", "Fib::lookup_v4"),
    ("router/src/fib.rs", "Fib::lookup_v6"),
    ("router/src/fib/v4.rs", "FibV4::lookup"),
    ("router/src/fib/v4.rs", "Tail::lookup"),
    ("router/src/fib/v6.rs", "FibV6::lookup"),
    ("router/src/fib/v6.rs", "FibV6::lookup_batch"),
    ("router/src/fib/v6.rs", "FibV6::enter"),
    ("router/src/fib/v6.rs", "FibV6::step"),
    ("router/src/fib/v6.rs", "FibV6::end"),
    ("router/src/fib/v6.rs", "FibV6::line"),
    ("router/src/fib/v6.rs", "FibV6::tail"),
    ("router/src/packet.rs", "Ipv4::parse"),
    ("router/src/packet.rs", "Ipv6::parse"),
    ("router/src/packet.rs", "Ipv6::upper"),
    ("router/src/packet.rs", "decrement_ttl"),
    ("router/src/packet.rs", "updated"),
    ("router/src/packet.rs", "checksum"),
    ("router/src/tables.rs", "Tables::target"),
    ("router/src/tables.rs", "Hops::choose"),
    ("router/src/forward/place.rs", "Router::place"),
    ("router/src/forward/place.rs", "Router::places"),
    ("router/src/forward/place.rs", "Router::places_v6"),
    ("router/src/forward.rs", "Router::decide"),
    ("router/src/forward.rs", "Router::cross"),
    ("router/src/forward.rs", "Router::hop"),
    ("router/src/forward.rs", "Router::hash"),
    ("router/src/forward.rs", "Router::came_right"),
    ("router/src/forward/v4.rs", "Router::decide_v4"),
    ("router/src/forward/v4.rs", "malicious"),
    ("router/src/forward/v6.rs", "Router::decide_v6"),
    ("router/src/forward/reply.rs", "Router::refuse"),
    ("router/src/forward/reply.rs", "Router::answer"),
    ("router/src/fragment.rs", "fragment"),
    ("router/src/limit.rs", "Bucket::take"),
    ("router/src/neighbour/resolved.rs", "Resolved::get"),
    ("router/src/neighbour/resolved.rs", "Table::get"),
    ("router/src/neighbour/resolved.rs", "Key::hash"),
    ("switch/src/worker.rs", "Worker::turn"),
    ("switch/src/worker.rs", "Worker::turn_recorded"),
    ("switch/src/worker.rs", "Worker::turn_before"),
    ("switch/src/worker.rs", "decide"),
    // With a capture. (It has one reading of the clock a batch, in `Recorders::came`.)
    ("switch/src/capture/recorder.rs", "Recorders::show"),
    ("switch/src/capture/recorder.rs", "Recorders::leaves"),
    ("switch/src/capture/recorder.rs", "Recorders::left"),
    ("switch/src/capture/recorder.rs", "Recorder::record"),
    ("switch/src/capture/recorder.rs", "Recorder::passes"),
    ("switch/src/capture/filter.rs", "Filter::run"),
    ("switch/src/capture/ring.rs", "Writer::push"),
    ("switch/src/egress.rs", "Egress::sort"),
    ("switch/src/egress.rs", "Egress::leaving"),
    ("switch/src/egress.rs", "Egress::sort_to_all"),
    ("switch/src/egress.rs", "Egress::others"),
    ("switch/src/egress.rs", "Egress::send"),
    ("switch/src/egress/finish.rs", "Egress::finish"),
    ("switch/src/egress/finish.rs", "left"),
    ("switch/src/egress/finish.rs", "Waiting::each"),
    ("switch/src/egress/finish.rs", "Waiting::deliver"),
    ("switch/src/egress/finish.rs", "Waiting::complete"),
    ("switch/src/egress/finish.rs", "Waiting::cut"),
    ("switch/src/egress/finish.rs", "complete"),
    ("switch/src/egress/outlet.rs", "Outlet::send"),
    ("switch/src/egress/outlet.rs", "Outlet::fitting"),
    ("switch/src/egress/outlet.rs", "Outlet::deliver"),
    ("switch/src/egress/outlet.rs", "Outlet::deliver_cut"),
    ("switch/src/egress/outlet.rs", "Outlet::end_cut"),
    ("switch/src/egress/outlet.rs", "Outlet::oversize"),
    ("switch/src/bridge.rs", "Bridge::parse"),
    ("switch/src/bridge.rs", "Bridge::decide_all"),
    ("switch/src/bridge.rs", "Bridge::prefetch"),
    ("switch/src/bridge.rs", "Bridge::decide"),
    ("switch/src/bridge.rs", "Bridge::decide_by"),
    ("switch/src/frame.rs", "Header::parse"),
    ("switch/src/frame.rs", "Arena::fill"),
    ("switch/src/frame.rs", "Batch::frame"),
    ("switch/src/frame.rs", "bits"),
    ("switch/src/frame.rs", "Frame::fits"),
    ("switch/src/frame.rs", "Frame::packet_start"),
    ("switch/src/offload.rs", "Offload::on_the_wire"),
    ("switch/src/offload.rs", "Offload::is_done"),
    ("switch/src/offload.rs", "Offload::behind"),
    ("switch/src/offload.rs", "Offload::without"),
    ("switch/src/offload/checksum.rs", "Sum::of"),
    ("switch/src/offload/checksum.rs", "Sum::copy"),
    ("switch/src/offload/checksum/avx2.rs", "sum"),
    ("switch/src/offload/checksum/avx2.rs", "copy"),
    ("switch/src/offload/segment.rs", "Segments::of"),
    ("switch/src/offload/segment.rs", "Segments::cut"),
    ("switch/src/fdb.rs", "Fdb::place"),
    ("switch/src/fdb.rs", "Fdb::prefetch"),
    ("switch/src/fdb.rs", "Fdb::learn"),
    ("switch/src/fdb.rs", "Fdb::lookup"),
    ("switch/src/fdb.rs", "Fdb::learn_slowly"),
    ("switch/src/fdb.rs", "Fdb::lookup_slowly"),
    ("switch/src/fdb.rs", "Fdb::insert"),
    ("switch/src/fdb.rs", "Fdb::relearn"),
    ("switch/src/fdb.rs", "Fdb::use_slot"),
    ("switch/src/fdb/bucket.rs", "Bucket::find"),
    ("switch/src/fdb/settings.rs", "Settings::ageing"),
    ("switch/src/fdb/statics.rs", "Fdb::is_static_here"),
    ("switch/src/fdb/shares.rs", "Shares::take"),
    ("switch/src/port/datagram.rs", "DatagramRx::recv"),
    ("switch/src/port/datagram.rs", "DatagramTx::write"),
    ("switch/src/port/datagram.rs", "DatagramTx::send"),
    ("switch/src/port/datagram.rs", "unread"),
    ("switch/src/port/tun.rs", "TunRx::recv"),
    ("switch/src/port/tun.rs", "TunTx::send"),
    ("switch/src/port/tun.rs", "put_in_front"),
    ("switch/src/port/tun.rs", "take_away"),
    ("switch/src/port/tun.rs", "write"),
    ("switch/src/port/socket.rs", "SocketRx::recv"),
    ("switch/src/port/socket.rs", "Ends::read"),
    ("switch/src/port/socket.rs", "SocketTx::send"),
    ("switch/src/sys.rs", "send_many"),
    ("switch/src/sys.rs", "recv_from"),
    ("switch/src/port/stream.rs", "StreamRx::recv"),
    ("switch/src/port/stream.rs", "StreamRx::read"),
    ("switch/src/port/stream.rs", "StreamTx::send"),
    ("switch/src/port/stream/inbox.rs", "Inbox::read"),
    ("switch/src/port/stream/inbox.rs", "Inbox::take"),
    ("switch/src/port/stream/outbox.rs", "Outbox::flush"),
    ("switch/src/port/stream/outbox.rs", "Outbox::send"),
    ("switch/src/port/stream/outbox.rs", "Outbox::account"),
    ("switch/src/port/pcap.rs", "PcapRx::recv"),
    ("switch/src/port/pcap.rs", "PcapTx::send"),
    ("switch/src/port/packet/receive.rs", "PacketRx::recv"),
    ("switch/src/port/packet/receive.rs", "PacketRx::give_back"),
    ("switch/src/port/packet/receive.rs", "PacketRx::lend"),
    ("switch/src/port/packet/receive.rs", "PacketRx::recv_queued"),
    ("switch/src/port/packet/receive.rs", "restore"),
    ("switch/src/port/packet/ring.rs", "Ring::peek"),
    ("switch/src/port/packet/ring.rs", "Ring::take_if"),
    ("switch/src/port/packet/ring.rs", "Ring::memory"),
    ("switch/src/port/packet/ring.rs", "Ring::release"),
    ("switch/src/port/packet/send.rs", "PacketTx::send"),
    ("switch/src/port/vhost/guest.rs", "FromGuest::is_ready"),
    ("switch/src/port/vhost/guest.rs", "FromGuest::take"),
    ("switch/src/port/vhost.rs", "VhostRx::recv"),
    ("switch/src/port/vhost.rs", "VhostTx::send"),
    ("switch/src/port/vhost/guest.rs", "ToGuest::put"),
    ("switch/src/port/vhost/guest.rs", "finish"),
    ("switch/src/port/vhost/memory.rs", "Region::place"),
    ("switch/src/port/vhost/memory.rs", "Memory::by_guest"),
    ("switch/src/port/vhost/memory.rs", "Place::read"),
    ("switch/src/port/vhost/memory.rs", "Place::write"),
    ("switch/src/port/vhost/memory.rs", "Words::head"),
    ("switch/src/port/vhost/memory.rs", "Words::put_used"),
    ("switch/src/port/vhost/ring.rs", "Ring::take"),
    ("switch/src/port/vhost/ring.rs", "Ring::put"),
    ("switch/src/port/vhost/ring.rs", "Ring::publish"),
    ("switch/src/port/vhost/ring.rs", "fill"),
    ("switch/src/port/vhost/ring.rs", "chain"),
    ("switch/src/port/vde.rs", "Client::check"),
    ("switch/src/port/vde.rs", "VdeRx::recv"),
    ("switch/src/port/vde.rs", "VdeTx::send"),
    ("switch/src/stats.rs", "PortCounters::add"),
];

/// What none of them contains: `dyn`, locks, clocks, logs, allocations. (That `Egress::sort` and
/// the like push only within what was reserved, a review must see.)
const COLD: &[&str] = &[
    "dyn ",
    "Mutex",
    "RwLock",
    ".lock()",
    "println!",
    "print!",
    "log::",
    "tracing",
    "trace!",
    "debug!",
    "info!",
    "warn!",
    "error!",
    "Instant::now",
    "SystemTime",
    "Vec::new",
    "Vec::with_capacity",
    "Box::new",
    "Arc::new",
    "vec!",
    "format!",
    ".clone()",
    ".to_vec()",
    ".to_owned()",
    ".to_string()",
    "String::",
    ".collect",
    ".concat()",
    "thread::",
    "sleep",
];

/// Words that say that something is not done, each cut in two lest this file break its rule.
const UNFINISHED: &[[&str; 2]] = &[
    ["todo", "!"],
    ["unimple", "mented!"],
    ["dbg", "!"],
    ["#[ign", "ore"],
    ["X", "XX"],
    ["FIX", "ME"],
    ["TO", "DO"],
    ["HA", "CK"],
];

/// Words that no name may contain.
const FORBIDDEN: &[&str] =
    &["mgr", "ctx", "tmp", "util", "utils", "helper", "helpers", "manager", "handler", "context"];

/// Names of others, which we must use.
const FOREIGN_NAMES: &[&str] = &[
    "BackendReqHandler",
    "Context",
    "ContextKind",
    "ContextValue",
    "FmtContext",
    "SigHandler",
    "VhostUserBackendReqHandlerMut",
];

fn fault(source: &Source, line: usize, what: &str) -> String {
    format!("{}:{line}: {what}", source.path)
}

/// The numbers and texts of the lines where something is found.
fn lines(text: &str, found: impl Fn(&str) -> bool) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(move |(_, line)| found(line)).map(|(i, line)| (i + 1, line))
}

fn wide_lines(source: &Source) -> Vec<String> {
    let wide = lines(&source.text, |line| line.chars().count() > LINE_COLUMNS_MAX);
    wide.map(|(line, _)| fault(source, line, "more than 100 columns")).collect()
}

fn long_functions(source: &Source) -> Vec<String> {
    let functions = source.functions().into_iter().filter(|f| f.lines > FUNCTION_LINES_MAX);
    functions.map(|f| fault(source, f.line, &format!("{} has {} lines", f.name, f.lines))).collect()
}

fn long_files(source: &Source) -> Vec<String> {
    if LONG.iter().any(|(path, _)| *path == source.path) {
        return Vec::new();
    }
    let lines = source.lines_without_tests();
    let long = (lines > FILE_LINES_MAX).then(|| fault(source, lines, "more than 500 lines"));
    long.into_iter().collect()
}

fn unsafe_code(source: &Source) -> Vec<String> {
    if UNSAFE.iter().any(|(path, _)| *path == source.path) {
        return Vec::new();
    }
    let words = source.words().filter(|(_, word)| *word == "unsafe");
    words.map(|(line, _)| fault(source, line, "unsafe code, and the file is not listed")).collect()
}

/// Tests tell their threads when to end: nothing that is shipped hangs on it.
fn atomics(source: &Source) -> Vec<String> {
    if source.path.starts_with("tests/") || ATOMICS.iter().any(|(path, _)| *path == source.path) {
        return Vec::new();
    }
    let is_one = |word: &str| word == "atomic" || word.starts_with("Atomic");
    let words = source.words().filter(|(_, word)| is_one(word));
    words.map(|(line, _)| fault(source, line, "atomics, and the file is not listed")).collect()
}

fn hot_functions(source: &Source) -> Vec<String> {
    // A snippet stands for any file.
    let own = |path: &str| path == source.path || source.path == SNIPPET;
    let is_hot = |f: &Function| HOT.iter().any(|(path, name)| own(path) && *name == f.name);
    let functions = source.functions().into_iter().filter(is_hot);
    let faults = functions.flat_map(|f| {
        let cold = COLD.iter().filter(|what| f.code.contains(**what));
        let texts = cold.map(|what| format!("{what} on the way of a frame, in {}", f.name));
        texts.map(|text| fault(source, f.line, &text)).collect::<Vec<_>>()
    });
    faults.collect()
}

fn unfinished(source: &Source) -> Vec<String> {
    let faults = UNFINISHED.iter().flat_map(|parts| {
        let what = parts.concat();
        let found = lines(&source.text, |line| has(line, &what)).map(|(line, _)| line);
        found.map(|line| fault(source, line, &what)).collect::<Vec<_>>()
    });
    faults.collect()
}

/// Whether a line has this word, and not as a part of a longer one.
fn has(line: &str, what: &str) -> bool {
    line.match_indices(what).any(|(at, _)| {
        let apart = |c: Option<char>| c.is_none_or(|c| !is_word(c));
        let end_apart = !what.ends_with(is_word) || apart(line[at + what.len()..].chars().next());
        apart(line[..at].chars().next_back()) && end_apart
    })
}

fn commented_out(source: &Source) -> Vec<String> {
    let found = lines(&source.text, |line| {
        let comment = line.trim_start().strip_prefix("// ").unwrap_or_default();
        // Prose has a space before its brackets, and seldom ends in these.
        let calls = comment.find('(').is_some_and(|at| comment[..at].ends_with(is_word));
        let words = ["let ", "use ", "pub ", "return ", "assert", "#["];
        let begins = words.iter().any(|word| comment.starts_with(word));
        comment.ends_with([';', '{', '}']) && (calls || begins || comment.contains(" = "))
    });
    found.map(|(line, _)| fault(source, line, "code in a comment")).collect()
}

/// Blocks of unsafe code whose contract nobody has shown to hold.
fn unproved(source: &Source) -> Vec<String> {
    let texts = source.text.lines().collect::<Vec<_>>();
    let unproved = source.code.lines().enumerate().filter(|(index, line)| {
        let block = line.split_once("unsafe").map(|(_, rest)| rest.trim_start());
        let block = block.is_some_and(|rest| rest.starts_with('{') || rest.starts_with("impl"));
        let mut above = texts[..*index].iter().rev();
        let mut comment = above.by_ref().map(|l| l.trim()).take_while(|l| l.starts_with("//"));
        block && !comment.any(|line| line.contains("SAFETY:"))
    });
    unproved.map(|(index, _)| fault(source, index + 1, "unsafe without SAFETY")).collect()
}

fn without_head(source: &Source) -> Vec<String> {
    let head = source.text.starts_with("//!");
    (!head).then(|| fault(source, 1, "does not begin with what it is")).into_iter().collect()
}

fn forbidden_names(source: &Source) -> Vec<String> {
    let faults = source.words().filter_map(|(line, word)| {
        let parts = parts(word);
        let found = FORBIDDEN.iter().find(|name| parts.iter().any(|part| part == **name))?;
        let foreign = FOREIGN_NAMES.contains(&word);
        (!foreign).then(|| fault(source, line, &format!("{word} contains {found}")))
    });
    faults.collect()
}

/// The words of a name, in small letters: of `FrameHandler` and `frame_handler` alike.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut lower_before = false;
    for c in name.chars() {
        if c == '_' || c.is_uppercase() && lower_before {
            parts.push(String::new());
        }
        if c != '_' {
            parts.last_mut().expect("there is one").extend(c.to_lowercase());
        }
        lower_before = c.is_lowercase();
    }
    parts
}

/// Paths that are there on somebody's machine and nowhere else.
pub fn foreign_paths(text: &str) -> Vec<&str> {
    let foreign = [["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/"]].map(|parts| parts.concat());
    let words = text.split(|c: char| c.is_whitespace() || "\"'`=(:".contains(c));
    words.filter(|word| foreign.iter().any(|path| word.starts_with(path.as_str()))).collect()
}

/// The path of what is no file of the tree.
const SNIPPET: &str = "snippet.rs";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_catches_what_breaks_it_and_nothing_else() {
        for (index, (snippet, rule)) in RULES.iter().enumerate() {
            assert!(!rule(&Source::new(SNIPPET, snippet)).is_empty(), "rule {index}: {snippet}");
        }
        let sound = "//! A file.\n\nfn turn() {\n    // Why (and why not); because.\n    b();\n}\n";
        for (index, (_, rule)) in RULES.iter().enumerate() {
            assert_eq!(rule(&Source::new(SNIPPET, sound)), [""; 0], "rule {index}");
        }
    }

    #[test]
    fn every_cold_word_is_caught_in_a_hot_function_and_not_elsewhere() {
        for what in COLD {
            let hot = format!("impl Worker {{\n    fn turn(&self) {{ a({what}); }}\n}}");
            assert!(!hot_functions(&Source::new(SNIPPET, &hot)).is_empty(), "{what}");
            let elsewhere = hot.replace("turn", "new");
            assert!(hot_functions(&Source::new(SNIPPET, &elsewhere)).is_empty(), "{what}");
        }
    }

    #[test]
    fn every_unfinished_word_and_every_forbidden_name_is_caught() {
        for what in UNFINISHED {
            let text = format!("// {}", what.concat());
            assert!(!unfinished(&Source::new(SNIPPET, &text)).is_empty(), "{text}");
        }
        for name in FORBIDDEN {
            let text = format!("fn a_{name}() {{}}");
            assert!(!forbidden_names(&Source::new(SNIPPET, &text)).is_empty(), "{text}");
        }
        assert!(!forbidden_names(&Source::new(SNIPPET, "struct PortManager;")).is_empty());
        assert!(forbidden_names(&Source::new(SNIPPET, "fn utility() {}")).is_empty());
    }

    #[test]
    fn unsafe_and_atomics_pass_in_listed_files_only() {
        let text = "use atomic::fence;\nfn a() {\n    // SAFETY: so.\n    unsafe { b() }\n}";
        let faults = |path| [unsafe_code, atomics].map(|rule| rule(&Source::new(path, text)).len());
        assert_eq!(faults("switch/src/sys.rs"), [0, 1]);
        assert_eq!(faults("switch/src/fdb.rs"), [1, 0]);
        assert!(unproved(&Source::new(SNIPPET, text)).is_empty());
    }

    #[test]
    fn paths_of_a_machine_are_caught() {
        for path in [["/wo", "rk/a"], ["/ro", "ot/b"], ["/ho", "me/c"]] {
            assert_eq!(foreign_paths(&format!("see \"{}\"", path.concat())).len(), 1);
        }
        assert!(foreign_paths("switch/work/er /network/").is_empty());
    }
}
