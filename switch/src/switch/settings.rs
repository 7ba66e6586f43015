//! What can be set while the switch runs, and costs no frame: the workers read it from the table,
//! or are told by a command like any other.

use std::time::Duration;

use super::{Attached, BusyPoll, Handle};
use crate::{
    bridge::GroupForward,
    port::{Port, PortId},
    run::Command,
};

impl<P: Port> Handle<P> {
    /// From now on remembers silent stations for so long.
    ///
    /// # Panics
    ///
    /// If it is more than [`AGEING_MAX`](crate::fdb::AGEING_MAX).
    pub fn set_ageing(&mut self, ageing: Duration) {
        // What has expired is not to come back.
        self.fdb.sweep(self.now());
        self.fdb.set_ageing(ageing);
    }

    /// From now on so many addresses, at the most, are learned behind each port that has no quota
    /// of its own. A port that has more keeps them until they expire.
    pub fn set_fdb_quota(&mut self, quota: u32) {
        self.fdb.set_quota(quota);
        let usual = |port: &Option<Attached<_>>| port.as_ref().is_some_and(|p| p.quota.is_none());
        for (index, _) in self.ports.iter().enumerate().filter(|(_, port)| usual(port)) {
            self.fdb.attach(PortId::new(index), None);
        }
    }

    /// The same for one port; `None`: as many as behind any. `false`: there is no such port.
    pub fn set_quota(&mut self, port: PortId, quota: Option<u32>) -> bool {
        let Some(Some(attached)) = self.ports.get_mut(port.index()) else { return false };
        attached.quota = quota;
        self.fdb.attach(port, quota);
        true
    }

    /// From now on this becomes of frames for reserved addresses. Returns when every worker knows.
    pub fn set_group_forward(&mut self, group_forward: GroupForward) {
        self.tell_all(|| Command::GroupForward(group_forward));
    }

    /// From now on workers do this when there is no frame. Returns when every worker knows.
    pub fn set_busy_poll(&mut self, busy_poll: BusyPoll) {
        self.tell_all(|| Command::BusyPoll(busy_poll));
    }

    fn tell_all(&self, command: impl Fn() -> Command<P>) {
        self.workers.iter().for_each(|worker| worker.tell(command()));
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::{ops::Range, time::Instant};

    use super::*;
    use crate::{
        fdb::Tick,
        port::memory::{Memory, cable},
        switch::{PortConfig, SwitchConfig, start},
    };

    const BROADCAST: &[u8] = b"\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5hello";
    const PATIENCE: Duration = Duration::from_secs(10);

    fn plug(handle: &mut Handle<Memory>, name: &str) -> (PortId, Memory) {
        let (host, plug) = cable(1500, 64);
        (handle.add(PortConfig::named(name), plug).unwrap(), host)
    }

    fn take(host: &mut Memory) -> Vec<u8> {
        let begin = Instant::now();
        loop {
            match host.take() {
                Some(frame) => return frame,
                None => assert!(begin.elapsed() < PATIENCE, "a frame arrives"),
            }
        }
    }

    #[test]
    fn settings_of_a_switch_that_runs_hold_from_the_next_frame_on() {
        const LLDP: &[u8] = b"\x01\x80\xc2\x00\x00\x0e\x02\x00\x00\x00\x00\x01\x88\xcchello";
        let mut handle = start(&SwitchConfig { workers: 2, ..SwitchConfig::default() }).unwrap();
        let (a, mut host_a) = plug(&mut handle, "a");
        let (_, mut host_b) = plug(&mut handle, "b");
        host_a.put(LLDP);
        host_a.put(BROADCAST);
        assert_eq!(take(&mut host_b), BROADCAST, "reserved addresses end here");
        handle.set_group_forward(GroupForward::Wire);
        host_a.put(LLDP);
        assert_eq!(take(&mut host_b), LLDP);
        for busy_poll in [BusyPoll::Always, BusyPoll::Off, BusyPoll::For(Duration::from_micros(1))]
        {
            handle.set_busy_poll(busy_poll);
            host_a.put(BROADCAST);
            assert_eq!(take(&mut host_b), BROADCAST);
        }
        let from = |number: u8| [&BROADCAST[..11], &[number], &BROADCAST[12..]].concat();
        let mut learned = |handle: &Handle<Memory>, numbers: Range<u8>| {
            for number in numbers {
                host_a.put(&from(number));
                assert_eq!(take(&mut host_b), from(number));
            }
            handle.fdb().used_by(a)
        };
        handle.set_fdb_quota(3);
        assert_eq!(learned(&handle, 1..9), 3);
        assert!(handle.set_quota(a, Some(5)));
        assert_eq!(learned(&handle, 1..9), 5);
        handle.set_fdb_quota(4);
        handle.fdb().flush(None);
        assert_eq!(learned(&handle, 1..9), 5, "its own goes before the common one");
        assert!(handle.set_quota(a, None));
        handle.fdb().flush(None);
        assert_eq!(learned(&handle, 1..9), 4);
        assert!(!handle.set_quota(PortId::new(7), None));
        let begin = Instant::now();
        handle.set_ageing(Duration::from_millis(Tick::MILLIS));
        while handle.fdb().entries(handle.now()).next().is_some() {
            assert!(begin.elapsed() < PATIENCE, "they expire");
        }
        handle.set_ageing(Duration::from_secs(300));
        assert_eq!(handle.fdb().entries(handle.now()).count(), 0, "and do not come back");
    }
}
