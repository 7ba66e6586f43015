//! Network namespaces, links, addresses and routes by netlink; a sender and a sink.
