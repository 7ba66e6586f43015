//! Where the router is meant to do otherwise than the kernel's, each case with its reason. Whatever
//! differs and is not listed is a fault, and so is a listed difference that is none.

/// Names of cases, and why they differ.
pub type Intended = &'static [(&'static str, &'static str)];

/// What two routers did, case by case.
pub struct Comparison {
    intended: Intended,
    cases: Vec<&'static str>,
    wrong: Vec<String>,
}

impl Comparison {
    pub fn new(intended: Intended) -> Comparison {
        Comparison { intended, cases: Vec::new(), wrong: Vec::new() }
    }

    /// What came of a case at the kernel's router, and at ours.
    pub fn add(&mut self, case: &'static str, kernel: &[String], own: &[String]) {
        self.cases.push(case);
        let intended = self.intended.iter().find(|(name, _)| *name == case);
        let line = format!("{case}: kernel {kernel:?}, own {own:?}");
        match (kernel == own, intended) {
            (true, None) => println!("  same      {line}"),
            (false, Some((_, reason))) => println!("  intended  {line}: {reason}"),
            (true, Some(_)) => self.wrong.push(format!("listed, but the same: {line}")),
            (false, None) => self.wrong.push(format!("differs: {line}")),
        }
    }

    /// All cases were compared.
    pub fn end(self) {
        let Comparison { intended, cases, wrong } = self;
        for (name, _) in intended {
            assert!(cases.contains(name), "listed, but no case: {name}");
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// Where it answers a packet otherwise.
pub const INTENDED: Intended = &[
    ("land", "nobody who means well sends to himself by a router; Linux sends it back"),
    ("from this network", "no host has such an address (RFC 1812, 5.3.7; RFC 6890, table 1)"),
    ("from class E", "reserved, not to be forwarded (RFC 1812, 5.3.7; RFC 6890, table 15)"),
    ("to class E", "a martian destination is discarded without a word (RFC 1812, 5.3.7)"),
    ("from link-local", "no router forwards it (RFC 3927, 7); Linux does"),
    ("to link-local", "no router forwards it (RFC 3927, 7), nor says more about it"),
    ("IPv6: land", "as for IPv4"),
    (
        "IPv6: from the router's own address",
        "somebody else has it, or lies; Linux drops that for IPv4 only",
    ),
    (
        "IPv6: from a mapped address",
        "such addresses are for sockets, not to be forwarded (RFC 6890, table 20)",
    ),
];

/// Where it meets a neighbour otherwise.
pub const MEETINGS: Intended = &[
    (
        "request for the address of the other leg",
        "it is on no host of this link (RFC 1027 is what `proxy` is for); Linux answers on each \
         link for all of its addresses unless arp_ignore is set",
    ),
    (
        "request whose sender is at a group",
        "no reply may be believed that says so (RFC 1812, 3.3.2), nor a request",
    ),
    ("reply of one who is at a group", "not to be believed (RFC 1812, 3.3.2); Linux sends to all"),
    (
        "announcement of the router's address",
        "the router says once in ten seconds that it has it (RFC 5227, 2.4 (c)); Linux is silent",
    ),
    (
        "reply to a question, told to all",
        "it names the router as who asked (RFC 826), so it answers it; to Linux only what came in \
         a frame for itself does",
    ),
    (
        "reply to a question, for another one",
        "another one asked: where the neighbour is was heard of, not answered",
    ),
    (
        "hardware type 6",
        "that is for frames of IEEE 802.2 (RFC 1042), in which no ARP came; Linux takes it",
    ),
    (
        "ND: solicitation without an option",
        "nothing allows to discard it (RFC 4861, 7.1.1), though its sender was to say where it is \
         (4.3): it is answered where its frame came from; Linux discards it",
    ),
    (
        "ND: solicitation to the router alone without an option",
        "it is answered where its frame came from; Linux asks for the sender before",
    ),
    (
        "ND: solicitation to the router alone",
        "where the router is may be left out (RFC 4861, 7.2.4); it is said, and so overrides",
    ),
    ("ND: probe of one who knows the router", "as when it is no probe"),
    (
        "ND: solicitation from the router's address",
        "as for IPv4, the router says whose it is; Linux is silent",
    ),
    (
        "ND: behind destination options",
        "no host says so where it is, only who would not be seen (RFC 7113, 2); Linux hears it",
    ),
    ("ND: advertisement of one at a group", "as for IPv4, not to be believed; Linux sends to all"),
    (
        "ND: router solicitation",
        "of a leg that advertises nothing (RFC 4861, 6.2.6, is for those that do); Linux notes \
         the sender",
    ),
];
