//! The real binary with a receiver of every kind: what it sends is what each format allows, it goes where it was told and
//! nowhere else, and no secret is shown.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use shewhart::edge::kafka::produce::ProducerSettings;
use shewhart::edge::mock::MockBroker;

use crate::daemon::{Place, tail};
use crate::fake_http::{FakeHttp, Reply};
use crate::fake_smtp::{Act, FakeSmtp, Mode, Script};
use crate::notify::strict::{self, Action};
use crate::workload::{Feeder, TOPIC, events};
use crate::world::secrets::{CANARY, contents, secret};

/// The servers of all kinds that are told by HTTP, and one that refuses everything.
struct Servers {
    webhook: FakeHttp,
    alertmanager: FakeHttp,
    slack: FakeHttp,
    pagerduty: FakeHttp,
    refusing: FakeHttp,
    /// Sends everybody to the canary, who is also the proxy of the environment.
    redirecting: FakeHttp,
    canary: FakeHttp,
    mail: FakeSmtp,
    refusing_mail: FakeSmtp,
}

impl Servers {
    fn start() -> Self {
        let ok = || FakeHttp::start(Reply::Whole("HTTP/1.1 200 OK", "ok"));
        let canary = ok();
        let elsewhere = format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{}/", canary.addr());
        let no_such_user = Script::from([("RCPT", Act::Say("550 5.1.1 no such user"))]);
        Self {
            webhook: ok(),
            alertmanager: ok(),
            slack: ok(),
            pagerduty: FakeHttp::start(Reply::Whole("HTTP/1.1 202 Accepted", "{}")),
            refusing: FakeHttp::start(Reply::Head("HTTP/1.1 400 Bad Request".to_owned())),
            redirecting: FakeHttp::start(Reply::Head(elsewhere)),
            canary,
            mail: FakeSmtp::start(Mode::Starttls, Vec::new()),
            refusing_mail: FakeSmtp::start(Mode::Starttls, vec![no_such_user]),
        }
    }

