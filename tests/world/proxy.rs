//! A line between two programs that a test makes bad: slow, late, cut, reset, half dead, or with bytes turned over.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shewhart::edge::clock;
use socket2::SockRef;

/// What the line does to what goes over it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Nothing.
    #[default]
    Fair,
    /// Every piece comes so much later.
    Late(Duration),
    /// So many bytes a second in each direction.
    Narrow(usize),
    /// New connections end at once.
    Closed,
    /// New connections are reset at once, those that are open with their next byte.
    Reset,
    /// What is sent is taken, and nothing ever comes back.
    HalfOpen,
    /// Ends after so many bytes in either direction.
    CutAfter(usize),
    /// Every so many bytes of what comes back have a bit turned over.
    Flipped(usize),
}

/// The line: whoever connects to it is led to the server behind it.
pub(crate) struct Proxy {
    address: SocketAddr,
    weather: Arc<Mutex<Weather>>,
}

impl Proxy {
    /// A line to a server, in fair weather.
    pub(crate) fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let weather = Arc::new(Mutex::new(Weather::Fair));
        let sky = Arc::clone(&weather);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let sky = Arc::clone(&sky);
                // A line that breaks is what this is for.
                std::thread::spawn(move || drop(lead(client, server, &sky)));
            }
        });
        Self { address, weather }
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather, for open connections too.
    pub(crate) fn turn(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }
}

/// Whether bytes go to the server or come back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

fn lead(client: TcpStream, server: SocketAddr, sky: &Arc<Mutex<Weather>>) -> io::Result<()> {
    let weather = *sky.lock().unwrap();
    match weather {
        Weather::Closed => return Ok(()),
        Weather::Reset => return reset(&client),
        _ => {}
    }
    let server = TcpStream::connect(server)?;
    // What comes in pieces goes on in pieces: none waits for the word that the last one has arrived.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from, to, weather) = (client.try_clone()?, server.try_clone()?, Arc::clone(sky));
    let there = std::thread::spawn(move || drop(pump(from, to, Way::There, &weather)));
    let back = pump(server, client, Way::Back, sky);
    drop(there.join());
    back
}

/// Carries bytes one way until one end is gone. Both ends are closed then.
fn pump(mut from: TcpStream, mut to: TcpStream, way: Way, sky: &Mutex<Weather>) -> io::Result<()> {
    let mut carried = 0;
    let mut piece = [0; 1024];
    let ended = loop {
        let length = match from.read(&mut piece) {
            Ok(0) => break Ok(()),
            Ok(length) => length,
            Err(error) => break Err(error),
        };
        let mut bytes = piece.get(..length).unwrap_or_default().to_vec();
        let weather = *sky.lock().unwrap();
        match weather {
            Weather::Late(by) => clock::sleep(by),
            Weather::Narrow(rate) => clock::sleep(Duration::from_secs_f64(length as f64 / rate as f64)),
            Weather::Closed => break Ok(()),
            Weather::Reset => break reset(&from).and(reset(&to)),
            Weather::HalfOpen if way == Way::Back => bytes.clear(),
            Weather::Fair | Weather::HalfOpen => {}
            Weather::CutAfter(most) => bytes.truncate(most.saturating_sub(carried)),
            Weather::Flipped(every) => {
                let turned = bytes.iter_mut().enumerate().filter(|(at, _)| (carried + at + 1) % every == 0);
                turned.filter(|_| way == Way::Back).for_each(|(_, byte)| *byte ^= 0x10);
            }
        }
        carried += length;
        if let Err(error) = to.write_all(&bytes) {
            break Err(error);
        }
        if matches!(weather, Weather::CutAfter(most) if carried >= most) {
            break Ok(());
        }
    };
    for end in [&from, &to] {
        // The other way may have closed it.
        drop(end.shutdown(Shutdown::Both));
    }
    ended
}

/// Ends a connection with RST instead of FIN.
fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}
