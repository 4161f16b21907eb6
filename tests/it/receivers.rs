//! The real binary with a receiver of every kind: what it sends is what each format allows, and no secret is shown.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::collections::BTreeMap;
use std::fs;

use shewhart::edge::kafka::produce::ProducerSettings;
use shewhart::edge::mock::MockBroker;

use crate::daemon::Place;
use crate::fake_http::{FakeHttp, Reply};
use crate::notify::strict::{self, Action};
use crate::workload::{Feeder, TOPIC, events};
use crate::world::secrets::{CANARY, contents, holds, secret};

/// The servers of all kinds that are told by HTTP, and one that refuses everything.
struct Servers {
    webhook: FakeHttp,
    alertmanager: FakeHttp,
    slack: FakeHttp,
    pagerduty: FakeHttp,
    refusing: FakeHttp,
}

impl Servers {
    fn start() -> Self {
        let ok = || FakeHttp::start(Reply::Whole("HTTP/1.1 200 OK", "ok"));
        Self {
            webhook: ok(),
            alertmanager: ok(),
            slack: ok(),
            pagerduty: FakeHttp::start(Reply::Whole("HTTP/1.1 202 Accepted", "{}")),
            refusing: FakeHttp::start(Reply::Head("HTTP/1.1 400 Bad Request".to_owned())),
        }
    }

    fn configuration(&self, place: &Place) -> String {
        let open = "allow_http: true, allow_private: true";
        let slack = format!("http://{}/services/{CANARY}-slack", self.slack.addr());
        format!(
            "baseline: {{ provisional_outputs: 1000 }}
allow_exec: true
receivers:
  - {{ name: hook, webhook: {{ url: \"http://{}/{CANARY}-path\", secret_file: {}, {open} }} }}
  - {{ name: alertmanager, alertmanager: {{ url: \"http://{}\", username: me, password_file: {}, {open} }} }}
  - {{ name: chat, slack: {{ url_file: {}, {open} }} }}
  - {{ name: pager, pagerduty: {{ url: \"http://{}/v2/enqueue\", routing_key_file: {}, {open} }} }}
  - {{ name: command, exec: {{ command: [/bin/sh, -c, \"cat > told/$$ && mv told/$$ told/$$.json\"] }} }}
  - {{ name: refusing, webhook: {{ url: \"http://{}/{CANARY}-refused\", {open} }} }}
route: {{ receiver: [hook, alertmanager, chat, pager, command, refusing], group_wait: 0s, group_interval: 0s }}
",
            self.webhook.addr(),
            secret(place, "hook-key", &format!("{CANARY}-key")),
            self.alertmanager.addr(),
            secret(place, "password", &format!("{CANARY}-password")),
            secret(place, "slack-url", &slack),
            self.pagerduty.addr(),
            secret(place, "routing-key", &format!("{CANARY}-routing-key-0123456789abc")),
            self.refusing.addr(),
        )
    }
}

#[test]
fn every_kind_of_receiver_is_told_in_its_format_and_no_secret_is_shown() {
    let broker = MockBroker::start(TOPIC, 3).unwrap();
    let servers = Servers::start();
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    place.more = servers.configuration(&place);
    place.log_filter = "trace";
    fs::create_dir(place.path().join("told")).unwrap();
    let records: Vec<_> = events(7).into_iter().take(36_000).collect();
    let feeder = Feeder::start(vec![ProducerSettings::new(broker.bootstrap())], records);
    feeder.allow(usize::MAX);
    let mut daemon = place.start();
    let sent = feeder.finish();
    place.wait_for_end(&mut daemon, sent);

    let of = |receiver: &str, state: &str| {
        let sql = format!("SELECT count(*) FROM outbox WHERE receiver = '{receiver}' AND state = '{state}'");
        place.ask(&sql).unwrap()
    };
    let told = of("hook", "delivered");
    assert!(told >= 5, "{told}");
    for receiver in ["hook", "chat", "pager", "command"] {
        assert_eq!((of(receiver, "delivered"), of(receiver, "dead")), (told, 0), "{receiver}");
    }
    // An Alertmanager gets what a second brings in one piece, and of every alert how it stands.
    assert!(of("alertmanager", "delivered") > 0);
    assert_eq!((of("alertmanager", "pending"), of("alertmanager", "dead")), (0, 0));
    let heard =
        |receiver: &str| place.list(&format!("SELECT DISTINCT alert_id FROM v_notices WHERE receiver = '{receiver}'"));
    assert_eq!(heard("alertmanager"), heard("hook"));
    // Each was refused, and refused again without agents' text.
    assert_eq!((of("refusing", "delivered"), of("refusing", "dead")), (0, told));
    assert_eq!(servers.refusing.requests().len() as i64, 2 * told);
    assert_eq!(place.metric("shewhart_outbox_dead{receiver=\"refusing\"}"), Some(told as f64));
    assert_eq!(place.metric("shewhart_outbox_dead{receiver=\"hook\"}"), Some(0.0));
    let (_, metrics) = place.page("/metrics").unwrap();

    let bodies = |server: &FakeHttp| server.requests().iter().map(|r| r.body.clone()).collect::<Vec<_>>();
    let webhooks: Vec<_> = bodies(&servers.webhook).iter().map(|body| strict::webhook(body)).collect();
    let alerts: Vec<_> = bodies(&servers.alertmanager).iter().flat_map(|body| strict::alertmanager(body)).collect();
    assert!(alerts.len() >= heard("hook").len());
    let shown = bodies(&servers.slack).into_iter().map(|body| strict::slack(&body)).filter(|m| !m.sections.is_empty());
    assert_eq!(shown.count() as i64, told);
    let mut incidents: BTreeMap<String, Vec<Action>> = BTreeMap::new();
    for body in bodies(&servers.pagerduty) {
        let event = strict::pagerduty(&body);
        incidents.entry(event.dedup_key).or_default().push(event.action);
    }
    for (key, actions) in &incidents {
        assert_eq!(actions.first(), Some(&Action::Trigger), "{key}: {actions:?}");
    }
    let files = fs::read_dir(place.path().join("told")).unwrap().map(|file| file.unwrap().path());
    let hooks: Vec<_> = files.map(|path| strict::hook(&fs::read(path).unwrap())).collect();
    assert_eq!((hooks.len(), webhooks.len()), (told as usize, told as usize));

    place.stop(daemon);
    let log = place.log();
    assert!(log.contains("a message was given up"), "{log}");
    let shown: Vec<&str> = log.lines().filter(|line| line.contains(CANARY)).take(5).collect();
    assert!(shown.is_empty(), "secrets in the log:\n{}", shown.join("\n"));
    for (what, bytes) in [("metrics", metrics.as_bytes()), ("data", &contents(&place.data))] {
        assert!(!holds(bytes, CANARY), "a secret in the {what}");
    }
}
