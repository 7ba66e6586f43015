//! A request for metrics: as much of HTTP as a scraper speaks (RFC 9110, RFC 9112).

/// What the octets so far are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Not whole yet.
    Begun,
    /// The metrics.
    Metrics {
        /// In OpenMetrics, or in the older format.
        open: bool,
        /// HEAD: nothing but the head of the answer.
        head: bool,
    },
    /// Refused: the status, and a sentence.
    Refused(Status, String),
}

/// The status of an answer (RFC 9110 section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    Timeout,
    TooLarge,
    Unavailable,
    Version,
}

impl Status {
    /// The number and the phrase.
    pub(super) fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::Timeout => "408 Request Timeout",
            // RFC 6585 section 5.
            Status::TooLarge => "431 Request Header Fields Too Large",
            Status::Unavailable => "503 Service Unavailable",
            Status::Version => "505 HTTP Version Not Supported",
        }
    }
}

/// Content type by which a scraper says that it reads OpenMetrics.
const OPENMETRICS: &str = "application/openmetrics-text";

impl Request {
    /// Reads the head of a request. What comes behind it is not looked at: the connection ends
    /// with the answer.
    pub(super) fn read(octets: &[u8]) -> Request {
        let Some(head) = head(octets) else { return Request::Begun };
        let bad = |why: &str| Request::Refused(Status::BadRequest, why.to_owned());
        let Ok(text) = str::from_utf8(head) else { return bad("this is no text") };
        let mut lines = text.lines();
        // RFC 9112 section 3: method SP request-target SP HTTP-version.
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return bad("this is no request of HTTP: its first line has three words");
        };
        if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
            if !version.starts_with("HTTP/") {
                return bad("this is no request of HTTP");
            }
            let why = "HTTP/1.1 and HTTP/1.0 are spoken here".to_owned();
            return Request::Refused(Status::Version, why);
        }
        let (mut open, mut hosts) = (false, 0);
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                return bad("there is a line without a colon");
            };
            match &*name.to_ascii_lowercase() {
                "accept" => open |= value.to_ascii_lowercase().contains(OPENMETRICS),
                "host" => hosts += 1,
                _ => {}
            }
        }
        // RFC 9112 section 3.2.
        if hosts > 1 || hosts == 0 && version == "HTTP/1.1" {
            return bad("a request of HTTP/1.1 has one Host");
        }
        if !matches!(method, "GET" | "HEAD") {
            let why = "the metrics can be had by GET and HEAD".to_owned();
            return Request::Refused(Status::MethodNotAllowed, why);
        }
        if path(target) != "/metrics" {
            let why = "there is nothing here but /metrics".to_owned();
            return Request::Refused(Status::NotFound, why);
        }
        Request::Metrics { open, head: method == "HEAD" }
    }
}

/// What stands before the first empty line (RFC 9112 section 2.2: a bare LF ends a line, too).
fn head(octets: &[u8]) -> Option<&[u8]> {
    let end = |pattern: &[u8]| octets.windows(pattern.len()).position(|at| at == pattern);
    let ends = [end(b"\n\r\n"), end(b"\n\n")];
    let head = ends.into_iter().flatten().min().map(|end| &octets[..end])?;
    Some(head.strip_suffix(b"\r").unwrap_or(head))
}

/// The path of a target in origin-form or absolute-form (RFC 9112 section 3.2).
fn path(target: &str) -> &str {
    let rest =
        target.strip_prefix("http://").map(|rest| rest.find('/').map_or("/", |i| &rest[i..]));
    let path = rest.unwrap_or(target);
    path.split_once('?').map_or(path, |(path, _)| path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn status(text: &str) -> Status {
        match Request::read(text.as_bytes()) {
            Request::Refused(status, why) => {
                assert!(!why.is_empty());
                status
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_scraper_is_understood() {
        let plain = Request::Metrics { open: false, head: false };
        let curl = b"GET /metrics HTTP/1.1\r\nHost: localhost:9119\r\nAccept: */*\r\n\r\n";
        assert_eq!(Request::read(curl), plain);
        let prometheus = "GET /metrics?a=b HTTP/1.1\r\nhost: a\r\naccept: application/openmetrics-\
            text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2\r\nX: y\r\n\r\n";
        let open = Request::Metrics { open: true, head: false };
        assert_eq!(Request::read(prometheus.as_bytes()), open);
        assert_eq!(Request::read(b"GET http://a:1/metrics HTTP/1.0\n\n"), plain);
        let head = b"HEAD /metrics HTTP/1.1\r\nHost:\r\n\r\nand what comes behind";
        assert_eq!(Request::read(head), Request::Metrics { open: false, head: true });
        for len in 0..curl.len() {
            assert_eq!(Request::read(&curl[..len]), Request::Begun, "{len}");
        }
    }

    #[test]
    fn others_are_told_what_is_wrong() {
        let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        for target in ["/", "/metric", "/metrics/", "*", "http://a", "/%6detrics", "//metrics"] {
            assert_eq!(status(&get(target)), Status::NotFound, "{target}");
        }
        assert_eq!(status("POST /metrics HTTP/1.1\nHost: a\n\n"), Status::MethodNotAllowed);
        assert_eq!(status("GET / HTTP/1.0\r\n\r\n"), Status::NotFound);
        assert_eq!(status("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Status::Version);
        for text in [
            "\n\n",
            "GET /metrics\r\n\r\n",
            "GET  /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /metrics HTTP/1.1\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nHost a\r\n\r\n",
            "{\"v\":1} a b\n\n",
        ] {
            assert_eq!(status(text), Status::BadRequest, "{text}");
        }
        assert!(matches!(Request::read(b"\xff\n\n"), Request::Refused(Status::BadRequest, _)));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_to_its_end(
            octets in proptest::collection::vec(any::<u8>(), 0..300),
            words in "(GET|HEAD|PUT) [ -~]{0,20} HTTP/[0-9.]{1,3}(\r?\n[ -~]{0,20}){0,4}",
        ) {
            Request::read(&octets);
            let whole = format!("{words}\r\n\r\n");
            prop_assert_ne!(Request::read(whole.as_bytes()), Request::Begun);
        }
    }
}
