//! No system call but those that the switch makes (seccomp(2)), and those that a C library may make
//! on its behalf: another than ours, or a newer one.
//!
//! What is not in the list fails with ENOSYS, as in a kernel that does not have it. A library that
//! tries a new call then takes the old one (clone3 and clone, for one, or faccessat2), where with
//! EPERM it would give up, and to be killed for a library's new habit would be worse than what the
//! filter is against: somebody who has taken the switch over wants execve, ptrace, mount, bpf,
//! kexec and their like, and cannot have them either way.
//!
//! A call whose arguments nobody looks at costs the way of a frame the least: the kernel knows by a
//! bitmap that the filter lets it through (Linux 5.11; kernel/seccomp.c, seccomp_cache_check). So
//! arguments are looked at only where it is worth it, and never of what workers call. Kernels
//! without the bitmap go through the list, so what workers call stands at its head. (Measured on a
//! busy machine, medians of 15 rounds in turn, 300,000 times recvfrom(2) on an empty socket: 450 ns
//! without a filter, 487 with this one; gone through, 487 at the head and 527 in the list.)

use std::{collections::BTreeMap, env::consts::ARCH};

use libc::{c_int, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter, sock_filter,
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

/// What workers call for each batch.
const BUSIEST: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_writev,
    libc::SYS_sendmmsg,
    libc::SYS_recvfrom,
    libc::SYS_ppoll,
    libc::SYS_epoll_pwait,
    libc::SYS_write,
];

/// Sockets: clients come and go, captures have a line of their own. None is made and none connected
/// or bound anew: not even a packet socket to another device. (What a sending call names is in
/// memory, where no filter sees it, and workers make these calls: so a socket for datagrams that is
/// there can send to whom its namespace reaches. Pairs of such are not made: [`looked_at`].)
const SOCKETS: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
];

/// With a port for VDE: each of its clients has a socket there, in a folder that may be ours.
const VDE: &[c_long] = &[
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_connect,
    libc::SYS_mkdirat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
];

/// Files: the configuration is read again, captures are read and written, sockets removed. Which
/// files, landlock says.
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
    libc::SYS_unlinkat,
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
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_lstat,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
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

/// Pairs of sockets: lines to threads of ours (captures, legs, signals).
const PAIRS: [c_int; 2] = [libc::SOCK_STREAM, libc::SOCK_SEQPACKET];

/// What of it is the type; the rest are flags (linux/net.h).
const SOCK_TYPE_MASK: u64 = 0xf;

/// A thread's name, and that of a piece of memory (glibc 2.42).
const PRCTLS: [c_int; 3] = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA];

/// Confines this thread and those that it starts.
///
/// # Errors
///
/// What the system said; or the architecture is not known.
pub(super) fn confine(vde: bool) -> Result<(), String> {
    apply_filter(&program(vde)?).map_err(|error| error.to_string())
}

/// The filter; `vde`: there are ports of that kind.
fn program(vde: bool) -> Result<BpfProgram, String> {
    let sockets = if vde { VDE } else { &[] };
    let groups = [FRAMES, SOCKETS, sockets, FILES, MEMORY, THREADS, SIGNALS, CLOCKS, SELF, OLDER];
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        groups.into_iter().flatten().map(|call| (*call, Vec::new())).collect();
    for (call, argument, len, op, values) in looked_at(vde) {
        for value in values {
            let condition = SeccompCondition::new(argument, len.clone(), op.clone(), value);
            let rule = condition.and_then(|condition| SeccompRule::new(vec![condition]));
            rules.entry(call).or_default().push(rule.map_err(|error| error.to_string())?);
        }
    }
    let arch = ARCH.try_into().map_err(|_| format!("there is no filter for {ARCH}"))?;
    let filter = SeccompFilter::new(rules, UNKNOWN, SeccompAction::Allow, arch);
    let program = filter.and_then(BpfProgram::try_from).map_err(|error| error.to_string())?;
    busiest_first(program).ok_or_else(|| "the filter has another form than it had".to_owned())
}

