//! Where in the file system the opener opens anything. Whoever has taken the switch over may ask it
//! for any port; a port can be a file that it reads or writes, and a socket of somebody else. So
//! only these are opened: paths that were named at the start, whatever is in their folders beside
//! them, and whatever is below folders that were allowed then.
//!
//! The folder of a path is taken as the kernel would find it, and so is a link in it: none leads
//! out. (Who may write there can put one in between. The switch may not: it has no right to make
//! one.) What is opened there is opened as its name says, not through this.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    parcel::Parcel,
    plug::opener::reason,
    topology::{PortKind, PortSpec},
};

/// A folder that has fewer parts, `/run` or `/`, is everybody's: what else is in it is not meant by
/// who names a path there.
const PARTS_MIN: usize = 3;

/// Where namespaces are, for whoever may look into them: of processes, ip-netns(8) and Docker. Of
/// anything else there nothing comes.
const NAMESPACES: [&str; 3] = ["/proc", "/run/netns", "/run/docker/netns"];

/// What may be opened.
#[derive(Default)]
pub(super) struct Places {
    /// These, each as it is found.
    paths: Vec<PathBuf>,
    /// What is in these.
    folders: Vec<PathBuf>,
    /// All that is below these.
    below: Vec<PathBuf>,
    /// Namespaces that ports of the start name, as they name them.
    namespaces: Vec<Option<String>>,
}

impl Places {
    /// From the texts of ports, and folders.
    pub(super) fn read(request: &mut Parcel) -> Result<Places, String> {
        let mut places = Places::default();
        for _ in 0..request.take_number().map_err(reason)? {
            let spec = PortSpec::parse_shown(&request.take_text().map_err(reason)?);
            let spec = spec.map_err(|faults| faults.to_string())?;
            // What is not there yet is found when it is.
            places.paths.extend(paths(&spec).into_iter().filter_map(|path| real(path).ok()));
            places.namespaces.push(spec.netns);
        }
        for _ in 0..request.take_number().map_err(reason)? {
            let folder = request.take_text().map_err(reason)?;
            let failed = |error| format!("`{folder}`: {}", reason(error));
            places.below.push(fs::canonicalize(&folder).map_err(failed)?);
        }
        let folders = places.paths.iter().filter_map(|path| path.parent().map(Path::to_owned));
        places.folders =
            folders.filter(|folder| folder.components().count() >= PARTS_MIN).collect();
        Ok(places)
    }

    /// Whether all that a spec names may be opened.
    pub(super) fn check(&self, spec: &PortSpec) -> Result<(), String> {
        paths(spec).into_iter().try_for_each(|path| self.check_path(&real(path)?))?;
        let unnamed = |netns: &&str| netns.contains('/') && !self.namespaces.contains(&spec.netns);
        let netns = spec.netns.as_deref().filter(unnamed).map(|netns| in_folder(netns.as_ref()));
        let known = |path: &PathBuf| NAMESPACES.iter().any(|folder| path.starts_with(folder));
        netns.transpose()?.filter(|path| !known(path)).map_or(Ok(()), |path| self.check_path(&path))
    }

    fn check_path(&self, path: &Path) -> Result<(), String> {
        let folder = path.parent().unwrap_or(path);
        if self.paths.iter().any(|named| named == path)
            || self.folders.iter().any(|named| named == folder)
            || self.below.iter().any(|above| folder.starts_with(above))
        {
            return Ok(());
        }
        let (path, folder) = (path.display(), folder.display());
        Err(format!(
            "`{path}` is beyond the folders that the switch was started with: start it anew with \
             `--allow-path {folder}`"
        ))
    }
}

/// The paths that are opened for a port.
fn paths(spec: &PortSpec) -> Vec<&Path> {
    match &spec.kind {
        PortKind::Stream(stream) => vec![&stream.path],
        // To the other end the switch itself sends.
        PortKind::Dgram(dgram) => vec![&dgram.local],
        PortKind::Vhost(vhost) => vec![&vhost.path],
        PortKind::Pcap(pcap) => pcap.input.iter().chain(&pcap.output).map(|p| &**p).collect(),
        // The switch makes the folder of VDE itself; the others are no files.
        PortKind::Vde(_) | PortKind::Udp(_) | PortKind::Tap(_) | PortKind::Tun(_) => Vec::new(),
        PortKind::Packet(_) | PortKind::Host(_) | PortKind::Veth(_) => Vec::new(),
        PortKind::Macvtap(_) | PortKind::Macvlan(_) => Vec::new(),
    }
}

