//! A mail server on this machine that follows a script and writes everything down, and a reader for what it got.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What the server does instead of its usual answer.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Answers this.
    Say(&'static str),
    /// Says nothing until the client goes away.
    Silence,
    /// Waits until the test lets go, then answers as usual.
    Hold,
    /// Closes the connection.
    Cut,
    /// Sends one byte of a line that never ends, again and again.
    Drip,
    /// Sends this many bytes of one line.
    Flood(usize),
}

/// How the server protects connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Not at all, and offers nothing.
    #[default]
    Plain,
    /// After STARTTLS.
    Starttls,
    /// From the first byte.
    Tls,
}

/// One connection's script: what to do at a verb (`CONNECT`, `EHLO`, `STARTTLS`, `AUTH`, `MAIL`, `RCPT`, `DATA`,
/// `HALF` for the middle of the mail, `BODY` for its end), by recipient where `RCPT` is followed by a space and the address.
pub(crate) type Script = BTreeMap<&'static str, Act>;

/// What the server saw.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Connections so far.
    pub(crate) connections: usize,
    /// Command lines, each with whether it came over TLS.
    pub(crate) commands: Vec<(bool, String)>,
    /// Mails, as sent, dots unstuffed.
    pub(crate) mails: Vec<Vec<u8>>,
    /// Conversations that stopped at a [`Act::Silence`] or [`Act::Hold`] so far.
    pub(crate) stopped: usize,
}

/// What servers wait at until the test lets go.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    /// Lets everybody go who waits, and who comes later.
    pub(crate) fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    /// Waits until it is open.
    pub(crate) fn pass(&self) {
        let shut = self.open.lock().unwrap();
        drop(self.opened.wait_while(shut, |open| !*open).unwrap_or_else(PoisonError::into_inner));
    }
}

/// The server.
pub(crate) struct FakeSmtp {
    addr: SocketAddr,
    record: Arc<Mutex<Record>>,
    /// Where every [`Act::Hold`] waits.
    pub(crate) gate: Arc<Gate>,
    /// The certificate, PEM.
    pub(crate) certificate: String,
}

/// Which certificate a server shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    Good,
    WrongName,
    Expired,
}

impl FakeSmtp {
    /// A server on a free port; the n-th connection follows the n-th script, later ones the last.
    pub(crate) fn start(mode: Mode, scripts: Vec<Script>) -> Self {
        Self::start_with(mode, scripts, Proof::Good)
    }

    pub(crate) fn start_with(mode: Mode, scripts: Vec<Script>, proof: Proof) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").unwrap(), mode, scripts, proof)
    }

    /// A server on an address where there was none.
    pub(crate) fn start_at(addr: SocketAddr, mode: Mode, scripts: Vec<Script>) -> Self {
        Self::serve(TcpListener::bind(addr).unwrap(), mode, scripts, Proof::Good)
    }

    fn serve(listener: TcpListener, mode: Mode, scripts: Vec<Script>, proof: Proof) -> Self {
        let addr = listener.local_addr().unwrap();
        let (tls, certificate) = tls(proof);
        let record = Arc::new(Mutex::new(Record::default()));
        let shared = Arc::clone(&record);
        let gate = Arc::new(Gate::default());
        let shared_gate = Arc::clone(&gate);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let number = {
                    let mut record = shared.lock().unwrap();
                    record.connections += 1;
                    record.connections - 1
                };
                let script = scripts.get(number).or(scripts.last()).cloned().unwrap_or_default();
                let (record, tls, gate) = (Arc::clone(&shared), Arc::clone(&tls), Arc::clone(&shared_gate));
                std::thread::spawn(move || Session { mode, script, record, tls, gate }.run(stream));
            }
        });
        Self { addr, record, gate, certificate }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn server(&self) -> String {
        self.addr.to_string()
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap()
    }
}

