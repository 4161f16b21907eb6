//! Asking the running daemon, over the socket beside its database.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::args::PlaceArgs;
use super::table::plain_lines;
use super::{Invalid, Unavailable};
use crate::config::{Config, socket_beside};

/// How long the daemon may take: longer than it waits for itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Longest answer.
const ANSWER_MAX: u64 = 16 << 20;

/// The database of a daemon as the arguments name it.
pub(super) fn database(args: &PlaceArgs) -> anyhow::Result<PathBuf> {
    if let Some(db) = &args.db {
        return Ok(db.clone());
    }
    let config = Config::load(args.config.as_deref().unwrap_or_else(|| Path::new("shewhart.yaml")))?;
    Ok(config.database())
}

/// Sends a request and returns the `data` of the answer.
///
/// # Errors
/// That no daemon answers, or what it says against it.
pub(super) fn request(place: &PlaceArgs, method: &str, path: &str, body: &impl Serialize) -> anyhow::Result<Value> {
    let socket = socket_beside(&database(place)?);
    let mut body = serde_json::to_vec(body)?;
    if body == b"null" {
        // A body that nobody reads may make the daemon's end of the connection a reset instead of an answer.
        body.clear();
    }
    let (status, answer) = exchange(&socket, method, path, &body, ANSWER_WITHIN).map_err(|error| {
        let socket = socket.display();
        let help = "is the daemon running, and may this user open the socket?";
        Unavailable(format!("no daemon answers at {socket}: {error}; {help}"))
    })?;
    let answer: Value = serde_json::from_slice(&answer)
        .map_err(|error| Unavailable(format!("{} answers with something else: {error}", socket.display())))?;
    if status == 200 {
        return Ok(answer.get("data").cloned().unwrap_or_default());
    }
    let told = answer.get("error").and_then(Value::as_str).unwrap_or("it does not say why");
    // It may quote what was asked.
    let told = plain_lines(told);
    if status == 503 { Err(Unavailable(told).into()) } else { Err(Invalid(told).into()) }
}

/// One request by hand: the socket has no library of its own. The status and the body of the answer.
pub(super) fn exchange(
    socket: &Path,
    method: &str,
    path: &str,
    body: &[u8],
    within: Duration,
) -> std::io::Result<(u16, Vec<u8>)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    let end = stream.take(ANSWER_MAX).read_to_end(&mut answer);
    if answer.is_empty() {
        end?;
    }
    let broken = || std::io::Error::other("the answer is not HTTP");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(broken)?;
    let (head, body) = answer.split_at_checked(end + 4).ok_or_else(broken)?;
    let head = String::from_utf8_lossy(head);
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(broken)?;
    Ok((status, body.to_owned()))
}
