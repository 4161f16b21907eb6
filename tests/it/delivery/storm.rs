//! Hundreds of alerts at once, with receivers that hang, that are away and that are well: none is lost, none waits for
//! another's receiver, the worst comes first, and people get a summary instead of a flood.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use shewhart::edge::mock::MockBroker;

use super::{Copy, Fleet, agents, body, copies, count, email, place, wait_decided, wait_empty, webhook};
use crate::daemon::{Place, Reserved};
use crate::fake_http::{FakeHttp, Reply, Request};
use crate::fake_smtp::{Act, FakeSmtp, Letter, Mode, Script};
use crate::workload::TOPIC;

const WARNINGS: usize = 160;
const CRITICAL: usize = 80;
/// Kills while what had waited goes out; there is one before.
const KILLS: usize = 5;
const ALL: i64 = (WARNINGS + CRITICAL) as i64;

fn ok() -> Reply {
    Reply::Head("HTTP/1.1 200 OK".to_owned())
}

/// No more than one copy of each message, but for the one that was interrupted by each of so many kills.
fn each_once(all: &[Copy], place: &Place, receiver: &str, kills: usize) {
    let counts = copies(all);
    let ids = place.list(&format!("SELECT id FROM outbox WHERE receiver = '{receiver}' AND state = 'delivered'"));
    assert_eq!(counts.keys().cloned().collect::<std::collections::BTreeSet<_>>(), ids, "{receiver}");
    let extra: usize = counts.values().map(|count| count - 1).sum();
    assert!(extra <= kills, "{receiver}: {extra} extra copies after {kills} kills");
}

#[test]
fn after_an_outage_everything_arrives_the_worst_first_and_who_is_well_never_waited() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    // The mail server takes connections and says nothing; where the hook was, nobody listens.
    let mail = FakeSmtp::start(Mode::Plain, vec![Script::from([("CONNECT", Act::Hold)])]);
    let away = Reserved::new();
    let well = FakeHttp::start(ok());
    let place = place(
        &broker,
        &format!(
            "receivers:\n{}{}{}route: {{ receiver: [mail, away, well], group_wait: 0s, group_interval: 0s }}
digest_over: 500
",
            email("mail", mail.addr()),
            webhook("away", away.address),
            webhook("well", well.addr()),
        ),
    );
    let mut fleet = Fleet::new(broker.bootstrap());
    // What matters most is decided last.
    fleet.fail(&agents('w', WARNINGS));
    fleet.fail(&agents('c', CRITICAL));
    let mut daemon = place.start();
    wait_decided(&place, &mut daemon, "well", ALL);
    place.wait("who is well to know all", &mut daemon, |place| count(place, "well", "delivered") == ALL);
    assert_eq!((count(&place, "mail", "pending"), count(&place, "away", "pending")), (ALL, ALL));
    assert!(mail.record().mails.is_empty());
    let stopped = mail.record().stopped;
    daemon.kill();

    let mut daemon = place.start();
    place.wait("a mail that hangs", &mut daemon, |_| mail.record().stopped > stopped);
    // Who is away is asked now and then, not once for every message that waits.
    let knocked =
        "SELECT count(*) FROM deliveries JOIN outbox ON outbox.id = deliveries.message WHERE receiver = 'away'";
    let knocked = place.ask(knocked).unwrap();
    assert!((1..ALL / 8).contains(&knocked), "{knocked} attempts at who is away");
    let back = FakeHttp::start_at(away.address, ok());
    mail.gate.open();
    for round in 1..=KILLS {
        let goal = round * ALL as usize / (KILLS + 1);
        place.wait("some mails", &mut daemon, |_| mail.record().mails.len() >= goal);
        daemon.kill();
        daemon = place.start();
    }
    wait_empty(&place, &mut daemon);
    place.stop(daemon);

    for receiver in ["mail", "away", "well"] {
        assert_eq!((count(&place, receiver, "delivered"), count(&place, receiver, "dead")), (ALL, 0), "{receiver}");
    }
    let mails: Vec<Vec<u8>> = mail.record().mails.clone();
    each_once(&mails.iter().map(|mail| Copy::of_mail(mail)).collect::<Vec<_>>(), &place, "mail", KILLS + 1);
    each_once(&back.requests().iter().map(Copy::of_request).collect::<Vec<_>>(), &place, "away", KILLS + 1);
    each_once(&well.requests().iter().map(Copy::of_request).collect::<Vec<_>>(), &place, "well", KILLS + 1);
    let warns: Vec<bool> = mails.iter().map(|mail| Letter::read(mail).subject().contains("Trouble")).collect();
    assert!(warns.is_sorted(), "a warning before something critical: {warns:?}");
}

