//! What a guest's machine has told us so far, and the rings that follow from it: see `session.rs`.

use std::{fs::File, sync::Arc};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use vhost::vhost_user::{
    Error, Result, VhostUserBackendReqHandlerMut,
    message::{
        VhostTransferStateDirection, VhostTransferStatePhase, VhostUserConfigFlags,
        VhostUserInflight, VhostUserLog, VhostUserMemoryRegion, VhostUserProtocolFeatures,
        VhostUserShMemConfig, VhostUserSharedMsg, VhostUserSingleMemoryRegion,
        VhostUserVringAddrFlags, VhostUserVringState,
    },
};
use vhost::{VhostUserMemoryRegionBase, vhost_user::GpuBackend};

use super::{
    RINGS,
    features::Features,
    guest::Guest,
    memory::{Memory, Parts, QUEUE_MAX, Told, Words},
    ring::Ring,
};

/// A machine, as far as it has told us.
pub(super) struct Machine {
    guest: Arc<Guest>,
    features: Features,
    memory: Option<Arc<Memory>>,
    rings: [Vring; RINGS],
    /// Why it was refused what it last asked for.
    why: Option<String>,
    /// It was told that the guest is there.
    told: bool,
}

/// A ring, as far as we were told of it.
#[derive(Default)]
struct Vring {
    parts: Parts,
    next: u16,
    kick: Option<File>,
    call: Option<File>,
    is_started: bool,
    is_enabled: bool,
}

impl Machine {
    pub(super) fn new(guest: Arc<Guest>) -> Machine {
        let (features, memory, rings) = (Features::default(), None, Default::default());
        Machine { guest, features, memory, rings, why: None, told: false }
    }

    /// The ring of this number.
    fn ring(&mut self, index: u32) -> Result<(usize, &mut Vring)> {
        let at = index as usize;
        match self.rings.get_mut(at) {
            Some(ring) => Ok((at, ring)),
            None => {
                self.why = Some(format!("it spoke of ring {index}, and there are {RINGS}"));
                Err(Error::InvalidParam)
            }
        }
    }

    fn refuse<T>(&mut self, why: &str) -> Result<T> {
        self.why = Some(format!("it was turned away, for {why}"));
        Err(Error::InvalidParam)
    }

    /// Takes a ring from the workers and gives it to them anew, as it is to be by now.
    fn settle(&mut self, index: usize) -> Result<()> {
        if let Some(next) = self.guest.take_ring(index) {
            self.rings[index].next = next;
        }
        let ring = &self.rings[index];
        let is_enabled = ring.is_enabled || !self.features.begins_disabled();
        let Some(memory) = self.memory.as_ref().filter(|_| ring.is_started && is_enabled) else {
            return Ok(());
        };
        let words = match Words::find(memory, ring.parts) {
            Ok(words) => words,
            Err(why) => return self.refuse(why),
        };
        let mut given = Ring::new(words, self.features.terms(), ring.next);
        let copies = [&ring.call, &ring.kick].map(|file| file.as_ref().map(File::try_clone));
        let [call, kick] = copies.map(Option::transpose);
        let done = call.and_then(|call| {
            given.set_call(call);
            self.guest.give_ring(index, given, kick?, self.features)
        });
        if let Err(error) = done {
            return self.refuse(&netlab::reason(&error));
        }
        if !self.told && self.guest.is_up() {
            self.told = true;
            let offloads: Vec<_> = self.features.offloads().collect();
            let offloads = if offloads.is_empty() { "none".into() } else { offloads.join(" ") };
            self.guest.tell(format!("a guest is there, offloads {offloads}"));
        }
        Ok(())
    }

    /// Why the machine was refused what it last asked for.
    pub(super) fn take_why(&mut self) -> Option<String> {
        self.why.take()
    }

    fn settle_all(&mut self) -> Result<()> {
        (0..RINGS).try_for_each(|index| self.settle(index))
    }

    /// Stops all rings.
    pub(super) fn stop(&mut self) {
        for index in 0..RINGS {
            let _ = self.guest.take_ring(index);
            self.rings[index] = Vring::default();
        }
        self.told = false;
    }
}