/// A certificate of our own and the server's side of TLS.
pub(crate) fn tls(proof: Proof) -> (Arc<ServerConfig>, String) {
    let name = if proof == Proof::WrongName { "mail.example.com" } else { "127.0.0.1" };
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    if proof == Proof::Expired {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    (Arc::new(config), certificate.pem())
}

pub(crate) trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

struct Session {
    mode: Mode,
    script: Script,
    record: Arc<Mutex<Record>>,
    tls: Arc<ServerConfig>,
    gate: Arc<Gate>,
}

impl Session {
    /// Ends with the first error: the client is gone, or the script says so.
    fn run(self, tcp: TcpStream) {
        tcp.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
        tcp.set_nodelay(true).unwrap();
        let socket = tcp.try_clone().unwrap();
        drop(self.talk(tcp, &socket));
        drop(socket.shutdown(Shutdown::Both));
    }

    fn talk(&self, tcp: TcpStream, socket: &TcpStream) -> io::Result<()> {
        if self.script.values().any(|act| matches!(act, Act::Silence | Act::Hold)) {
            // Only the client ends a conversation that is stopped on purpose.
            socket.set_read_timeout(None)?;
        }
        let mut secure = self.mode == Mode::Tls;
        let mut plain = Some(tcp.try_clone()?);
        let mut wire: Box<dyn Wire> = if secure { self.secured(tcp)? } else { Box::new(tcp) };
        self.answer(&mut wire, "CONNECT", "220 fake ESMTP")?;
        loop {
            let line = read_line(&mut wire)?;
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            self.record.lock().unwrap().commands.push((secure, line.clone()));
            match verb.as_str() {
                "EHLO" if self.mode == Mode::Starttls && !secure => {
                    self.answer(&mut wire, "EHLO", "250-fake\r\n250 STARTTLS")?;
                }
                "EHLO" => self.answer(&mut wire, "EHLO", "250-fake\r\n250 AUTH PLAIN LOGIN")?,
                "STARTTLS" => {
                    self.answer(&mut wire, "STARTTLS", "220 go")?;
                    wire = self.secured(plain.take().ok_or(io::ErrorKind::InvalidInput)?)?;
                    secure = true;
                }
                "AUTH" => self.answer(&mut wire, "AUTH", "235 welcome")?,
                "MAIL" => self.answer(&mut wire, "MAIL", "250 ok")?,
                "RCPT" => {
                    let to = line.split(['<', '>']).nth(1).unwrap_or_default();
                    let own = self.script.keys().find(|k| k.strip_prefix("RCPT ") == Some(to));
                    self.answer(&mut wire, own.unwrap_or(&"RCPT"), "250 ok")?;
                }
                "DATA" => {
                    self.answer(&mut wire, "DATA", "354 go")?;
                    if matches!(self.script.get("DATA"), Some(Act::Say(reply)) if !reply.starts_with("354")) {
                        continue;
                    }
                    if self.script.contains_key("HALF") {
                        (0..20).try_for_each(|_| read_line(&mut wire).map(drop))?;
                        self.answer(&mut wire, "HALF", "")?;
                    }
                    let mail = read_mail(&mut wire)?;
                    self.record.lock().unwrap().mails.push(mail);
                    self.answer(&mut wire, "BODY", "250 accepted")?;
                }
                "QUIT" => return self.answer(&mut wire, "QUIT", "221 bye"),
                _ => wire.write_all(b"500 what?\r\n")?,
            }
        }
    }

    fn secured(&self, tcp: TcpStream) -> io::Result<Box<dyn Wire>> {
        let server = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
        Ok(Box::new(StreamOwned::new(server, tcp)))
    }

    fn answer(&self, wire: &mut dyn Wire, verb: &str, usual: &str) -> io::Result<()> {
        match self.script.get(verb) {
            None => wire.write_all(format!("{usual}\r\n").as_bytes()),
            Some(Act::Say(text)) => wire.write_all(format!("{text}\r\n").as_bytes()),
            Some(Act::Cut) => Err(io::ErrorKind::ConnectionAborted.into()),
            Some(Act::Silence) => {
                self.record.lock().unwrap().stopped += 1;
                io::copy(&mut &mut *wire, &mut io::sink())?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Some(Act::Hold) => {
                self.record.lock().unwrap().stopped += 1;
                self.gate.pass();
                wire.write_all(format!("{usual}\r\n").as_bytes())
            }
            Some(Act::Flood(bytes)) => {
                wire.write_all(b"250-")?;
                wire.write_all(&vec![b'x'; *bytes])?;
                wire.write_all(b"\r\n250 done\r\n")
            }
            Some(Act::Drip) => loop {
                wire.write_all(b"2")?;
                wire.flush()?;
                // The only clock here: the scripts' own.
                std::sync::mpsc::channel::<()>().1.recv_timeout(Duration::from_millis(10)).ok();
            },
        }
    }
}

fn read_line(wire: &mut dyn Wire) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        wire.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).map_err(io::Error::other)
}

