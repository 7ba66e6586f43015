//! A process becomes root of a user namespace of its own. Without the usual harness: it starts
//! threads, and this has to come before the first one.

use std::{fs, io::ErrorKind, time::Duration};

use netlab::{Namespace, explain, ping, tap_persistent, unshare_user};

fn main() {
    let before = fs::read_link("/proc/self/ns/user").unwrap();
    if let Err(error) = unshare_user() {
        let text = explain(&error);
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{text}");
        eprintln!("SKIPPED: {text}");
        return;
    }
    assert_ne!(fs::read_link("/proc/self/ns/user").unwrap(), before);
    assert!(nix::unistd::geteuid().is_root());
    let here = Namespace::current().unwrap();
    let answers = ping(&here, [127, 0, 0, 1].into(), 1, Duration::from_secs(60)).unwrap();
    assert_eq!(answers.len(), 1, "loopback is up");

    let inner = Namespace::new().unwrap();
    inner.links().unwrap().add_veth("a", Some(&here), "b").unwrap();
    assert!(here.links().unwrap().get("b").unwrap().is_some());
    // The mode of /dev/net/tun is the machine's own affair.
    match tap_persistent(&inner, "tap0", None, false) {
        Ok(()) => println!("ok: a TAP was made"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", explain(&error));
            eprintln!("SKIPPED: {}", explain(&error));
        }
    }

    let error = inner.run(unshare_user).unwrap().unwrap_err();
    assert!(error.to_string().contains("more than one thread"), "{error}");
    println!("ok: a user without rights made namespaces and links");
}
