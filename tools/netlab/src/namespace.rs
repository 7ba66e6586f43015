//! Network namespaces.
//!
//! A [`Namespace`] is held by a descriptor, not by a name: the kernel drops it, its links and its
//! sockets with the last descriptor and the last thread inside, so that not even SIGKILL leaves
//! anything behind.
//!
//! A thread that enters a namespace cannot always leave it again (setns(2) asks for rights in the
//! one it came from), so no caller's thread is ever moved: [`Namespace::run`] takes a thread of
//! its own. A socket belongs for good to the namespace of the thread that opened it: open it
//! inside, use it anywhere.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    panic,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
    unistd::{getegid, geteuid},
};

use crate::{
    error::{refused, sentence},
    link::Links,
    sys,
};

/// A network namespace. A clone stands for the same one; it lives as long as the last of them.
#[derive(Clone)]
pub struct Namespace {
    held: Arc<Held>,
}

struct Held {
    file: File,
    /// Device and inode of the nsfs file: the kernel's own identity of a namespace.
    id: (u64, u64),
}

impl Namespace {
    /// A fresh namespace: its loopback is up, and [`Namespace::prepare`] was tried.
    ///
    /// # Errors
    ///
    /// The calling process may not make namespaces (CAP_SYS_ADMIN), or there are too many.
    pub fn new() -> io::Result<Namespace> {
        let file = on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open(OWN_PATH)
        })
        .and_then(|made| made)
        .map_err(|error| sentence(format!("no network namespace was made ({RIGHTS})"), error))?;
        let namespace = Namespace::hold(file)?;
        namespace.links()?.set_up("lo")?;
        namespace.prepare();
        Ok(namespace)
    }

    /// The namespace of this descriptor: a file of nsfs, as ioctls hand them out.
    ///
    /// # Errors
    ///
    /// fstat(2) failed.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Namespace> {
        Namespace::hold(File::from(fd))
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// /proc is not there, or too many files are open.
    pub fn current() -> io::Result<Namespace> {
        let file = File::open(OWN_PATH)
            .map_err(|error| sentence(format!("`{OWN_PATH}` did not open"), error))?;
        Namespace::hold(file)
    }

    /// A namespace that somebody else made: the number of a process that lives in it, a path
    /// (anything with a slash), or a name that `ip netns list` shows.
    ///
    /// # Errors
    ///
    /// A sentence that says what is not there, or what is missing to enter it.
    pub fn open(spec: &str) -> io::Result<Namespace> {
        if spec.contains('/') {
            return Namespace::open_path(Path::new(spec)).map_err(|error| match error.kind() {
                ErrorKind::NotFound => {
                    sentence(format!("there is no network namespace at `{spec}`"), error)
                }
                _ => sentence(format!("the network namespace `{spec}` did not open"), error),
            });
        }
        if !spec.is_empty() && spec.bytes().all(|b| b.is_ascii_digit()) {
            return Namespace::open_process(spec);
        }
        Namespace::open_name(spec)
    }

    /// Runs `work` on a thread inside the namespace and waits for it. A panic in there goes on
    /// in the caller.
    ///
    /// # Errors
    ///
    /// The namespace was not entered: CAP_SYS_ADMIN is missing, or no thread could be started.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_thread(|| self.enter().map(|()| work()))?
    }

    /// Starts a thread inside the namespace, named for debuggers, that outlives the call.
    ///
    /// # Errors
    ///
    /// The namespace was not entered: CAP_SYS_ADMIN is missing, or no thread could be started.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        let namespace = self.clone();
        let (entered, answer) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            let outcome = namespace.enter();
            let inside = outcome.is_ok();
            // The receiver waits for exactly this message: it is there.
            let _ = entered.send(outcome);
            if !inside {
                // Ends this thread without a message: the caller has the error, nobody joins.
                panic::resume_unwind(Box::new(()));
            }
            work()
        })?;
        answer.recv().map_err(|_| io::Error::other("the thread ended before it began"))??;
        Ok(thread)
    }

    /// A netlink socket inside the namespace, to see and change its links.
    ///
    /// # Errors
    ///
    /// The namespace was not entered, or has no room for a socket.
    pub fn links(&self) -> io::Result<Links> {
        self.run(Links::here)?
    }

    /// Makes comparisons fair: takes bridged frames past netfilter, through which every fresh
    /// namespace sends them, and chooses the same congestion control on every machine. What is
    /// not there, or may not be written, stays as it is.
    pub fn prepare(&self) {
        for (name, value) in COMPARABLE {
            // Not there without the module: then there is nothing to turn off.
            let _ = self.set_sysctl(name, value);
        }
    }

    /// Writes a sysctl of the namespace, named by its path below /proc/sys, as in
    /// `net/ipv6/conf/all/disable_ipv6`.
    ///
    /// # Errors
    ///
    /// There is no such sysctl, or it does not take the value.
    pub fn set_sysctl(&self, name: &str, value: &str) -> io::Result<()> {
        let path = sysctl_path(name)?;
        self.run(|| fs::write(path, value))?
            .map_err(|error| sentence(format!("sysctl `{name}` did not take `{value}`"), error))
    }

    /// Reads a sysctl of the namespace, without the newline at its end.
    ///
    /// # Errors
    ///
    /// There is no such sysctl, or it may not be read.
    pub fn sysctl(&self, name: &str) -> io::Result<String> {
        let path = sysctl_path(name)?;
        self.run(|| fs::read_to_string(path))?
            .map(|text| text.trim_end().to_string())
            .map_err(|error| sentence(format!("sysctl `{name}` was not read"), error))
    }

    /// Gives the namespace a name, so that `ip netns exec NAME` and [`Namespace::open`] find it,
    /// until the returned guard is dropped.
    ///
    /// # Errors
    ///
    /// The name is taken, is not a file name, or the process may not mount (CAP_SYS_ADMIN).
    pub fn name_as(&self, name: &str) -> io::Result<Named> {
        check_name(name)?;
        fs::create_dir_all(NAMES)
            .map_err(|error| sentence(format!("`{NAMES}` was not made"), error))?;
        let path = Path::new(NAMES).join(name);
        OpenOptions::new().write(true).create_new(true).mode(0o444).open(&path).map_err(
            |error| sentence(format!("the name `{name}` was not given to a namespace"), error),
        )?;
        // From here on, the guard takes the file away again, whatever happens.
        let named = Named { path };
        let from = format!("/proc/self/fd/{}", self.held.file.as_raw_fd());
        mount(Some(from.as_str()), &named.path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|error| sentence(format!("nothing was mounted on `{NAMES}/{name}`"), error))?;
        Ok(named)
    }

    fn enter(&self) -> io::Result<()> {
        // Whoever is there already needs no right to go there.
        let here = fs::metadata(OWN_PATH)?;
        if (here.dev(), here.ino()) == self.held.id {
            return Ok(());
        }
        setns(&self.held.file, CloneFlags::CLONE_NEWNET)
            .map_err(|error| sentence(format!("{self:?} was not entered ({RIGHTS})"), error))
    }

    fn hold(file: File) -> io::Result<Namespace> {
        let data = file.metadata()?;
        Ok(Namespace { held: Arc::new(Held { file, id: (data.dev(), data.ino()) }) })
    }

    fn open_name(name: &str) -> io::Result<Namespace> {
        check_name(name)?;
        let mut answer = Namespace::open_path(&Path::new(NAMES).join(name));
        // /var/run is a link to /run, but not everywhere.
        if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            answer = Namespace::open_path(&Path::new("/var/run/netns").join(name));
        }
        answer.map_err(|error| match error.kind() {
            ErrorKind::NotFound => refused(
                ErrorKind::NotFound,
                format!(
                    "there is no network namespace `{name}`: `ip netns list` shows the names; a \
                     process number or a path with a slash is taken as well"
                ),
            ),
            _ => sentence(format!("the network namespace `{name}` did not open"), error),
        })
    }

    fn open_process(pid: &str) -> io::Result<Namespace> {
        Namespace::open_path(Path::new(&format!("/proc/{pid}/ns/net"))).map_err(|error| {
            let text = match error.kind() {
                ErrorKind::NotFound => {
                    let text = format!("there is no process {pid} whose namespace could be used");
                    return refused(ErrorKind::NotFound, text);
                }
                ErrorKind::PermissionDenied => format!(
                    "the network namespace of process {pid} may not be opened: only root or \
                     CAP_SYS_PTRACE may look into another user's process"
                ),
                _ => format!("the network namespace of process {pid} did not open"),
            };
            sentence(text, error)
        })
    }

    fn open_path(path: &Path) -> io::Result<Namespace> {
        // Somebody may name a pipe: do not wait for its other end.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        // A name in /run/netns whose mount is gone is an empty file.
        match sys::namespace_kind(file.as_fd()) {
            Ok(libc::CLONE_NEWNET) => Namespace::hold(file),
            _ => Err(refused(
                ErrorKind::InvalidInput,
                format!("`{}` is a file, but not a network namespace", path.display()),
            )),
        }
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.held.file.as_fd()
    }
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Namespace) -> bool {
        self.held.id == other.held.id
    }
}

