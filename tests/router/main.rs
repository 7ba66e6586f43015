//! The router between real hosts: bridges of one switch, hosts in namespaces behind their TAPs,
//! and what hosts really say. Needs root.

mod chain;
mod lab;
mod machine;
mod program;
mod traffic;
