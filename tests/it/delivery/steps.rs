//! A daemon that is killed between every two steps of a delivery: nothing is lost, and only what a receiver had whole
//! comes again, with the same id.

use std::time::Duration;

use shewhart::edge::clock;
use shewhart::edge::mock::MockBroker;

use super::{Copy, Fleet, agents, copies, email, place, wait_decided, wait_due, wait_empty, webhook};
use crate::daemon::{PATIENCE, Place};
use crate::fake_http::{FakeHttp, Part, Reply};
use crate::fake_smtp::{Act, FakeSmtp, Mode, Script};
use crate::workload::TOPIC;

/// A receiver that stops each conversation one step later than the one before, then holds one, and lastly lets one
/// through and stops the next at once.
enum Stopping {
    Mail(FakeSmtp),
    Hook(FakeHttp),
}

impl Stopping {
    /// Steps of a mail at which the server falls silent: connected, greeted, sender, recipient, before the mail, in its
    /// middle, after its end.
    const MAIL: [&str; 7] = ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "HALF", "BODY"];
    /// Steps of a request: connected, head read, half of the body, all of it.
    const HOOK: [Reply; 4] = [
        Reply::SilenceAfter(Part::Nothing),
        Reply::SilenceAfter(Part::Head),
        Reply::SilenceAfter(Part::HalfBody),
        Reply::Silence,
    ];

    fn mail() -> Self {
        let stop = |verb: &'static str, act: Act| Script::from([(verb, act)]);
        let mut scripts: Vec<Script> = Self::MAIL.into_iter().map(|verb| stop(verb, Act::Silence)).collect();
        scripts.extend([stop("BODY", Act::Hold), Script::new(), stop("CONNECT", Act::Silence), Script::new()]);
        Self::Mail(FakeSmtp::start(Mode::Plain, scripts))
    }

    fn hook() -> Self {
        let ok = Reply::Head("HTTP/1.1 204 No Content".to_owned());
        let mut replies = Self::HOOK.to_vec();
        replies.extend([Reply::Hold, ok.clone(), Reply::SilenceAfter(Part::Nothing), ok]);
        Self::Hook(FakeHttp::start_script(replies))
    }

    fn steps(&self) -> usize {
        match self {
            Self::Mail(_) => Self::MAIL.len(),
            Self::Hook(_) => Self::HOOK.len(),
        }
    }

    fn configuration(&self) -> String {
        configuration(&match self {
            Self::Mail(server) => email("r", server.addr()),
            Self::Hook(server) => webhook("r", server.addr()),
        })
    }

    /// Conversations that stopped so far.
    fn stopped(&self) -> usize {
        match self {
            Self::Mail(server) => server.record().stopped,
            Self::Hook(server) => server.stopped(),
        }
    }

    /// Says yes to the one that is held.
    fn release(&self) {
        match self {
            Self::Mail(server) => server.gate.open(),
            Self::Hook(server) => server.release(),
        }
    }

    /// Whether the client has read that yes: it said good-bye, or left.
    fn heard(&self) -> bool {
        match self {
            Self::Mail(server) => server.record().commands.iter().any(|(_, line)| line == "QUIT"),
            Self::Hook(server) => server.taken() > 0,
        }
    }

    /// What came whole, in order.
    fn copies(&self) -> Vec<Copy> {
        match self {
            Self::Mail(server) => server.record().mails.iter().map(|mail| Copy::of_mail(mail)).collect(),
            Self::Hook(server) => server.requests().iter().map(Copy::of_request).collect(),
        }
    }
}

fn configuration(receiver: &str) -> String {
    format!("receivers:\n{receiver}route: {{ receiver: r, group_wait: 0s, group_interval: 0s }}\n")
}

/// How many deliveries are written down.
fn settled(place: &Place) -> i64 {
    place.ask("SELECT count(*) FROM deliveries WHERE outcome = 'delivered'").unwrap()
}

fn nothing_is_lost(server: &Stopping) {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    // An attempt that is given up here for want of time is no harm: nothing came, and it is made again.
    let silent = FakeHttp::start(Reply::SilenceAfter(Part::Nothing));
    let mut place = place(&broker, &configuration(&webhook("r", silent.addr())));
    let failing = agents('c', 3);
    let mut fleet = Fleet::new(broker.bootstrap());
    fleet.fail(&failing);
    let mut daemon = place.start();
    // While the first attempt is stopped, more is decided, which is killed before there is any attempt at it.
    wait_decided(&place, &mut daemon, "r", 3);
    fleet.recover(&failing);
    wait_decided(&place, &mut daemon, "r", 6);
    place.wait("an attempt", &mut daemon, |_| silent.stopped() > 0);
    daemon.kill();

    wait_due(&place);
    place.more = server.configuration();
    let mut daemon = place.start();
    for step in 1..=server.steps() {
        place.wait("a conversation", &mut daemon, |_| server.stopped() >= step);
        daemon.kill();
        daemon = place.start();
    }
    assert_eq!((settled(&place), server.copies().len()), (0, 1), "whole in the last step, and nothing is known of it");

    // The receiver says yes while that cannot be written down.
    place.wait("one that is held", &mut daemon, |_| server.stopped() > server.steps());
    let lock = rusqlite::Connection::open(place.database()).unwrap();
    lock.busy_timeout(PATIENCE).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    server.release();
    // A daemon that cannot write for five seconds ends: it was slow to be killed, and that leaves the same behind.
    let deadline = clock::instant() + PATIENCE;
    while !server.heard() && daemon.runs() {
        assert!(clock::instant() < deadline, "nobody reads the yes");
        clock::sleep(Duration::from_millis(5));
    }
    daemon.kill();
    drop(lock);
    assert_eq!((settled(&place), server.copies().len()), (0, 2));

    // Delivered, written down, and killed when the next one is begun.
    let mut daemon = place.start();
    place.wait("the next", &mut daemon, |_| server.stopped() >= server.steps() + 2);
    daemon.kill();
    let first = place.list("SELECT id FROM outbox WHERE state = 'delivered'");
    assert_eq!((settled(&place), first.len()), (1, 1));

    let mut daemon = place.start();
    wait_empty(&place, &mut daemon);
    place.stop(daemon);
    let ids = place.list("SELECT id FROM outbox WHERE state = 'delivered'");
    assert_eq!((ids.len(), settled(&place)), (6, 6));
    let all = server.copies();
    for (id, copies) in copies(&all) {
        assert!(ids.contains(&id), "{id} was never decided");
        // Two attempts at the first were interrupted after the receiver had it whole.
        assert_eq!(copies, if first.contains(&id) { 3 } else { 1 }, "{id}");
    }
    assert_eq!(copies(&all).len(), ids.len());
    // No end is told before its beginning.
    let ended = place.list("SELECT id FROM outbox WHERE status = 'resolved'");
    let order: Vec<bool> = all.iter().map(|copy| ended.contains(&copy.id)).collect();
    assert!(ended.len() == 3 && order.is_sorted(), "{order:?}");
}

#[test]
fn killed_at_every_step_of_a_mail_nothing_is_lost_and_only_a_whole_one_comes_again() {
    nothing_is_lost(&Stopping::mail());
}

#[test]
fn killed_at_every_step_of_a_webhook_nothing_is_lost_and_only_a_whole_one_comes_again() {
    nothing_is_lost(&Stopping::hook());
}
