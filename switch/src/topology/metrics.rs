//! Where the counters of a switch can be read, in the words of a person.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

/// What stands before the path of a unix socket.
const UNIX: &str = "unix:";

/// Where metrics are to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsPlace {
    /// At an address of this machine.
    Address(SocketAddr),
    /// At a unix socket.
    Path(PathBuf),
}

impl FromStr for MetricsPlace {
    type Err = String;

    /// Reads what was typed, or a sentence that says what a place is like.
    fn from_str(text: &str) -> Result<MetricsPlace, String> {
        let path = text.strip_prefix(UNIX).filter(|path| !path.is_empty());
        match (path, text.parse()) {
            (Some(path), _) => Ok(MetricsPlace::Path(path.into())),
            (None, Ok(address)) => Ok(MetricsPlace::Address(address)),
            (None, Err(_)) => Err(format!(
                "`{}` is neither an address with a port, such as 127.0.0.1:9119 or [::1]:9119, \
                 nor unix:PATH",
                text.escape_debug()
            )),
        }
    }
}

impl fmt::Display for MetricsPlace {
    /// As it was typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetricsPlace::Address(address) => write!(f, "{address}"),
            MetricsPlace::Path(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_or_a_path() {
        for text in ["127.0.0.1:9119", "[::1]:9119", "0.0.0.0:0", "unix:/run/m", "unix:m"] {
            let place = text.parse::<MetricsPlace>().map(|place| place.to_string());
            assert_eq!(place.as_deref(), Ok(text));
        }
        for text in ["", "9119", ":9119", "localhost", "unix:", "127.0.0.1", "/run/m", "a:b\n"] {
            let why = text.parse::<MetricsPlace>().unwrap_err();
            assert!(why.contains("127.0.0.1:9119") && !why.contains('\n'), "{text}: {why}");
        }
    }
}