    fn configuration(&self, place: &Place) -> String {
        let open = "allow_http: true, allow_private: true";
        let slack = format!("http://{}/services/{CANARY}-slack", self.slack.addr());
        let mail = |server: &FakeSmtp, name: &str| {
            fs::write(place.path().join(format!("{name}.pem")), &server.certificate).unwrap();
            let password = secret(place, &format!("{name}-password"), &format!("{CANARY}-{name}-password"));
            format!(
                "{{ name: {name}, email: {{ smtp: \"{}\", username: watcher, password_file: {password}, \
                 ca_file: {name}.pem, from: alerts@example.com, to: [ops@example.com] }} }}",
                server.server()
            )
        };
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
  - {{ name: redirecting, webhook: {{ url: \"http://{}/{CANARY}-redirected\", {open} }} }}
  - {}
  - {}
route: {{ receiver: [hook, alertmanager, chat, pager, command, refusing, redirecting, mail, refusing-mail], \
group_wait: 0s, group_interval: 0s }}
",
            self.webhook.addr(),
            secret(place, "hook-key", &format!("{CANARY}-key")),
            self.alertmanager.addr(),
            secret(place, "password", &format!("{CANARY}-password")),
            secret(place, "slack-url", &slack),
            self.pagerduty.addr(),
            secret(place, "routing-key", &format!("{CANARY}-routing-key-01234567")),
            self.refusing.addr(),
            self.redirecting.addr(),
            mail(&self.mail, "mail"),
            mail(&self.refusing_mail, "refusing-mail"),
        )
    }
}

/// The canary as it may be written: as it is, and in base64, in which it looks one way in three by where it begins.
fn disguises() -> Vec<String> {
    let mut all = vec![CANARY.to_owned()];
    for before in 0..3 {
        let whole = STANDARD_NO_PAD.encode([&vec![0; before], CANARY.as_bytes()].concat());
        // What is mixed with the bytes before and after is left out.
        let begin = (before * 8).div_ceil(6);
        let length = (before + CANARY.len()) * 8 / 6 - begin;
        all.push(whole.chars().skip(begin).take(length).collect());
    }
    all
}

/// Where the canary is seen in these bytes, with what stands around it.
fn seen(bytes: &[u8]) -> Option<String> {
    disguises().iter().find_map(|text| {
        let at = bytes.windows(text.len()).position(|window| window == text.as_bytes())?;
        let around: Vec<u8> = bytes.iter().skip(at.saturating_sub(100)).take(200).copied().collect();
        Some(String::from_utf8_lossy(&around).into_owned())
    })
}

/// Every property of the client that is a secret, and all that the client says of itself.
const TALKATIVE: &str = "    debug: all
  properties_files: { sasl.password: sasl-password, ssl.key.password: ssl-key-password }
";

fn kafka_secrets(place: &Place) {
    for name in ["sasl-password", "ssl-key-password"] {
        secret(place, name, &format!("{CANARY}-{name}\n"));
    }
}

/// What a command prints about the database of a place.
fn printed(place: &Place, args: &[&str]) -> Vec<u8> {
    let db = place.database();
    let args: Vec<_> = args.iter().map(|arg| if *arg == "DB" { db.as_os_str() } else { arg.as_ref() }).collect();
    let done = Command::new(env!("CARGO_BIN_EXE_shewhart")).args(&args).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    [done.stdout, done.stderr].concat()
}

#[test]
fn the_search_for_secrets_finds_them_in_any_disguise() {
    for login in ["watcher", "me", "x"] {
        let basic = STANDARD_NO_PAD.encode(format!("{login}:{CANARY}-password"));
        assert!(seen(format!("authorization: Basic {basic}").as_bytes()).is_some(), "{login}");
    }
    assert!(seen(format!("/services/{CANARY}/x").as_bytes()).is_some() && seen(b"canary").is_none());
}

/// Nobody else may look at what the daemon writes, or hold its lock.
fn must_be_ours_alone(data: &Path) {
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(data), 0o700);
    let files = fs::read_dir(data).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
    let kept: Vec<_> = files.collect();
    assert!(kept.len() >= 3, "the database, its log, its lock: {kept:?}");
    for path in kept {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

fn bodies(server: &FakeHttp) -> Vec<Vec<u8>> {
    server.requests().iter().map(|request| request.body.clone()).collect()
}

/// What each kind of receiver got is what its format allows.
fn must_be_in_format(place: &Place, servers: &Servers, told: i64) {
    let webhooks: Vec<_> = bodies(&servers.webhook).iter().map(|body| strict::webhook(body)).collect();
    let alerts: Vec<_> = bodies(&servers.alertmanager).iter().flat_map(|body| strict::alertmanager(body)).collect();
    assert!(
        alerts.len()
            >= place.ask("SELECT count(DISTINCT alert_id) FROM v_notices WHERE receiver = 'hook'").unwrap() as usize
    );
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
}

/// What was asked and what is shown, over the network.
fn answers(place: &Place) -> Vec<(String, Vec<u8>)> {
    let right = format!("Authorization: Bearer {CANARY}-token\r\n");
    let silence = r#"{"matchers":["agent=x"],"comment":"c","ends_at":"x"}"#;
    let mut shown: Vec<(String, Vec<u8>)> = Vec::new();
    for (method, path, headers, body) in [
        ("POST", "/api/v1/silences", right.as_str(), silence),
        ("POST", "/api/v1/silences", &format!("Authorization: Bearer {CANARY}-wrong\r\n"), silence),
        ("POST", "/-/reload", right.as_str(), ""),
        ("GET", "/metrics", "", ""),
        ("GET", "/-/ready", "", ""),
        ("GET", "/api/v1/alerts", "", ""),
        ("GET", "/api/v1/rules", "", ""),
        ("GET", "/api/v1/silences", "", ""),
    ] {
        let (code, answer) = place.request(method, path, headers, body).unwrap();
        assert!(matches!(code, 200 | 400 | 401), "{path}: {code} {answer}");
        shown.push((format!("{method} {path}"), answer.into_bytes()));
    }
    shown
}

#[test]
fn every_kind_of_receiver_is_told_in_its_format_and_no_secret_is_shown() {
    let broker = MockBroker::start(TOPIC, 3).unwrap();
    let servers = Servers::start();
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    place.more = servers.configuration(&place);
    place.log_filter = "trace";
    place.kafka = TALKATIVE.to_owned();
    kafka_secrets(&place);
    secret(&place, "token", &format!("{CANARY}-token"));
    place.http_keys = ", token_file: token, reload: true".to_owned();
    let proxy = format!("http://{}", servers.canary.addr());
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"] {
        place.environment.push((name, proxy.clone()));
    }
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
    for receiver in ["hook", "chat", "pager", "command", "mail"] {
        assert_eq!((of(receiver, "delivered"), of(receiver, "dead")), (told, 0), "{receiver}");
    }
    // An Alertmanager gets what a second brings in one piece, and of every alert how it stands.
    assert!(of("alertmanager", "delivered") > 0);
    assert_eq!((of("alertmanager", "pending"), of("alertmanager", "dead")), (0, 0));
    let heard =
        |receiver: &str| place.list(&format!("SELECT DISTINCT alert_id FROM v_notices WHERE receiver = '{receiver}'"));
    assert_eq!(heard("alertmanager"), heard("hook"));
    // Each was refused, and refused again without agents' text.
    for receiver in ["refusing", "redirecting", "refusing-mail"] {
        assert_eq!((of(receiver, "delivered"), of(receiver, "dead")), (0, told), "{receiver}");
    }
    assert_eq!(servers.refusing.requests().len() as i64, 2 * told);
    // Neither a receiver nor the environment sends us anywhere else.
    assert_eq!(servers.redirecting.requests().len() as i64, 2 * told);
    assert_eq!(servers.canary.requests().len(), 0);
    assert_eq!(servers.mail.record().mails.len() as i64, told);
    assert_eq!(place.metric("shewhart_outbox_dead{receiver=\"refusing\"}"), Some(told as f64));
    assert_eq!(place.metric("shewhart_outbox_dead{receiver=\"hook\"}"), Some(0.0));
    must_be_in_format(&place, &servers, told);

    let mut shown = answers(&place);
    shown.push(("a database in use, with its log".to_owned(), contents(&place.data)));
    must_be_ours_alone(&place.data);
    place.stop(daemon);
    shown.push(("the database".to_owned(), contents(&place.data)));
    for args in [&["report", "DB"][..], &["alerts", "--db", "DB"], &["db", "query", "DB", "SELECT * FROM v_deliveries"]]
    {
        shown.push((args.join(" "), printed(&place, args)));
    }
    shown.push(("hooks".to_owned(), contents(&place.path().join("told"))));
    shown.push(("mails".to_owned(), servers.mail.record().mails.concat()));
    for server in [&servers.webhook, &servers.alertmanager, &servers.slack] {
        shown.push((format!("bodies to {}", server.addr()), bodies(server).concat()));
    }
    let log = place.log();
    for told in ["a message was given up", "librdkafka: ", "\"level\":\"DEBUG\""] {
        assert!(log.contains(told), "nothing of `{told}` in the log: {}", tail(&log));
    }
    shown.push(("the log".to_owned(), log.into_bytes()));
    for (what, bytes) in shown {
        assert!(!bytes.is_empty(), "{what}");
        assert_eq!(seen(&bytes), None, "a secret in {what}");
    }
}

#[test]
fn a_login_to_the_broker_that_fails_is_told_without_its_password() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let mut place = Place::new(broker.bootstrap(), TOPIC);
        place.log_filter = "trace";
        place.kafka = format!(
            "    security.protocol: sasl_plaintext\n    sasl.mechanism: {mechanism}\n    sasl.username: watcher\n{TALKATIVE}"
        );
        kafka_secrets(&place);
        let mut daemon = place.start();
        let failed = |place: &Place| {
            let log = place.log().to_ascii_lowercase();
            log.contains("sasl") && log.contains("fail")
        };
        place.wait("a login that fails", &mut daemon, failed);
        assert_eq!(place.page("/-/ready").map(|(code, _)| code), Some(503));
        let (_, metrics) = place.page("/metrics").unwrap();
        place.stop(daemon);
        for (what, bytes) in
            [("the log", place.log().into_bytes()), ("metrics", metrics.into_bytes()), ("data", contents(&place.data))]
        {
            assert_eq!(seen(&bytes), None, "{mechanism}: a secret in {what}");
        }
    }
}