impl Eq for Namespace {}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "network namespace {}", self.held.id.1)
    }
}

/// A name of a namespace below /run/netns; it goes with this guard.
#[derive(Debug)]
pub struct Named {
    path: PathBuf,
}

impl Named {
    /// The file that stands for the namespace.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        // `ip netns add` mounts the directory over itself, and then ours is there twice.
        let mut mounts = 0;
        while mounts < MOUNTS_MAX && umount2(&self.path, MntFlags::MNT_DETACH).is_ok() {
            mounts += 1;
        }
        // Gone already is as good.
        let _ = fs::remove_file(&self.path);
    }
}

/// Moves the whole process into a new user namespace, in which it is root, and into a new network
/// namespace inside: so somebody without any rights can make namespaces, links and TAPs of his
/// own. Call it before the first thread is started.
///
/// # Errors
///
/// A sentence that says who refused: the kernel's limits, its policy, or an earlier thread.
pub fn unshare_user() -> io::Result<()> {
    // Afterwards both are "nobody": ask before.
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(|error| {
        let why = match error {
            nix::Error::EINVAL => "the process has more than one thread already",
            nix::Error::ENOSPC => "sysctl `user.max_user_namespaces` or `user.max_net_namespaces`",
            nix::Error::EPERM => {
                "look at the sysctls `kernel.unprivileged_userns_clone` and \
                 `kernel.apparmor_restrict_unprivileged_userns`; a chroot forbids it too"
            }
            _ => "this kernel may have no user namespaces",
        };
        sentence(format!("no user namespace was made: {why}"), error)
    })?;
    // Without rights outside, gid_map may be written only once setgroups(2) is given up
    // (user_namespaces(7)).
    let lines = [
        ("setgroups", "deny".to_string()),
        ("uid_map", format!("0 {uid} 1")),
        ("gid_map", format!("0 {gid} 1")),
    ];
    for (file, line) in lines {
        let path = format!("/proc/self/{file}");
        fs::write(&path, &line)
            .map_err(|error| sentence(format!("`{path}` did not take `{line}`"), error))?;
    }
    Links::here()?.set_up("lo")?;
    Namespace::current()?.prepare();
    Ok(())
}

