//! Guests with a cable between them and no switch: what the other tests stand on, without us.

use crate::{
    initramfs::equipped,
    lab::on_dgram,
    station::{Station, all_pairs},
};
use netlab::Namespace;

#[test]
fn guests_reach_each_other_without_a_switch() {
    if !equipped() {
        return;
    }
    let namespace = Namespace::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name| folder.path().join(name).display().to_string();
    let (one, two) = (path("one"), path("two"));
    let mut first = Station::guest(&namespace, 1, &on_dgram(&one, &two));
    let mut second = Station::guest(&namespace, 2, &on_dgram(&two, &one));
    first.booted();
    second.booted();
    all_pairs(&mut [&mut first, &mut second]);

    second.signal("-KILL");
    let console = second.last_words();
    assert!(console.contains("wget"), "{console}");
    first.run("! ping -c 1 -W 1 10.0.0.2");
    let mut second = Station::guest(&namespace, 2, &on_dgram(&two, &one));
    second.booted();
    first.reach(&second);
    all_pairs(&mut [&mut first, &mut second]);
}