/// Where a path leads.
fn real(path: &Path) -> Result<PathBuf, String> {
    match path.is_symlink() {
        true => fs::canonicalize(path)
            .map_err(|error| format!("`{}` leads nowhere: {}", path.display(), reason(error))),
        false => in_folder(path),
    }
}

/// Where its folder is, and its name in there.
fn in_folder(path: &Path) -> Result<PathBuf, String> {
    let name = path.file_name().ok_or_else(|| format!("`{}` is no file", path.display()))?;
    let folder = path.parent().filter(|at| !at.as_os_str().is_empty()).unwrap_or(".".as_ref());
    let found = fs::canonicalize(folder).map_err(|error| {
        let (path, folder) = (path.display(), folder.display());
        format!("{path}: its folder {folder} could not be opened: {}", netlab::explain(&error))
    })?;
    Ok(found.join(name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn places(ports: &[&str], below: &[&Path]) -> Result<Places, String> {
        let mut request = Parcel::default();
        request.put_number(ports.len() as u64);
        ports.iter().for_each(|port| request.put_text(port));
        request.put_number(below.len() as u64);
        below.iter().for_each(|folder| request.put_text(folder.to_str().unwrap()));
        Places::read(&mut request)
    }

    fn check(places: &Places, spec: &str) -> Result<(), String> {
        places.check(&spec.parse().unwrap())
    }

    #[test]
    fn what_was_named_its_folder_and_what_is_below_one_that_was_allowed_is_opened_and_no_more() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, other) = (one.path(), other.path());
        fs::create_dir(one.join("deep")).unwrap();
        fs::create_dir(other.join("deep")).unwrap();
        let named = format!("stream:{}", one.join("a").display());
        let places = places(&[&named, "tap:t0", "stream:/tmp/uswitch-named"], &[other]).unwrap();
        for path in [one.join("a"), one.join("b"), other.join("c"), other.join("deep/d")] {
            for kind in ["stream:", "pcap:in=", "pcap:out=", "dgram:"] {
                let rest = if kind == "dgram:" { ",/nowhere/to" } else { "" };
                assert_eq!(check(&places, &format!("{kind}{}{rest}", path.display())), Ok(()));
            }
        }
        assert_eq!(check(&places, "stream:/tmp/uswitch-named"), Ok(()));
        let deep = one.join("deep/e").display().to_string();
        for path in ["/etc/shadow", "/tmp/other", &deep, "/proc/self/environ"] {
            for kind in ["stream:", "pcap:in=", "pcap:out=", "dgram:"] {
                let rest = if kind == "dgram:" { ",/nowhere/to" } else { "" };
                let why = check(&places, &format!("{kind}{path}{rest}")).unwrap_err();
                assert!(why.contains("--allow-path"), "{kind}{path}: {why}");
            }
        }
        let why = check(&places, "stream:/no/such/folder").unwrap_err();
        assert!(why.contains("its folder /no/such could not be opened"), "{why}");
    }

    #[test]
    fn neither_a_link_nor_dots_lead_out() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, other) = (one.path(), other.path());
        fs::write(other.join("secret"), "").unwrap();
        symlink(other.join("secret"), one.join("file")).unwrap();
        symlink(other, one.join("folder")).unwrap();
        symlink(other.join("new"), one.join("dangling")).unwrap();
        let places = places(&[], &[one]).unwrap();
        let dots = format!("../{}/secret", other.file_name().unwrap().display());
        for path in ["file", "folder/secret", "dangling", &dots, ".."] {
            let spec = format!("pcap:out={},name=x", one.join(path).display());
            assert!(check(&places, &spec).is_err(), "{spec}");
        }
        symlink(one.join("real"), one.join("link")).unwrap();
        fs::write(one.join("real"), "").unwrap();
        assert_eq!(check(&places, &format!("pcap:out={}", one.join("link").display())), Ok(()));
    }

    #[test]
    fn namespaces_are_found_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(&[], &[]).unwrap();
        for netns in ["/proc/1/ns/net", "h1", "1234"] {
            assert_eq!(check(&places, &format!("tap:t0,netns={netns}")), Ok(()));
        }
        let other = format!("tap:t0,netns={}", folder.path().join("ns").display());
        assert!(check(&places, &other).is_err(), "to open a device may do something");
        let [named, beside] = ["ns", "beside"].map(|name| folder.path().join(name));
        let named = format!("tap:t1,netns={}", named.display());
        let places = self::places(&[&named], &[]).unwrap();
        assert_eq!(check(&places, &other), Ok(()), "it was named at the start");
        assert!(check(&places, &format!("tap:t0,netns={}", beside.display())).is_err());
        let file = format!("pcap:out={}", folder.path().join("ns").display());
        assert!(check(&places, &file).is_err(), "as a namespace");
    }
}
