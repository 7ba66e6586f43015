//! No system call but those that the switch makes (seccomp(2)), and those that a C library may make
//! on its behalf: another than ours, or a newer one.
//!
//! What is not in the list fails with ENOSYS, as in a kernel that does not have it. A library that
//! tries a new call then takes the old one (clone3 and clone, for one, or faccessat2), where with
//! EPERM it would give up, and to be killed for a library's new habit would be worse than what the
//! filter is against: somebody who has taken the switch over wants execve, ptrace, mount, bpf,
//! kexec and their like, and cannot have them either way.
//!
//! A call whose arguments nobody looks at costs the way of a frame next to nothing: the kernel
//! knows by a bitmap that the filter lets it through (kernel/seccomp.c, seccomp_cache_check). So
//! arguments are looked at only where it is worth it, and never of what workers call.

use std::{collections::BTreeMap, env::consts::ARCH};

use libc::{c_int, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter,
};

/// What fails, fails as if the kernel did not have it.
const UNKNOWN: SeccompAction = SeccompAction::Errno(libc::ENOSYS as u32);

/// Frames: descriptors are read, written and waited for.
const FRAMES: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_eventfd2,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
];

/// Sockets: clients come and go, captures have a line of their own.
const SOCKETS: &[c_long] = &[
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
];

/// Files: the configuration is read again, captures are read and written, the sockets of VDE made
/// and removed. Which files, landlock says.
const FILES: &[c_long] = &[
    libc::SYS_openat,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fadvise64,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_pipe2,
];

/// Memory, but none to be executed: see [`looked_at`].
const MEMORY: &[c_long] =
    &[libc::SYS_munmap, libc::SYS_mremap, libc::SYS_brk, libc::SYS_madvise, libc::SYS_mincore];

/// Threads: they begin, wait for each other, are pinned, and end. glibc registers each for
/// restartable sequences and robust locks, musl takes its number.
const THREADS: &[c_long] = &[
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_getcpu,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // The opener is waited for.
    libc::SYS_wait4,
    libc::SYS_waitid,
];

/// Signals that come, and stacks for their functions.
const SIGNALS: &[c_long] = &[
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
];

/// Clocks, where the vDSO does not serve, and chance.
const CLOCKS: &[c_long] = &[
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_getrandom,
];

/// Who we are.
const SELF: &[c_long] = &[
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getgroups,
    libc::SYS_getrusage,
    libc::SYS_getrlimit,
    libc::SYS_setrlimit,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

/// By their older names, which only this architecture has. musl calls them.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_chmod,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rmdir,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// What may be asked of descriptors: whether they are terminals, and how wide; the name of a TAP;
/// not to wait.
const IOCTLS: [libc::Ioctl; 5] =
    [libc::TCGETS, libc::TIOCGWINSZ, libc::TUNGETIFF, libc::FIONBIO, libc::FIONREAD];

/// Families of sockets that may be made. Those of ports the opener makes.
const FAMILIES: [c_int; 3] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];

/// A thread's name, and that of a piece of memory (glibc 2.42).
const PRCTLS: [c_int; 3] = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA];

/// Confines this thread and those that it starts.
///
/// # Errors
///
/// What the system said; or the architecture is not known.
pub(super) fn confine() -> Result<(), String> {
    apply_filter(&program()?).map_err(|error| error.to_string())
}

fn program() -> Result<BpfProgram, String> {
    let groups = [FRAMES, SOCKETS, FILES, MEMORY, THREADS, SIGNALS, CLOCKS, SELF, OLDER];
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        groups.into_iter().flatten().map(|call| (*call, Vec::new())).collect();
    for (call, argument, len, op, values) in looked_at() {
        for value in values {
            let condition = SeccompCondition::new(argument, len.clone(), op.clone(), value);
            let rule = condition.and_then(|condition| SeccompRule::new(vec![condition]));
            rules.entry(call).or_default().push(rule.map_err(|error| error.to_string())?);
        }
    }
    let arch = ARCH.try_into().map_err(|_| format!("there is no filter for {ARCH}"))?;
    let filter = SeccompFilter::new(rules, UNKNOWN, SeccompAction::Allow, arch);
    filter.and_then(BpfProgram::try_from).map_err(|error| error.to_string())
}

/// A call, which argument of it, how wide that is, and to what it is compared: any of these.
type LookedAt = (c_long, u8, Len, Op, Vec<u64>);

/// Calls whose arguments decide.
fn looked_at() -> Vec<LookedAt> {
    let thread = libc::CLONE_THREAD as u64;
    let executed = libc::PROT_EXEC as u64;
    let wide = |values: &[c_int]| values.iter().map(|value| *value as u32 as u64).collect();
    let (own, number) = (u64::from(std::process::id()), Len::Dword);
    vec![
        // Another thread, never another process. (clone3's flags are in memory, where no filter
        // can see them: ENOSYS, and then it is this.)
        (libc::SYS_clone, 0, Len::Qword, Op::MaskedEq(thread), vec![thread]),
        (libc::SYS_mmap, 2, number.clone(), Op::MaskedEq(executed), vec![0]),
        (libc::SYS_mprotect, 2, number.clone(), Op::MaskedEq(executed), vec![0]),
        (libc::SYS_socket, 0, number.clone(), Op::Eq, wide(&FAMILIES)),
        (libc::SYS_prctl, 0, number.clone(), Op::Eq, wide(&PRCTLS)),
        // musl counts them as signed.
        (
            libc::SYS_ioctl,
            1,
            number.clone(),
            Op::Eq,
            IOCTLS.map(|ioctl| u64::from(ioctl as u32)).to_vec(),
        ),
        // Our own bounds, and a signal to ourselves: abort(3).
        (libc::SYS_prlimit64, 0, number.clone(), Op::Eq, vec![0]),
        (libc::SYS_tgkill, 0, number, Op::Eq, vec![own]),
    ]
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command, thread};

    use super::*;

    /// In a thread, which alone is confined.
    fn confined<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        thread::spawn(|| {
            confine().unwrap();
            work()
        })
        .join()
        .unwrap()
    }

    #[test]
    fn what_is_not_in_the_list_is_not_there() {
        let (run, unshared) = confined(|| {
            let run = Command::new("/bin/true").status();
            (run, nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS))
        });
        assert_eq!(run.unwrap_err().raw_os_error(), Some(libc::ENOSYS));
        assert_eq!(unshared, Err(nix::Error::ENOSYS));
    }

    #[test]
    fn sockets_of_ports_are_not_ours_to_make() {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
        let made = confined(|| {
            let flags = SockFlag::empty();
            [AddressFamily::Packet, AddressFamily::Netlink, AddressFamily::Inet]
                .map(|family| socket(family, SockType::Datagram, flags, None).map(drop))
        });
        assert_eq!(made, [Err(nix::Error::ENOSYS), Err(nix::Error::ENOSYS), Ok(())]);
    }

    #[test]
    fn threads_memory_and_files_are_as_before() {
        let text = confined(|| {
            let read = thread::spawn(|| fs::read_to_string("/proc/self/status").unwrap());
            assert!(!vec![1u8; 32 << 20].contains(&0));
            read.join().unwrap()
        });
        assert!(text.contains("Name:"));
    }
}
