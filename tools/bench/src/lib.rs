//! A software traffic tester after RFC 2544, RFC 2889 and RFC 8204: what stands between a few
//! network namespaces is sent frames at exact rates, and each frame is accounted for.
//!
//! A tour, in the order in which a measurement goes:
//!
//! 1. [`device`]: what is measured, with its ports in namespaces: ours, the kernel's, others', or
//!    nothing but a veth pair, by which the tester measures itself.
//! 2. [`plan`]: the frames, and the signature by which each is known again; [`pace`]: when each
//!    is due.
//! 3. [`sender`] and [`receiver`]: two threads, whatever the number of ports; [`tally`]: what
//!    became of each frame.
//! 4. [`bed`]: a device with sockets at its ports. [`trial`]: frames at one rate for a while, and
//!    what came of them: every figure is made of these.
//! 5. [`search`] and [`throughput`]: the fastest rate at which the device loses next to nothing.
//!    [`rfc2544`]: what else that RFC asks for. [`rfc2889`]: what a switch learns, what it lets
//!    pass, and what one port does to another. [`tcp`]: loads by the hosts' own TCP.
//! 6. [`statistics`]: what many rounds say together; [`change`]: whether two devices differ;
//!    [`trend`]: whether something grows; [`cpu`] and [`memory`]: what they cost.
//! 7. [`page`] and [`plot`]: what a person looks at afterwards.
//!
//! Namespaces and links are made by `netlab`, and nothing here touches any other.

pub mod bed;
pub mod change;
pub mod cpu;
pub mod device;
pub mod memory;
pub mod pace;
pub mod page;
pub mod plan;
pub mod plot;
pub mod receiver;
pub mod rfc2544;
pub mod rfc2889;
pub mod search;
pub mod sender;
pub mod statistics;
pub mod stop;
pub mod tally;
pub mod tcp;
pub mod throughput;
pub mod trend;
pub mod trial;