/// Runs on a fresh thread and waits for it.
fn on_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, work)?;
        Ok(thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload)))
    })
}

fn sysctl_path(name: &str) -> io::Result<PathBuf> {
    if !name.split('/').all(|part| !matches!(part, "" | "." | "..")) {
        let text = format!("`{name}` is no sysctl: net/ipv4/ip_forward, for one, is");
        return Err(refused(ErrorKind::InvalidInput, text));
    }
    Ok(Path::new("/proc/sys").join(name))
}

fn check_name(name: &str) -> io::Result<()> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        let text = format!("`{name}` cannot be the name of a network namespace");
        return Err(refused(ErrorKind::InvalidInput, text));
    }
    Ok(())
}

/// /proc/self would be the first thread's, which need not be in the same namespace.
const OWN_PATH: &str = "/proc/thread-self/ns/net";

/// Where `ip netns` keeps its names.
const NAMES: &str = "/run/netns";

/// Mounts on one name that its guard takes away at the most.
const MOUNTS_MAX: usize = 8;

const RIGHTS: &str = "it takes root or CAP_SYS_ADMIN; `unshare --user` gives a place with both";

const COMPARABLE: [(&str, &str); 4] = [
    ("net/bridge/bridge-nf-call-iptables", "0"),
    ("net/bridge/bridge-nf-call-ip6tables", "0"),
    ("net/bridge/bridge-nf-call-arptables", "0"),
    ("net/ipv4/tcp_congestion_control", "reno"),
];

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;
    use crate::test;

    #[test]
    fn threads_are_inside_and_the_caller_is_not() {
        test::root!();
        let outside = Namespace::current().unwrap();
        let inside = Namespace::new().unwrap();
        assert_ne!(outside, inside);
        assert_eq!(inside.run(|| Namespace::current().unwrap()).unwrap(), inside);
        let thread = inside.spawn("inside", || Namespace::current().unwrap()).unwrap();
        assert_eq!(thread.join().unwrap(), inside);
        assert_eq!(Namespace::current().unwrap(), outside);
    }

    #[test]
    fn loopback_of_a_fresh_namespace_is_up() {
        test::root!();
        let lo = Namespace::new().unwrap().links().unwrap().get("lo").unwrap().unwrap();
        assert!(lo.up);
    }

    #[test]
    fn a_panic_inside_goes_on_outside() {
        test::root!();
        let namespace = Namespace::new().unwrap();
        let caught = panic::catch_unwind(panic::AssertUnwindSafe(|| {
            let _ = namespace.run(|| panic::resume_unwind(Box::new("inside")));
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"inside"));
    }

    #[test]
    fn opened_by_name_path_and_process() {
        test::root!();
        let namespace = Namespace::new().unwrap();
        let name = test::unique_name();
        let named = namespace.name_as(&name).unwrap();
        assert_eq!(Namespace::open(&name).unwrap(), namespace);
        assert_eq!(Namespace::open(named.path().to_str().unwrap()).unwrap(), namespace);
        let pid = process::id().to_string();
        assert_eq!(Namespace::open(&pid).unwrap(), Namespace::open("/proc/self/ns/net").unwrap());

        assert_eq!(namespace.name_as(&name).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let path = named.path().to_path_buf();
        drop(named);
        assert!(!path.exists());
        let error = Namespace::open(&name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let start = format!("there is no network namespace `{name}`: `ip netns list`");
        assert!(error.to_string().starts_with(&start), "{error}");
    }

    #[test]
    fn what_is_not_a_namespace_is_told_by_name() {
        // Linux numbers processes below 2^22.
        let error = Namespace::open("99999999").unwrap_err();
        assert!(error.to_string().contains("no process 99999999"), "{error}");
        let error = Namespace::open("/proc/self/ns/nothing").unwrap_err();
        assert!(error.to_string().contains("`/proc/self/ns/nothing`"), "{error}");
        let error = Namespace::open("/proc/self/ns/uts").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(crate::explain(&error).contains("not a network namespace"), "{error}");
        for name in ["", ".", ".."] {
            assert_eq!(Namespace::open(name).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_sysctl_is_the_namespaces_own() {
        test::root!();
        let name = "net/ipv6/conf/all/disable_ipv6";
        let (one, other) = (Namespace::new().unwrap(), Namespace::new().unwrap());
        one.set_sysctl(name, "1").unwrap();
        assert_eq!(one.sysctl(name).unwrap(), "1");
        assert_eq!(other.sysctl(name).unwrap(), "0");
        let error = one.sysctl("net/nothing").unwrap_err();
        assert_eq!(error.to_string(), "sysctl `net/nothing` was not read");
        for name in ["", "/etc/passwd", "net/../kernel/hostname", "net//ipv4"] {
            assert_eq!(one.sysctl(name).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