fn read_mail(wire: &mut dyn Wire) -> io::Result<Vec<u8>> {
    let mut mail = Vec::new();
    loop {
        let line = read_line(wire)?;
        if line == "." {
            return Ok(mail);
        }
        mail.extend_from_slice(line.strip_prefix('.').unwrap_or(&line).as_bytes());
        mail.extend_from_slice(b"\r\n");
    }
}

/// A mail as a mail program reads it.
#[derive(Debug)]
pub(crate) struct Letter {
    /// Header names and unfolded values, in order.
    pub(crate) headers: Vec<(String, String)>,
    /// Content types and decoded contents of all parts that are text, however deep.
    pub(crate) parts: Vec<(String, String)>,
    /// Content ids and decoded contents of all pictures.
    pub(crate) pictures: Vec<(String, Vec<u8>)>,
    /// Bytes of the longest line.
    pub(crate) longest: usize,
}

impl Letter {
    /// Reads a mail whose texts are in quoted-printable and whose pictures are in base64.
    pub(crate) fn read(raw: &[u8]) -> Self {
        let text = std::str::from_utf8(raw).expect("mails are ASCII");
        assert!(text.is_ascii());
        assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']), "bare line ends");
        let longest = text.split("\r\n").map(str::len).max().unwrap_or(0);
        let (headers, body) = split_headers(text);
        let mut letter = Self { parts: Vec::new(), pictures: Vec::new(), headers, longest };
        letter.read_part(&letter.headers.clone(), body);
        letter
    }

    fn read_part(&mut self, headers: &[(String, String)], body: &str) {
        let header = |name: &str| headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value);
        let kind = header("Content-Type");
        if kind.starts_with("image/") {
            assert_eq!(header("Content-Transfer-Encoding"), "base64");
            assert_eq!(header("Content-Disposition"), "inline");
            let id = header("Content-ID").trim_matches(['<', '>']).to_owned();
            self.pictures.push((id, base64_decode(&body.replace("\r\n", ""))));
            return;
        }
        let Some(boundary) = kind.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()) else {
            self.parts.push((kind.to_owned(), unquote(body)));
            return;
        };
        let mut sections: Vec<_> = body.split(&format!("--{boundary}")).collect();
        assert_eq!(sections.pop().map(str::trim), Some("--"));
        for section in sections.iter().skip(1) {
            let (headers, body) = split_headers(section.trim_start_matches("\r\n"));
            self.read_part(&headers, body.strip_suffix("\r\n").unwrap_or(body));
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(n, _)| n == name);
        let value = found.next().map_or("", |(_, value)| value);
        assert!(found.next().is_none(), "{name} twice");
        value
    }

    /// The subject with its encoded words decoded.
    pub(crate) fn subject(&self) -> String {
        let mut out = Vec::new();
        let mut after_encoded = false;
        for word in self.header("Subject").split(' ') {
            let encoded = word.strip_prefix("=?utf-8?b?").and_then(|w| w.strip_suffix("?="));
            let joined = after_encoded && encoded.is_some();
            if !out.is_empty() && !joined {
                out.push(b' ');
            }
            match encoded {
                Some(encoded) => out.extend(base64_decode(encoded)),
                None => out.extend(word.bytes()),
            }
            after_encoded = encoded.is_some();
        }
        String::from_utf8(out).unwrap()
    }
}

pub(crate) fn base64_decode(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = 0_u32;
    let mut have = 0;
    let mut out = Vec::new();
    for byte in text.bytes().filter(|b| *b != b'=') {
        bits = bits << 6 | ALPHABET.iter().position(|a| *a == byte).unwrap() as u32;
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    out
}

fn split_headers(text: &str) -> (Vec<(String, String)>, &str) {
    let (head, body) = text.split_once("\r\n\r\n").expect("a blank line after the headers");
    let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let pair = |line: &str| line.split_once(": ").map(|(n, v)| (n.to_owned(), v.to_owned()));
    (head.split("\r\n").map(|line| pair(line).unwrap_or_else(|| panic!("no header: {line:?}"))).collect(), body)
}

fn unquote(text: &str) -> String {
    let joined = text.replace("=\r\n", "").replace("\r\n", "\n");
    let mut out = Vec::new();
    let mut bytes = joined.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'=' {
            let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
            out.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).unwrap()
}
