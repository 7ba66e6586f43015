//! Where control sockets are, how ours comes there, and which switches can be found.

use std::{
    env,
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt, chown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{Flock, FlockArg},
    unistd::{Gid, Group, geteuid},
};
use uswitch::port::unix::{Bound, listen_at};

/// What a switch is called that was given no name.
pub(crate) const NAME_DEFAULT: &str = "uswitch";
/// Octets of a switch's name.
const NAME_MAX: usize = 63;
/// Where the sockets are, for whom this is set: for tests, and for who keeps them elsewhere.
const FOLDER_VARIABLE: &str = "USWITCH_RUNTIME_DIR";
/// Behind a name, the file.
const ENDING: &str = ".sock";

/// The name of a switch.
///
/// # Errors
///
/// A sentence that says what a name is like.
pub(crate) fn check_name(name: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(plain) || name.starts_with('.')
    {
        return Err(format!(
            "`{}` cannot be a switch's name: that has 1 to {NAME_MAX} letters, digits, `.`, `_` \
             and `-`, and no `.` in front",
            name.escape_debug()
        ));
    }
    Ok(name.to_owned())
}

/// The group with this name or number.
///
/// # Errors
///
/// A sentence: there is none.
pub(crate) fn find_group(name: &str) -> Result<Gid, String> {
    if let Ok(number) = name.parse() {
        return Ok(Gid::from_raw(number));
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid),
        Ok(None) => Err(format!("there is no group `{}`", name.escape_debug())),
        Err(errno) => Err(format!("group `{}`: {}", name.escape_debug(), errno.desc())),
    }
}

/// The folders in which switches may be found that we may steer; ours would be in the first.
fn folders() -> Vec<PathBuf> {
    if let Some(folder) = env::var_os(FOLDER_VARIABLE).filter(|folder| !folder.is_empty()) {
        return vec![folder.into()];
    }
    let common = PathBuf::from("/run/uswitch");
    if geteuid().is_root() {
        return vec![common];
    }
    let own = env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    own.map(|folder| Path::new(&folder).join("uswitch")).into_iter().chain([common]).collect()
}

/// Makes the socket of the switch of this name, and says in which folder.
///
/// # Errors
///
/// A sentence that says what helps.
pub(super) fn listen(
    name: &str,
    group: Option<Gid>,
) -> Result<(UnixListener, Bound, PathBuf), String> {
    let folders = folders();
    let [folder, ..] = &*folders else { unreachable!("there is one folder at least") };
    if folders.len() == 1 && !geteuid().is_root() && env::var_os(FOLDER_VARIABLE).is_none() {
        return Err("there is no control socket, for XDG_RUNTIME_DIR is not set; `--no-control` \
                    does without"
            .to_owned());
    }
    let path = folder.join(format!("{name}{ENDING}"));
    let failed = |what: &str, error: &io::Error| {
        let (path, reason) = (path.display(), netlab::reason(error));
        format!(
            "there is no control socket: {path}: could not {what}: {reason}; `--no-control` \
                 does without"
        )
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .map_err(|error| failed("make its folder", &error))?;
    // Of two that find the same socket left behind, the second would remove the first one's.
    let lock = File::open(folder).map_err(|error| failed("open its folder", &error))?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive)
        .map_err(|(_, errno)| failed("lock its folder", &errno.into()))?;
    let (listener, bound) = listen_at(&path, Some(0o600)).map_err(|error| {
        if error.is_served() {
            return format!(
                "there is no control socket: a switch named `{name}` runs already; give this one \
                 another name with `--name`"
            );
        }
        format!("there is no control socket: {error}; `--no-control` does without")
    })?;
    if let Some(group) = group {
        // In this order: nobody's group has the rights for a moment.
        chown(&path, None, Some(group.as_raw()))
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o660)))
            .map_err(|error| failed("give it to its group", &error))?;
    }
    Ok((listener, bound, folder.clone()))
}

/// The names of the switches that run and may be steered.
pub(crate) fn running() -> Vec<String> {
    let live = sockets().into_iter().filter(|(_, path)| UnixStream::connect(path).is_ok());
    live.map(|(name, _)| name).collect()
}

/// Connects to the switch of this name or path; without one to the only one that runs, or to the
/// one that was given no name either.
///
/// # Errors
///
/// A sentence: there is none, or several, or it may not be.
pub(crate) fn connect(name: Option<&str>) -> Result<UnixStream, String> {
    if let Some(path) = name.filter(|name| name.contains('/')) {
        return UnixStream::connect(path).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => not_ours(path),
            _ => format!("no switch can be reached at {path}: {}", netlab::reason(&error)),
        });
    }
    let mut live = Vec::new();
    let mut closed = Vec::new();
    for (found, path) in sockets() {
        match UnixStream::connect(&path) {
            Ok(socket) => live.push((found, socket)),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => closed.push(found),
            // It was left behind, or is no socket.
            Err(_) => {}
        }
    }
    let names = live.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let wanted = match (name, &*live) {
        (Some(name), _) => name,
        (None, [(only, _)]) => &only.clone(),
        (None, _) => NAME_DEFAULT,
    };
    if let Some(index) = live.iter().position(|(name, _)| name == wanted) {
        return Ok(live.swap_remove(index).1);
    }
    let refused = closed.iter().find(|closed| name.is_none_or(|name| name == **closed));
    match (name, refused) {
        (_, Some(closed)) => Err(not_ours(closed)),
        (None, _) if live.is_empty() => {
            let folders = folders().iter().map(|f| f.display().to_string()).collect::<Vec<_>>();
            let folders = folders.join(" and ");
            Err(format!(
                "no switch runs that could be steered: there is none in {folders}; start one, as \
                 in `uswitch --ports tap0,tap1`"
            ))
        }
        (None, _) => Err(format!("several switches run: {names}; say which with `-n NAME`")),
        (Some(name), _) if live.is_empty() => {
            Err(format!("no switch is named `{}`, and no other runs", name.escape_debug()))
        }
        (Some(name), _) => {
            Err(format!("no switch is named `{}`; there are: {names}", name.escape_debug()))
        }
    }
}

fn not_ours(name: &str) -> String {
    format!(
        "`{name}` runs, but may be steered only by root, its own user and its `--socket-group`: \
         say it with sudo"
    )
}

/// The sockets that there are, each with the name of its switch, each name once, in order.
fn sockets() -> Vec<(String, PathBuf)> {
    let mut sockets: Vec<(String, PathBuf)> = Vec::new();
    for folder in folders() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> =
            names.filter_map(|name| Some(name.strip_suffix(ENDING)?.to_owned())).collect();
        names.sort();
        for name in names {
            if sockets.iter().all(|(known, _)| *known != name) {
                let path = folder.join(format!("{name}{ENDING}"));
                sockets.push((name, path));
            }
        }
    }
    sockets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_and_no_path() {
        for name in ["uswitch", "lab-1", "a.b_C", &"x".repeat(NAME_MAX)] {
            assert_eq!(check_name(name).as_deref(), Ok(name));
        }
        for name in ["", ".", "..", ".a", "a/b", "a b", "é", "a\n", &"x".repeat(NAME_MAX + 1)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_group_is_a_name_or_a_number() {
        assert_eq!(find_group("root"), Ok(Gid::from_raw(0)));
        assert_eq!(find_group("4711"), Ok(Gid::from_raw(4711)));
        assert!(find_group("no such group").is_err() && find_group("-1").is_err());
    }
}
