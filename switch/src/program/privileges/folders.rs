//! No file but those for which there is use (landlock(7)). Descriptors that are open, and those
//! that the opener hands over, keep the rights with which they were opened.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use uswitch::topology::{PortKind, PortSpec};

use super::Needs;

/// The newest that we know. An older kernel confines as far as it can.
const NEWEST: ABI = ABI::V6;

/// A folder with all below it, and what may be done there.
type Allowed = (PathBuf, BitFlags<AccessFs>);

/// Confines this thread and those that it starts. Returns what this kernel cannot do of it.
///
/// # Errors
///
/// What the system said.
pub(super) fn confine(needs: &Needs<'_>) -> Result<Option<String>, String> {
    let failed = |error: landlock::RulesetError| error.to_string();
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .map_err(failed)?
        // Whoever steers or scrapes the switch connects to it, never the other way round, and the
        // sockets for that are there.
        .handle_access(AccessNet::from_all(NEWEST))
        .map_err(failed)?
        // Nobody is sent a signal, and nobody is spoken to without a path; what was connected to
        // before (sd_notify(3)) is.
        .scope(Scope::from_all(NEWEST))
        .map_err(failed)?
        .create()
        .map_err(failed)?;
    let rules = allowed(needs).into_iter().try_fold(rules, allow)?;
    let status = rules.restrict_self().map_err(failed)?;
    let all = "confine the switch to the files that it needs (Landlock)";
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => None,
        RulesetStatus::PartiallyEnforced => Some(format!("this kernel cannot wholly {all}")),
        RulesetStatus::NotEnforced => Some(format!("this kernel cannot {all}")),
    })
}

/// Allows this below a folder, if that is there.
fn allow(rules: RulesetCreated, (folder, access): Allowed) -> Result<RulesetCreated, String> {
    let Ok(folder) = PathFd::new(folder) else { return Ok(rules) };
    rules.add_rule(PathBeneath::new(folder, access)).map_err(|error| error.to_string())
}

/// All that is allowed. Everything else that there is to be done with files is not.
fn allowed(needs: &Needs<'_>) -> Vec<Allowed> {
    let Needs { config, routes, control, metrics, ports } = *needs;
    let config =
        config.into_iter().chain(routes).flat_map(read).map(|at| (at, AccessFs::ReadFile.into()));
    let sockets = control.map(Path::to_owned).into_iter().chain(metrics.map(folder));
    let sockets = sockets.map(|folder| (folder, AccessFs::RemoveFile.into()));
    config.chain(sockets).chain(ports.iter().filter_map(vde)).collect()
}

/// Where the configuration file can be read again. The folder and not the file: an editor puts
/// another file in its place. And if it is a link, where that leads to.
fn read(config: &Path) -> Vec<PathBuf> {
    if config == Path::new("-") {
        return Vec::new();
    }
    let (named, real) = (folder(config), config.canonicalize().ok().map(|real| folder(&real)));
    let other = real.filter(|real| named.canonicalize().ok().as_ref() != Some(real));
    [named].into_iter().chain(other).collect()
}

/// The folder in which VDE's clients find their sockets; or that in which it is to be made.
fn vde(port: &PortSpec) -> Option<Allowed> {
    let PortKind::Vde(vde) = &port.kind else { return None };
    let sockets = AccessFs::MakeSock | AccessFs::RemoveFile;
    let above = AccessFs::MakeDir | AccessFs::RemoveDir;
    Some(match vde.folder.is_dir() {
        true => (vde.folder.clone(), sockets),
        false => (folder(&vde.folder), sockets | above),
    })
}