/// A descriptor by which one side wakes the other. Nobody is to wait in writing or reading it.
fn without_waiting(file: &File) -> std::io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    fcntl(file, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// What was not offered, and so is not to be asked for.
fn not_offered<T>() -> Result<T> {
    Err(Error::InvalidOperation("it was not offered"))
}

impl VhostUserBackendReqHandlerMut for Machine {
    fn set_owner(&mut self) -> Result<()> {
        Ok(())
    }

    fn reset_owner(&mut self) -> Result<()> {
        self.reset_device()
    }

    fn reset_device(&mut self) -> Result<()> {
        self.stop();
        Ok(())
    }

    fn get_features(&mut self) -> Result<u64> {
        Ok(Features::offered().0)
    }

    fn set_features(&mut self, features: u64) -> Result<()> {
        self.features = Features(features);
        if !self.features.is_offered() {
            return self.refuse("it took features that it was not offered");
        }
        self.settle_all()
    }

    fn get_protocol_features(&mut self) -> Result<VhostUserProtocolFeatures> {
        // The crate adds REPLY_ACK.
        Ok(VhostUserProtocolFeatures::empty())
    }

    fn set_protocol_features(&mut self, _features: u64) -> Result<()> {
        Ok(())
    }

    fn get_queue_num(&mut self) -> Result<u64> {
        not_offered()
    }

    fn set_mem_table(
        &mut self,
        regions: &[VhostUserMemoryRegion],
        files: Vec<File>,
        _postcopy: Option<bool>,
    ) -> Result<Option<Vec<VhostUserMemoryRegionBase>>> {
        let told = |region: &VhostUserMemoryRegion| Told {
            guest: region.guest_phys_addr,
            user: region.user_addr,
            len: region.memory_size,
            offset: region.mmap_offset,
        };
        // As many files as regions: the crate has seen to that.
        let regions: Vec<_> = regions.iter().map(told).zip(&files).collect();
        match Memory::map(&regions) {
            Ok(memory) => self.memory = Some(Arc::new(memory)),
            Err(why) => return self.refuse(why),
        }
        self.settle_all().map(|()| None)
    }

    fn set_vring_num(&mut self, index: u32, num: u32) -> Result<()> {
        if num == 0 || num > QUEUE_MAX {
            return self.refuse(&format!("a ring of {num} entries"));
        }
        let (index, ring) = self.ring(index)?;
        ring.parts.size = num as u16;
        self.settle(index)
    }

    fn set_vring_addr(
        &mut self,
        index: u32,
        _flags: VhostUserVringAddrFlags,
        descriptors: u64,
        used: u64,
        available: u64,
        _log: u64,
    ) -> Result<()> {
        let (index, ring) = self.ring(index)?;
        let size = ring.parts.size;
        ring.parts = Parts { size, descriptors, available, used };
        self.settle(index)
    }

    fn set_vring_base(&mut self, index: u32, base: u32) -> Result<()> {
        let (index, ring) = self.ring(index)?;
        if ring.is_started {
            // Where it is, its own count says.
            return Ok(());
        }
        ring.next = base as u16;
        self.settle(index)
    }

    fn get_vring_base(&mut self, index: u32) -> Result<VhostUserVringState> {
        let (number, ring) = self.ring(index)?;
        (ring.is_started, ring.kick, ring.call) = (false, None, None);
        self.settle(number)?;
        self.told = false;
        Ok(VhostUserVringState::new(index, self.rings[number].next.into()))
    }

    fn set_vring_kick(&mut self, index: u8, fd: Option<File>) -> Result<()> {
        if let Some(Err(error)) = fd.as_ref().map(without_waiting) {
            return self.refuse(&netlab::reason(&error));
        }
        if fd.is_none() && usize::from(index) == super::SENDING {
            return self.refuse("a ring that is to be polled, which we never do");
        }
        let (index, ring) = self.ring(index.into())?;
        (ring.kick, ring.is_started) = (fd, true);
        self.settle(index)
    }

    fn set_vring_call(&mut self, index: u8, fd: Option<File>) -> Result<()> {
        if let Some(Err(error)) = fd.as_ref().map(without_waiting) {
            return self.refuse(&netlab::reason(&error));
        }
        let (index, ring) = self.ring(index.into())?;
        let copy = fd.as_ref().map(File::try_clone).transpose();
        ring.call = fd;
        match copy {
            // A guest that masks its interrupt changes it often: frames go on meanwhile.
            Ok(copy) => self.guest.set_call(index, copy),
            Err(error) => return self.refuse(&netlab::reason(&error)),
        }
        Ok(())
    }

    fn set_vring_err(&mut self, index: u8, _fd: Option<File>) -> Result<()> {
        // Whoever breaks a ring finds the connection closed.
        self.ring(index.into()).map(drop)
    }

    fn set_vring_enable(&mut self, index: u32, enable: bool) -> Result<()> {
        let (index, ring) = self.ring(index)?;
        ring.is_enabled = enable;
        self.settle(index)
    }

    fn get_config(&mut self, _: u32, _: u32, _: VhostUserConfigFlags) -> Result<Vec<u8>> {
        not_offered()
    }

    fn set_config(&mut self, _: u32, _: &[u8], _: VhostUserConfigFlags) -> Result<()> {
        not_offered()
    }

    fn set_gpu_socket(&mut self, _: GpuBackend) -> Result<()> {
        not_offered()
    }

    fn get_shared_object(&mut self, _: VhostUserSharedMsg) -> Result<File> {
        not_offered()
    }

    fn get_inflight_fd(&mut self, _: &VhostUserInflight) -> Result<(VhostUserInflight, File)> {
        not_offered()
    }

    fn set_inflight_fd(&mut self, _: &VhostUserInflight, _: File) -> Result<()> {
        not_offered()
    }

    fn get_max_mem_slots(&mut self) -> Result<u64> {
        not_offered()
    }

    fn add_mem_region(
        &mut self,
        _: &VhostUserSingleMemoryRegion,
        _: File,
        _: Option<bool>,
    ) -> Result<Option<VhostUserMemoryRegionBase>> {
        not_offered()
    }

    fn remove_mem_region(&mut self, _: &VhostUserSingleMemoryRegion) -> Result<()> {
        not_offered()
    }

    fn set_device_state_fd(
        &mut self,
        _: VhostTransferStateDirection,
        _: VhostTransferStatePhase,
        _: File,
    ) -> Result<Option<File>> {
        not_offered()
    }

    fn check_device_state(&mut self) -> Result<()> {
        not_offered()
    }

    fn get_shmem_config(&mut self) -> Result<VhostUserShMemConfig> {
        not_offered()
    }

    fn set_log_base(&mut self, _: &VhostUserLog, _: File) -> Result<()> {
        not_offered()
    }
}
