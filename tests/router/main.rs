//! The router between real hosts: bridges of one switch, hosts in namespaces behind their TAPs,
//! and what hosts really say. Needs root.

mod accounts;
mod beside;
mod cases;
mod chain;
mod dead;
mod differential;
mod hostile;
mod idle;
mod intended;
mod iperf;
mod lab;
mod machine;
mod many;
mod meeting;
mod member;
mod messages;
mod program;
mod readme;
mod redirect;
mod solicit;
mod traffic;
