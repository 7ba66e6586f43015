//! Where the router is meant to answer otherwise than the kernel's, each case with its reason.
//! Whatever differs and is not on this list is a fault.

/// Names of cases, and why they differ.
pub const INTENDED: &[(&str, &str)] = &[
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
