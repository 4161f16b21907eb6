//! What clients of the HTTP interface may do to it: hang, send slowly, send too much, ask for nonsense.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use shewhart::config::Access;
use shewhart::edge::http::api::Api;
use shewhart::edge::http::{Limits, Places, serve};
use shewhart::edge::ledger::{Identity, Ledger};
use shewhart::edge::telemetry::{Board, Snapshot};
use shewhart::edge::{Happening, clock};

/// Longer than any test lasts: what ends by it has not ended.
const NEVER: Duration = Duration::from_mins(10);
/// For an answer, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// HTTP as the daemon serves it, in this process, over an empty database.
struct Served {
    at: SocketAddr,
    _folder: tempfile::TempDir,
    /// The loop's end: nobody answers what is asked of it.
    _asks: Receiver<Happening>,
}

impl Served {
    fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("shewhart.db");
        let identity = Identity { topic: "t".to_owned(), group_by: "agent".to_owned() };
        drop(Ledger::open_file(&database, &identity).unwrap());
        let board = Arc::new(Board::default());
        board.write(Snapshot { ticked_at: Some(clock::instant() + Duration::from_hours(24)), ..Snapshot::default() });
        let (asks, loop_end) = sync_channel(1);
        let access = Access { token: None, reload: true, hosts: Vec::new() };
        let address = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let places = Places { address, socket: None, limits };
        let at = serve(&places, Api { board, database, access, asks }).unwrap().unwrap();
        Self { at, _folder: folder, _asks: loop_end }
    }

    fn connect(&self) -> TcpStream {
        let wire = TcpStream::connect(self.at).unwrap();
        wire.set_read_timeout(Some(PATIENCE)).unwrap();
        wire
    }

    /// The whole answer to these bytes; empty where the connection was closed without one.
    fn answer(&self, request: &[u8]) -> String {
        let mut wire = self.connect();
        // It may be refused before it is sent whole.
        drop(wire.write_all(request));
        rest(&mut wire)
    }

    fn healthy(&self) -> bool {
        self.answer(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .starts_with("HTTP/1.1 200")
    }
}