/// How many alerts each group's newest message tells, by the group's key.
#[derive(Default)]
struct Told {
    read: usize,
    newest: BTreeMap<String, usize>,
}

impl Told {
    /// Reads what came since it was last asked; all groups' alerts. The server waits for the copy only.
    fn all(&mut self, hook: &FakeHttp) -> usize {
        let new: Vec<Request> = hook.requests().iter().skip(self.read).cloned().collect();
        self.read += new.len();
        for request in &new {
            let body = body(request);
            let shown = body.get("alerts").and_then(Value::as_array).unwrap();
            assert!(shown.iter().all(|alert| alert["status"] == "firing"));
            let beyond = body.get("truncatedAlerts").and_then(Value::as_u64).unwrap() as usize;
            self.newest.insert(body.get("groupKey").and_then(Value::as_str).unwrap().to_owned(), shown.len() + beyond);
        }
        self.newest.values().sum()
    }
}

#[test]
fn a_storm_is_told_in_a_few_messages_whose_numbers_add_up() {
    const FIRST: usize = 600;
    const AGENTS: usize = 1_000;
    const DIGEST_OVER: i64 = 20;
    const NOW_AND_THEN: Duration = Duration::from_millis(100);
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let hook = FakeHttp::start(ok());
    let place = place(
        &broker,
        &format!(
            "receivers:\n{}route: {{ receiver: hook, group_wait: 0s, group_interval: 0s }}\ndigest_over: {DIGEST_OVER}\n",
            webhook("hook", hook.addr())
        ),
    );
    let mut fleet = Fleet::new(broker.bootstrap());
    let agents = agents('w', AGENTS);
    let (first, more) = agents.split_at(FIRST);
    fleet.fail(first);
    let mut daemon = place.start();
    let mut told = Told::default();
    let fired = |place: &Place| place.ask("SELECT count(*) FROM alerts WHERE fired_at_ms IS NOT NULL");
    place.wait_asking("the storm", &mut daemon, NOW_AND_THEN, |place| fired(place) == Some(FIRST as i64));
    place.wait_asking("a summary", &mut daemon, NOW_AND_THEN, |_| told.all(&hook) > 0);
    // It goes on within the minute, and what it brings waits until that is over.
    fleet.fail(more);
    place.wait_asking("more of it", &mut daemon, NOW_AND_THEN, |place| fired(place) == Some(AGENTS as i64));
    place.wait_asking("everything to be told", &mut daemon, NOW_AND_THEN, |_| told.all(&hook) == AGENTS);
    wait_empty(&place, &mut daemon);
    place.stop(daemon);
    let within = "SELECT count(*) FROM outbox WHERE created_at_ms < 60000 + (SELECT min(created_at_ms) FROM outbox)";
    let first_minute = place.ask(within).unwrap();
    assert!((1..=DIGEST_OVER + 1).contains(&first_minute), "{first_minute} messages in the first minute");
    assert_eq!(place.ask("SELECT count(*) FROM outbox"), Some(hook.requests().len() as i64));
    assert_eq!(told.all(&hook), AGENTS, "each once");
}
