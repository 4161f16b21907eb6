//! The daemon's own loop against Debian's Alertmanager: what it missed it is told, what it forgot it learns again.

use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use shewhart::config::Config;
use shewhart::edge::mock::MockBroker;
use shewhart::edge::{Control, EdgeError, clock, run};

use super::{Fleet, agents, body, count, place, wait_due};
use crate::daemon::{PATIENCE, Place, Reserved};
use crate::fake_http::{FakeHttp, Reply};
use crate::notify::alertmanager::{Alertmanager, active, is_installed};
use crate::workload::TOPIC;

/// Only at the start.
const NEVER: Duration = Duration::from_hours(1);

/// The daemon in this process, for what its configuration file cannot say.
struct Running {
    control: Control,
    thread: JoinHandle<Result<(), EdgeError>>,
}

impl Running {
    fn start(place: &Place, refresh_every: Duration) -> Self {
        let mut config = Config::load(&place.configure()).unwrap();
        config.refresh_every = refresh_every;
        // Where the first of this process listened, no other can.
        config.listen = None;
        let (send, started) = sync_channel(1);
        let thread = std::thread::spawn(|| run(config, move |control, _| send.send(control).unwrap()));
        match started.recv_timeout(PATIENCE) {
            Ok(control) => Self { control, thread },
            Err(error) => panic!("the daemon did not start: {error}: {:?}", thread.join()),
        }
    }

    fn stop(self) {
        self.control.stop();
        self.thread.join().unwrap().unwrap();
    }

    fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let end = clock::instant() + PATIENCE;
        while !is_so() {
            assert!(!self.thread.is_finished(), "{what}: the daemon ended");
            assert!(clock::instant() < end, "waited in vain for {what}");
            clock::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn an_alertmanager_that_was_away_or_lost_its_memory_is_told_what_fires() {
    const OFTEN: Duration = Duration::from_millis(300);
    if !is_installed() {
        return;
    }
    let back = FakeHttp::start(Reply::Head("HTTP/1.1 200 OK".to_owned()));
    let told = format!("http://{}/", back.addr());
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let reserved = Reserved::new();
    let address = reserved.address;
    let url = format!("http://{address}");
    let place = place(
        &broker,
        &format!(
            "receivers: [ {{ name: am, alertmanager: {{ url: \"{url}\", allow_http: true, allow_private: true }} }} ]
route: {{ receiver: am }}
"
        ),
    );
    let failing = agents('c', 2);
    let both = || active(&["c000", "c001"]);
    let empty = || count(&place, "am", "pending") == 0;
    let mut fleet = Fleet::new(broker.bootstrap());
    fleet.fail(&failing);

    // Without refreshes: what was decided while nobody listened arrives by the outbox.
    let daemon = Running::start(&place, NEVER);
    let refused = "SELECT count(*) FROM deliveries WHERE outcome = 'retry' AND class = 'connect'";
    daemon.wait("an attempt in vain", || place.ask(refused) >= Some(1));
    let alertmanager = Alertmanager::start_at(&told, address);
    alertmanager.wait_until("it is told what it missed", || alertmanager.alerts() == both());
    daemon.wait("an empty outbox", empty);
    daemon.stop();

    // One that remembers nothing is told at once when the daemon starts, and nothing of that is in the outbox.
    drop(alertmanager);
    let alertmanager = Alertmanager::start_at(&told, address);
    assert!(alertmanager.alerts().is_empty());
    let daemon = Running::start(&place, NEVER);
    alertmanager.wait_until("it is told at the start", || alertmanager.alerts() == both());
    daemon.stop();

    // One that loses its memory while the daemon runs learns again.
    let daemon = Running::start(&place, OFTEN);
    drop(alertmanager);
    let alertmanager = Alertmanager::start_at(&told, address);
    alertmanager.wait_until("it learns again", || alertmanager.alerts() == both());
    assert_eq!(place.ask("SELECT count(*) FROM outbox"), Some(1), "by refreshes, past the outbox");

    // And it believes the end, which refreshes do not take back.
    fleet.recover(&failing);
    alertmanager.wait_until("it believes the end", || alertmanager.alerts().is_empty());
    alertmanager.wait_until("it tells of the end", || {
        back.requests().iter().any(|request| String::from_utf8_lossy(&request.body).contains("\"status\":\"resolved\""))
    });
    daemon.wait("an empty outbox", empty);
    assert!(alertmanager.alerts().is_empty());
    daemon.stop();
}

#[test]
fn what_waits_in_the_outbox_keeps_no_refresh_back() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let reserved = Reserved::new();
    let address = reserved.address;
    let place = place(
        &broker,
        &format!(
            "receivers: [ {{ name: am, alertmanager: {{ url: \"http://{address}\", allow_http: true, allow_private: true }} }} ]
route: {{ receiver: am }}
"
        ),
    );
    Fleet::new(broker.bootstrap()).fail(&agents('c', 2));
    let daemon = Running::start(&place, NEVER);
    daemon.wait("an attempt in vain", || place.ask("SELECT count(*) FROM deliveries") >= Some(1));
    daemon.stop();
    wait_due(&place);

    // A message is due from the first moment on, and so is the only refresh of the hour.
    let server = FakeHttp::start_at(address, Reply::Head("HTTP/1.1 200 OK".to_owned()));
    let daemon = Running::start(&place, NEVER);
    daemon.wait("the message", || count(&place, "am", "delivered") == 1);
    daemon.wait("the refresh", || server.requests().len() == 2);
    daemon.stop();
    for request in server.requests().iter() {
        assert_eq!(body(request).as_array().map(Vec::len), Some(2), "both are told each time");
    }
}
