//! An HTTP server on this machine that follows a script and writes everything down.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use shewhart::edge::clock;

use super::fake_smtp::{Gate, Proof, Wire, tls};

/// What the server answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Status line and headers, without the blank line, and no body.
    Head(String),
    /// Status line and headers, without the blank line, and this body.
    Whole(&'static str, &'static str),
    /// A status, then a body without end.
    Endless(u16),
    /// A status, then a body one byte at a time, for ever.
    Drip(u16),
    /// One byte of the status line at a time.
    DripHead,
    /// Nothing.
    Silence,
    /// Nothing, and this is all that is read of the request.
    SilenceAfter(Part),
    /// 200, once the test lets go.
    Hold,
    /// A promise of a long body, and a closed connection in the middle of it.
    Cut(u16),
    /// Something that is not HTTP.
    Garbage,
}

/// How much of a request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Nothing,
    Head,
    HalfBody,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Method and target.
    pub(crate) line: String,
    /// Names in lower case, and values.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// When its head was read.
    pub(crate) at: Instant,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// The server.
pub(crate) struct FakeHttp {
    addr: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    sent: Arc<Mutex<usize>>,
    stops: Arc<Stops>,
    /// The certificate, PEM, where it speaks TLS.
    pub(crate) certificate: String,
}

/// Where conversations stop, and how many did.
#[derive(Debug, Default)]
struct Stops {
    gate: Gate,
    stopped: Mutex<usize>,
    taken: Mutex<usize>,
}

impl FakeHttp {
    pub(crate) fn start(reply: Reply) -> Self {
        Self::start_script(vec![reply])
    }

    pub(crate) fn start_tls(reply: Reply, proof: Proof) -> Self {
        Self::launch(free_listener(), vec![reply], Some(proof))
    }

    /// The n-th request gets the n-th reply, later ones the last.
    pub(crate) fn start_script(replies: Vec<Reply>) -> Self {
        Self::launch(free_listener(), replies, None)
    }

    /// A server on an address where there was none.
    pub(crate) fn start_at(addr: SocketAddr, reply: Reply) -> Self {
        Self::launch(TcpListener::bind(addr).unwrap(), vec![reply], None)
    }

    fn launch(listener: TcpListener, replies: Vec<Reply>, proof: Option<Proof>) -> Self {
        let addr = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let sent = Arc::new(Mutex::new(0));
        let (secure, certificate) = proof.map(tls).unzip();
        let stops = Arc::new(Stops::default());
        let (record, count, shared) = (Arc::clone(&requests), Arc::clone(&sent), Arc::clone(&stops));
        std::thread::spawn(move || {
            let last = replies.last().cloned().unwrap();
            let replies = replies.into_iter().chain(std::iter::repeat(last));
            for (stream, reply) in listener.incoming().zip(replies) {
                let (reply, record, count, secure) =
                    (reply.clone(), Arc::clone(&record), Arc::clone(&count), secure.clone());
                let stops = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let stream = stream.unwrap();
                    let socket = stream.try_clone().unwrap();
                    drop(serve(stream, secure, &reply, (&record, &count, &stops)));
                    drop(socket.shutdown(Shutdown::Both));
                });
            }
        });
        Self { addr, requests, sent, stops, certificate: certificate.unwrap_or_default() }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn requests(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap()
    }

    /// Bytes of body that the client took.
    pub(crate) fn sent(&self) -> usize {
        *self.sent.lock().unwrap()
    }

    /// Conversations that stopped in a silence or are held so far.
    pub(crate) fn stopped(&self) -> usize {
        *self.stops.stopped.lock().unwrap()
    }

    /// Lets go who is held at a [`Reply::Hold`], and who will be.
    pub(crate) fn release(&self) {
        self.stops.gate.open();
    }

    /// Clients that took the answer of a [`Reply::Hold`] and left.
    pub(crate) fn taken(&self) -> usize {
        *self.stops.taken.lock().unwrap()
    }
}

fn free_listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn serve(
    tcp: TcpStream,
    secure: Option<Arc<ServerConfig>>,
    reply: &Reply,
    (record, sent, stops): (&Mutex<Vec<Request>>, &Mutex<usize>, &Stops),
) -> io::Result<()> {
    tcp.set_read_timeout(Some(Duration::from_mins(2)))?;
    tcp.set_write_timeout(Some(Duration::from_secs(5)))?;
    let socket = tcp.try_clone()?;
    let mut wire: Box<dyn Wire> = match secure {
        Some(config) => Box::new(StreamOwned::new(ServerConnection::new(config).map_err(io::Error::other)?, tcp)),
        None => Box::new(tcp),
    };
    let silent = |wire: &mut dyn Wire| {
        // Only the client ends it.
        socket.set_read_timeout(None)?;
        *stops.stopped.lock().unwrap() += 1;
        io::copy(&mut &mut *wire, &mut io::sink()).map(drop)
    };
    if matches!(reply, Reply::SilenceAfter(Part::Nothing)) {
        return silent(&mut wire);
    }
    let (mut request, length) = read_head(&mut wire)?;
    match reply {
        Reply::SilenceAfter(Part::Head) => return silent(&mut wire),
        Reply::SilenceAfter(_) => {
            wire.read_exact(&mut vec![0; length / 2])?;
            return silent(&mut wire);
        }
        _ => request.body.resize(length, 0),
    }
    wire.read_exact(&mut request.body)?;
    record.lock().unwrap().push(request);
    let pause = || std::sync::mpsc::channel::<()>().1.recv_timeout(Duration::from_millis(50)).ok();
    match reply {
        Reply::Head(head) => write!(wire, "{head}\r\nContent-Length: 0\r\n\r\n")?,
        Reply::Whole(head, body) => write!(wire, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?,
        Reply::Garbage => wire.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")?,
        Reply::Silence | Reply::SilenceAfter(_) => silent(&mut wire)?,
        Reply::Hold => {
            socket.set_read_timeout(None)?;
            *stops.stopped.lock().unwrap() += 1;
            stops.gate.pass();
            wire.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            wire.flush()?;
            io::copy(&mut wire, &mut io::sink())?;
            *stops.taken.lock().unwrap() += 1;
        }
        Reply::DripHead => {
            for byte in b"HTTP/1.1 200 OK\r\n".iter().cycle() {
                wire.write_all(&[*byte])?;
                pause();
            }
        }
        Reply::Cut(status) => write!(wire, "HTTP/1.1 {status} X\r\nContent-Length: 1000\r\n\r\nhalf")?,
        Reply::Endless(status) => {
            write!(wire, "HTTP/1.1 {status} X\r\nContent-Type: text/plain\r\n\r\n")?;
            loop {
                wire.write_all(&[b'x'; 8192])?;
                *sent.lock().unwrap() += 8192;
            }
        }
        Reply::Drip(status) => {
            write!(wire, "HTTP/1.1 {status} X\r\nContent-Type: text/plain\r\n\r\n")?;
            loop {
                wire.write_all(b"x")?;
                pause();
            }
        }
    }
    wire.flush()
}

/// A request without its body, and how long that is.
fn read_head(wire: &mut dyn Wire) -> io::Result<(Request, usize)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        wire.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).map_err(io::Error::other)?;
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let headers: Vec<_> =
        lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned())).collect();
    let length = headers.iter().find(|(n, _)| n == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
    Ok((Request { line, headers, body: Vec::new(), at: clock::instant() }, length))
}
