//! Paths among the words of a spec.

use std::path::{Path, PathBuf};

/// A path that a file may have.
pub(super) fn parse_path(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("the path is empty".to_owned()),
        _ if text.contains('\0') => Err("the path has a zero octet in it".to_owned()),
        _ => Ok(PathBuf::from(text)),
    }
}

/// The last part of a path without what stands behind its dot: the name of its port.
pub(super) fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    stem.to_string_lossy().into_owned()
}