fn folder(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

#[cfg(test)]
mod tests {
    use std::{
        fs, io,
        net::TcpListener,
        os::unix::{
            fs::symlink,
            net::{UnixDatagram, UnixListener},
        },
        thread,
    };

    use super::*;

    const NONE: Needs<'static> =
        Needs { config: None, routes: None, control: None, metrics: None, ports: &[] };

    fn ports(specs: &[String]) -> Vec<PortSpec> {
        specs.iter().map(|spec| spec.parse().unwrap()).collect()
    }

    #[test]
    fn a_switch_that_needs_no_file_has_none() {
        assert_eq!(allowed(&NONE), []);
        let ports = ports(&["tap:t0".into(), "pcap:in=/a/b,out=/c/d".into(), "stream:/e/f".into()]);
        assert_eq!(allowed(&Needs { ports: &ports, ..NONE }), [], "the opener opens them");
        assert_eq!(allowed(&Needs { config: Some("-".as_ref()), ..NONE }), [], "standard input");
    }

    #[test]
    fn what_is_read_again_and_removed_at_the_end_is_allowed_in_its_folder_only() {
        let (read, removed) = (AccessFs::ReadFile.into(), AccessFs::RemoveFile.into());
        let needs = Needs {
            config: Some("/etc/none/lab.toml".as_ref()),
            routes: Some("/var/none/routes".as_ref()),
            control: Some("/run/none".as_ref()),
            metrics: Some("m".as_ref()),
            ports: &[],
        };
        let list: [Allowed; 4] = [
            ("/etc/none".into(), read),
            ("/var/none".into(), read),
            ("/run/none".into(), removed),
            (".".into(), removed),
        ];
        assert_eq!(allowed(&needs), list);
    }

    #[test]
    fn file_behind_a_link_is_read_where_it_is() {
        let (links, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (links, files) = (links.path(), files.path().canonicalize().unwrap());
        fs::write(files.join("real"), "").unwrap();
        symlink(files.join("real"), links.join("lab.toml")).unwrap();
        assert_eq!(read(&links.join("lab.toml")), [links.to_owned(), files.clone()]);
        assert_eq!(read(&files.join("real")), [files]);
    }

    #[test]
    fn folder_for_vde_is_made_in_the_one_above() {
        let folder = tempfile::tempdir().unwrap();
        let above = folder.path().to_owned();
        let new = above.join("ctl");
        let ports = ports(&[format!("vde:{}", above.display()), format!("vde:{}", new.display())]);
        let sockets = AccessFs::MakeSock | AccessFs::RemoveFile;
        let all = sockets | AccessFs::MakeDir | AccessFs::RemoveDir;
        let needs = Needs { ports: &ports, ..NONE };
        assert_eq!(allowed(&needs), [(above.clone(), sockets), (above, all)]);
    }

    /// In a thread, which alone is confined. What it may, and what it may not.
    #[test]
    fn kernel_holds_it_to_that() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = |name: &str| one.path().join(name);
        fs::write(path("lab.toml"), "here").unwrap();
        fs::write(other.path().join("secret"), "there").unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap();
        let outcome = thread::scope(|scope| {
            let work = || {
                let config = path("lab.toml");
                let missing = confine(&Needs { config: Some(&config), ..NONE }).unwrap();
                let kind = |result: io::Result<()>| result.map_err(|error| error.kind());
                // An editor puts another file there: by another process, in life.
                let tried = [
                    fs::read_to_string(&config).map(drop),
                    fs::read_to_string(other.path().join("secret")).map(drop),
                    fs::write(path("new"), ""),
                    fs::write(&config, ""),
                    fs::remove_file(&config),
                    fs::read_dir("/").map(drop),
                    UnixListener::bind(path("sock")).map(drop),
                    TcpListener::bind("127.0.0.1:0").map(drop),
                    std::net::TcpStream::connect(address.local_addr().unwrap()).map(drop),
                ];
                (missing, tried.map(kind))
            };
            scope.spawn(work).join().unwrap()
        });
        let (missing, [read, denied @ ..]) = outcome;
        assert_eq!((missing, read), (None, Ok(())), "a kernel with Landlock is needed for this");
        assert_eq!(denied, [Err(io::ErrorKind::PermissionDenied); 8]);
    }

    #[test]
    fn who_was_connected_to_before_still_hears() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("uswitch-folders-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
        let ears = UnixDatagram::bind_addr(&address).unwrap();
        let mouth = UnixDatagram::unbound().unwrap();
        mouth.connect_addr(&address).unwrap();
        let again = thread::spawn(move || {
            confine(&NONE).unwrap();
            mouth.send(b"READY=1").unwrap();
            UnixDatagram::unbound().unwrap().connect_addr(&address)
        });
        assert!(again.join().unwrap().is_err(), "a new connection");
        assert_eq!(ears.recv(&mut [0; 16]).unwrap(), 7);
    }
}