/// Lets [`BUSIEST`] through behind the load of a call's number. Jumps in a filter are relative, so
/// what comes before one may move.
fn busiest_first(mut program: BpfProgram) -> Option<BpfProgram> {
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    // `struct seccomp_data` begins with the number.
    let is_load = |step: &sock_filter| u32::from(step.code) == load && step.k == 0;
    let behind = program.iter().position(is_load)? + 1;
    let allowed = BUSIEST.iter().flat_map(|call| {
        let is = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        let ret = (libc::BPF_RET | libc::BPF_K) as u16;
        [
            sock_filter { code: is, jt: 0, jf: 1, k: *call as u32 },
            sock_filter { code: ret, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
        ]
    });
    program.splice(behind..behind, allowed);
    Some(program)
}

/// A call, which argument of it, how wide that is, and to what it is compared: any of these.
type LookedAt = (c_long, u8, Len, Op, Vec<u64>);

/// Calls whose arguments decide.
fn looked_at(vde: bool) -> Vec<LookedAt> {
    let thread = libc::CLONE_THREAD as u64;
    let executed = libc::PROT_EXEC as u64;
    // Those of ports the opener makes. Without a value no argument will do.
    let families = if vde { &[libc::AF_UNIX][..] } else { &[] };
    let wide = |values: &[c_int]| values.iter().map(|value| *value as u32 as u64).collect();
    let (own, number) = (u64::from(std::process::id()), Len::Dword);
    vec![
        // Another thread, never another process. (clone3's flags are in memory, where no filter
        // can see them: ENOSYS, and then it is this.)
        (libc::SYS_clone, 0, Len::Qword, Op::MaskedEq(thread), vec![thread]),
        (libc::SYS_mmap, 2, number.clone(), Op::MaskedEq(executed), vec![0]),
        (libc::SYS_mprotect, 2, number.clone(), Op::MaskedEq(executed), vec![0]),
        (libc::SYS_socket, 0, number.clone(), Op::Eq, wide(families)),
        // One of a pair of datagram sockets could send to any unix socket by its path.
        (libc::SYS_socketpair, 1, number.clone(), Op::MaskedEq(SOCK_TYPE_MASK), wide(&PAIRS)),
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

    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
    };
    use uswitch::capture::filter::{Filter, Instruction};

    /// What the filter says of a call with these arguments. (What runs the filters of captures
    /// runs this as well: `struct seccomp_data` for a frame, each word as a frame has it.)
    fn said(vde: bool, call: c_long, arguments: &[u64]) -> u32 {
        let steps = program(vde).unwrap().into_iter();
        let steps: Vec<_> =
            steps.map(|sock_filter { code, jt, jf, k }| Instruction { code, jt, jf, k }).collect();
        let mut words = vec![call as u32, steps[1].k, 0, 0];
        words.extend(arguments.iter().flat_map(|value| [*value as u32, (value >> 32) as u32]));
        words.resize(4 + 2 * 6, 0);
        let data: Vec<_> = words.into_iter().flat_map(u32::to_be_bytes).collect();
        Filter::new(&steps).unwrap().run(&data)
    }

    #[test]
    fn arguments_decide_where_they_are_looked_at() {
        let may = |call, arguments: &[u64]| said(false, call, arguments) == libc::SECCOMP_RET_ALLOW;
        let (thread, vm) = (libc::CLONE_THREAD as u64, libc::CLONE_VM as u64);
        assert!(may(libc::SYS_clone, &[thread | vm]) && !may(libc::SYS_clone, &[vm]));
        let (write, run) = (libc::PROT_WRITE as u64, libc::PROT_EXEC as u64);
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            assert!(may(call, &[0, 4096, write]) && !may(call, &[0, 4096, write | run]), "{call}");
        }
        let own = u64::from(std::process::id());
        assert!(may(libc::SYS_tgkill, &[own, 1, 6]) && !may(libc::SYS_tgkill, &[1, 1, 9]));
        assert!(may(libc::SYS_prlimit64, &[0, 7]) && !may(libc::SYS_prlimit64, &[1, 7]));
        let (name, set) = (libc::TUNGETIFF as u32 as u64, libc::TUNSETIFF as u32 as u64);
        assert!(may(libc::SYS_ioctl, &[3, name]) && !may(libc::SYS_ioctl, &[3, set]));
        // The kernel takes the lower half alone.
        assert!(!may(libc::SYS_ioctl, &[3, set | 1 << 32]));
        let pair =
            |kind: c_int| may(libc::SYS_socketpair, &[1, (kind | libc::SOCK_CLOEXEC) as u64]);
        assert!(pair(libc::SOCK_SEQPACKET) && pair(libc::SOCK_STREAM));
        assert!(!pair(libc::SOCK_DGRAM) && !pair(libc::SOCK_RAW));
        let (seccomp, name) = (libc::PR_SET_SECCOMP as u64, libc::PR_SET_NAME as u64);
        assert!(may(libc::SYS_prctl, &[name]) && !may(libc::SYS_prctl, &[seccomp]));
    }

    #[test]
    fn what_is_allowed_is_allowed_and_all_else_is_unknown() {
        let unknown = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
        for vde in [false, true] {
            for call in BUSIEST.iter().chain(FRAMES).chain(FILES).chain(THREADS).chain(OLDER) {
                assert_eq!(said(vde, *call, &[]), libc::SECCOMP_RET_ALLOW, "{call}");
            }
            let ours = if vde { libc::SECCOMP_RET_ALLOW } else { unknown };
            for call in VDE {
                assert_eq!(said(vde, *call, &[]), ours, "{call}");
            }
            for call in [
                libc::SYS_execve,
                libc::SYS_execveat,
                libc::SYS_ptrace,
                libc::SYS_setns,
                libc::SYS_bpf,
                libc::SYS_mknodat,
                libc::SYS_kill,
                libc::SYS_pidfd_getfd,
                libc::SYS_process_vm_writev,
                libc::SYS_io_uring_setup,
                libc::SYS_memfd_create,
            ] {
                assert_eq!(said(vde, call, &[]), unknown, "{call}");
            }
        }
    }

    /// In a thread, which alone is confined.
    fn confined<T: Send + 'static>(vde: bool, work: impl FnOnce() -> T + Send + 'static) -> T {
        thread::spawn(move || {
            confine(vde).unwrap();
            work()
        })
        .join()
        .unwrap()
    }

    #[test]
    fn what_is_not_in_the_list_is_not_there() {
        let (run, unshared) = confined(true, || {
            let run = Command::new("/bin/true").status();
            (run, nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS))
        });
        assert_eq!(run.unwrap_err().raw_os_error(), Some(libc::ENOSYS));
        assert_eq!(unshared, Err(nix::Error::ENOSYS));
    }

    #[test]
    fn sockets_are_not_ours_to_make_but_those_of_vde() {
        let make = || {
            [AddressFamily::Packet, AddressFamily::Netlink, AddressFamily::Inet]
                .map(|family| socket(family, SockType::Datagram, SockFlag::empty(), None).map(drop))
        };
        let none = [Err(nix::Error::ENOSYS); 3];
        assert_eq!(confined(false, make), none);
        assert_eq!(confined(true, make), none);
        let unix = || socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None);
        assert_eq!(confined(false, move || unix().map(drop)), Err(nix::Error::ENOSYS));
        assert_eq!(confined(true, move || unix().map(drop)), Ok(()));
    }

    #[test]
    fn sockets_that_are_there_go_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| UnixAddr::new(&folder.path().join(name)).unwrap();
        let (one, other) = (at("one"), at("other"));
        let tried = |vde| {
            let made = || socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None);
            let (door, client) = (made().unwrap(), made().unwrap());
            confined(vde, move || {
                use std::os::fd::AsRawFd;
                let bound = bind(door.as_raw_fd(), if vde { &one } else { &other });
                let listens = listen(&door, Backlog::new(1).unwrap());
                [bound, listens, connect(client.as_raw_fd(), &one)]
            })
        };
        assert_eq!(tried(true), [Ok(()); 3]);
        assert_eq!(tried(false), [Err(nix::Error::ENOSYS); 3]);
    }

    #[test]
    fn threads_memory_and_files_are_as_before() {
        let text = confined(false, || {
            let read = thread::spawn(|| fs::read_to_string("/proc/self/status").unwrap());
            assert!(!vec![1u8; 32 << 20].contains(&0));
            read.join().unwrap()
        });
        assert!(text.contains("Name:"));
    }

    #[test]
    fn way_of_a_frame_is_looked_up_and_not_looked_at() {
        for call in looked_at(true).into_iter().map(|(call, ..)| call) {
            assert!(!FRAMES.contains(&call), "{call}: arguments would be looked at each time");
        }
        let listed = |call| FRAMES.contains(call) || OLDER.contains(call);
        assert!(BUSIEST.iter().all(listed));
    }
}