fn rest(wire: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    match wire.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("still open: {error}"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

const fn patient() -> Limits {
    Limits { head: NEVER, body: NEVER, total: NEVER, connections: 64, body_bytes: 64 << 10 }
}

#[test]
fn a_thousand_connections_that_hang_keep_nobody_out() {
    // As many as there may be by default; that they are many more is what counts, not how long each may take.
    let served = Served::with(Limits { connections: 256, ..patient() });
    let mut hanging = Vec::new();
    for i in 0..1_000 {
        let mut wire = served.connect();
        match i % 3 {
            0 => {}
            1 => wire.write_all(b"GET /metrics HTTP/1.1\r\nHost: local").unwrap(),
            _ => {
                let head = b"POST /api/v1/silences HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{";
                wire.write_all(head).unwrap();
            }
        }
        hanging.push(wire);
        if i % 100 == 99 {
            assert!(served.healthy(), "after {i} connections");
        }
    }
    for path in ["/metrics", "/api/v1/alerts"] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert!(served.answer(head.as_bytes()).starts_with("HTTP/1.1 200"), "{path}");
    }
    let is_open = |mut wire: &TcpStream| {
        wire.set_nonblocking(true).unwrap();
        matches!(wire.read(&mut [0; 1]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let open = hanging.iter().filter(|wire| is_open(wire)).count();
    assert!(open <= 256, "{open} connections are still open");
}

#[test]
fn of_a_full_room_those_go_first_that_asked_for_nothing() {
    let served = Served::with(Limits { connections: 4, ..patient() });
    // It is asked, and waits for the loop, which answers nobody here.
    let mut asking = served.connect();
    asking.write_all(b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").unwrap();
    // That it is taken in can only be seen by another answer after it.
    assert!(served.healthy());
    let hanging: Vec<TcpStream> = (0..40).map(|_| served.connect()).collect();
    assert!(served.healthy());
    asking.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let error = asking.read(&mut [0; 1]).expect_err("an answer, or the connection was closed");
    assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{error}");
    drop(hanging);
}

#[test]
fn whoever_takes_too_long_is_left() {
    let short = Duration::from_millis(200);
    let head = b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab";
    // Nothing, and half a head.
    let served = Served::with(Limits { head: short, ..patient() });
    for sent in [&b""[..], b"GET /-/healthy HTTP/1.1\r\nHo"] {
        assert!(!served.answer(sent).contains("200 OK"));
    }
    // Half a body.
    let served = Served::with(Limits { body: short, ..patient() });
    let answer = served.answer(head);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("the body took too long"), "{answer}");
    // Whatever it is that takes so long.
    let served = Served::with(Limits { total: short, ..patient() });
    assert_eq!(served.answer(head), "");
    assert!(served.healthy());
}

#[test]
fn what_is_too_long_is_refused_by_its_promise_and_by_what_comes() {
    let served = Served::with(Limits { body_bytes: 1_000, ..patient() });
    let post = "POST /api/v1/silences HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let three_megabytes = "x".repeat(3 << 20);
    for request in [
        // Before a byte of it came.
        format!("{post}Content-Length: 1001\r\n\r\n"),
        format!("{post}Content-Length: {}\r\n\r\n{three_megabytes}", three_megabytes.len()),
        format!("{post}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{three_megabytes}", three_megabytes.len()),
    ] {
        let answer = served.answer(request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 413"), "{} bytes: {answer}", request.len());
    }
    let fits = format!("{post}Content-Length: 1000\r\n\r\n{}", "x".repeat(1_000));
    assert!(served.answer(fits.as_bytes()).starts_with("HTTP/1.1 403"), "no token, but not too long");
    let long_head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {three_megabytes}\r\n\r\n");
    assert!(served.answer(long_head.as_bytes()).starts_with("HTTP/1.1 431"));
}

#[test]
fn every_answer_is_shut_to_other_pages() {
    let served = Served::with(patient());
    for (request, code) in [
        ("GET /-/healthy", 200),
        ("GET /-/ready", 503),
        ("GET /metrics", 200),
        ("GET /api/v1/alerts", 200),
        ("GET /api/v1/rules", 200),
        ("GET /api/v1/silences", 200),
        ("POST /api/v1/silences", 403),
        ("DELETE /api/v1/silences/1", 403),
        ("POST /api/v1/alerts/ack", 403),
        ("GET /nowhere", 404),
        ("PUT /metrics", 405),
    ] {
        let answer =
            served.answer(format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes());
        let head = answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
        assert!(head.starts_with(&format!("http/1.1 {code} ")), "{request}: {head}");
        for header in [
            "content-security-policy: default-src 'none'; frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(head.contains(header), "{request} has no {header}:\n{head}");
        }
        assert!(!head.contains("access-control-") && !head.contains("server:"), "{head}");
    }
    let foreign = served.answer(b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert!(foreign.starts_with("HTTP/1.1 421") && foreign.contains("x-content-type-options: nosniff"), "{foreign}");
}

/// A request of random parts, most of them nearly right.
fn odd(dice: &mut ChaCha8Rng) -> Vec<u8> {
    let mut one = |of: &[&str]| of[dice.random_range(0..of.len())].to_owned();
    let method = one(&["GET", "GET", "POST", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "get", "\u{0}", ""]);
    let path = one(&[
        "/-/healthy",
        "/-/ready",
        "/metrics",
        "/-/reload",
        "/api/v1/alerts",
        "/api/v1/alerts/ack",
        "/api/v1/rules",
        "/api/v1/silences",
        "/api/v1/silences/0123456789abcdef0123456789abcdef",
        "/api/v1/silences/'; DROP TABLE alerts; --",
        "/api/v1/silences/%00",
        "/api/v1/silences/../../../etc/passwd",
        "//",
        "*",
        "http://evil.example/",
        "/api/v1/alerts?a=%ff&b=\u{e4}",
        "",
    ]);
    let version = one(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "x"]);
    let header = one(&[
        "",
        "Authorization: Bearer \u{e4}\r\n",
        "Authorization: Basic Og==\r\n",
        "Accept: application/openmetrics-text\r\n",
        "Expect: 100-continue\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: -1\r\n",
        "Content-Type: text/plain\r\n",
        "Origin: null\r\n",
        "Upgrade: websocket\r\nConnection: upgrade\r\n",
        "X: y\r\n folded\r\n",
    ]);
    let body = one(&[
        "",
        "{}",
        "[]",
        "{\"matchers\":[\"agent=x\"],\"comment\":\"c\",\"ends_at\":\"2099-01-01T00:00:00Z\"}",
        "{\"matchers\":[\"agent=~(((\"],\"comment\":\"\u{202e}\",\"ends_at\":\"x\"}",
        "{\"alert\":\"'\",\"note\":\"\"}",
        "\u{0}\u{1}",
        "5\r\nhello\r\n0\r\n\r\n",
    ]);
    let host =
        one(&["Host: localhost\r\n", "Host: localhost\r\n", "Host: evil.example\r\n", "", "Host: a\r\nHost: b\r\n"]);
    let length = if header.contains("Transfer") || header.contains("Length") {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let mut request =
        format!("{method} {path} {version}\r\n{host}Connection: close\r\n{header}{length}\r\n{body}").into_bytes();
    if dice.random_ratio(1, 20) {
        let at = dice.random_range(0..request.len());
        request[at] = dice.random();
    }
    request
}

#[test]
fn ten_thousand_odd_requests_get_no_fault_of_ours_and_nothing_of_the_inside() {
    // A reload is asked of a loop that answers nobody here, and left out; what hangs is left soon.
    let short = Duration::from_millis(100);
    let served = Served::with(Limits { head: short, body: short, total: Duration::from_secs(20), ..Limits::default() });
    let mut dice = ChaCha8Rng::seed_from_u64(47);
    let mut codes = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..10_000 {
        let request = odd(&mut dice);
        if request.windows(8).any(|part| part == b"/-/reloa") {
            continue;
        }
        let answer = served.answer(&request);
        let told = || format!("{:?}\n{answer}", String::from_utf8_lossy(&request));
        let code = answer.split(' ').nth(1).unwrap_or("none").to_owned();
        // Not ready is an answer.
        let asks_readiness = String::from_utf8_lossy(&request).contains("/-/ready");
        assert!(!code.starts_with('5') || asks_readiness && code == "503", "{}", told());
        let lower = answer.to_ascii_lowercase();
        for inside in ["/src/", "sqlite", ".rs:", "panicked at", "/tmp/", "select ", "no such table"] {
            assert!(!lower.contains(inside), "{inside}: {}", told());
        }
        *codes.entry(code).or_default() += 1;
    }
    for code in ["200", "400", "403", "404", "405", "421"] {
        assert!(codes.get(code).is_some_and(|n| *n > 20), "{code}: {codes:?}");
    }
    assert!(served.healthy());
}
