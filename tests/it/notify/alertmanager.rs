//! Debian's own Alertmanager: it takes our alerts, groups them, silences them, and believes their end.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a fault of a test's own may end the test")]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use shewhart::edge::clock;
use shewhart::edge::notify::{AlertmanagerSettings, Attempt, Receiver, deliver, refresh};
use shewhart::engine::alert::{Crossing, Reason, State};
use shewhart::engine::route::{Message, Note, Occasion};
use shewhart::engine::units::Span;

use super::{crossing, message};
use crate::daemon::{PATIENCE, Reserved};
use crate::fake_http::{FakeHttp, Reply};
use crate::world::real::skipped;

/// Where Debian's package puts it.
const BINARY: &str = "/usr/bin/prometheus-alertmanager";

/// A running Alertmanager. It ends with this.
pub(crate) struct Alertmanager {
    process: Child,
    /// Where it answers.
    pub(crate) url: String,
    folder: tempfile::TempDir,
    /// What keeps the address, where it is its own.
    _reserved: Option<Reserved>,
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Whether the package is installed; says aloud what is not tested otherwise.
pub(crate) fn is_installed() -> bool {
    let there = Path::new(BINARY).exists();
    if !there {
        let why = format!("{BINARY} is missing; install the Debian package prometheus-alertmanager");
        skipped("tests with an Alertmanager", &why);
    }
    there
}

impl Alertmanager {
    /// One with a folder of its own, that tells this address; nothing where the package is not installed.
    fn start(told: &str) -> Option<Self> {
        is_installed().then(|| {
            let reserved = Reserved::new();
            Self::begin(told, reserved.address, Some(reserved))
        })
    }

    /// One with a folder of its own at this address, that tells that one.
    pub(crate) fn start_at(told: &str, address: SocketAddr) -> Self {
        Self::begin(told, address, None)
    }

    fn begin(told: &str, address: SocketAddr, reserved: Option<Reserved>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "route: {{ receiver: back, group_by: [alertname], group_wait: 100ms, group_interval: 1s, repeat_interval: 1h }}\n\
             receivers: [ {{ name: back, webhook_configs: [ {{ url: \"{told}\" }} ] }} ]\n"
        );
        fs::write(folder.path().join("alertmanager.yml"), config).unwrap();
        let process = Self::launch(folder.path(), address);
        let started = Self { process, url: format!("http://{address}"), folder, _reserved: reserved };
        started.wait_until("it is ready", || ureq::get(format!("{}/-/ready", started.url)).call().is_ok());
        started
    }

    fn launch(folder: &Path, address: SocketAddr) -> Child {
        let log = fs::File::create(folder.join("log")).unwrap();
        Command::new(BINARY)
            .arg(format!("--config.file={}", folder.join("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub(crate) fn wait_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let end = clock::instant() + PATIENCE;
        while !is_so() {
            let log = || fs::read_to_string(self.log()).unwrap_or_default();
            assert!(clock::instant() < end, "waited in vain until {what}\n{}", log());
            clock::sleep(Duration::from_millis(50));
        }
    }

    fn get(&self, path: &str) -> Value {
        let text = ureq::get(format!("{}{path}", self.url)).call().unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The alerts that it holds for firing, as agent and state.
    pub(crate) fn alerts(&self) -> Vec<(String, String)> {
        let alerts = self.get("/api/v2/alerts");
        let mut found: Vec<_> = alerts
            .as_array()
            .unwrap()
            .iter()
            .map(|alert| (text(&alert["labels"]["agent"]), text(&alert["status"]["state"])))
            .collect();
        found.sort();
        found
    }

    fn receiver(&self) -> Receiver {
        let settings: AlertmanagerSettings =
            serde_json::from_value(json!({"url": self.url, "allow_http": true, "allow_private": true})).unwrap();
        Receiver::Alertmanager(settings)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// An alert of this agent that began ten minutes ago.
fn began(agent: &str) -> Crossing {
    let at = clock::now().minus(Span::MINUTE.times(10));
    Crossing { at, started_at: at, ..crossing(agent) }
}

fn ended(fired: &Crossing) -> Crossing {
    Crossing { from: State::Firing, to: State::Resolved, reason: Reason::Recovered, at: clock::now(), ..fired.clone() }
}

fn now() -> Attempt {
    Attempt { fallback: false, now: clock::now() }
}

/// So many alerts that it holds and nobody silences.
pub(crate) fn active(agents: &[&str]) -> Vec<(String, String)> {
    agents.iter().map(|agent| ((*agent).to_owned(), "active".to_owned())).collect()
}

#[test]
fn alerts_arrive_are_grouped_silenced_and_resolved() {
    let back = FakeHttp::start(Reply::Head("HTTP/1.1 200 OK".to_owned()));
    let Some(alertmanager) = Alertmanager::start(&format!("http://{}/", back.addr())) else { return };
    let receiver = alertmanager.receiver();

    let mut other = began("c");
    "LatencyRose".clone_into(&mut other.alert);
    let fired = [began("a"), began("b"), other];
    deliver(&receiver, &message(fired.to_vec()), now()).unwrap();
    alertmanager.wait_until("the alerts are there", || alertmanager.alerts() == active(&["a", "b", "c"]));
    let held = alertmanager.get("/api/v2/alerts?filter=agent=a");
    let labels = json!({"alertname": "AccuracyDegraded", "agent": "a", "severity": "critical", "team": "invoices"});
    assert_eq!(held[0]["labels"], labels);
    assert_eq!(held[0]["annotations"]["alert_id"], json!(fired[0].alert_id.to_string()));
    let began: jiff::Timestamp = held[0]["startsAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(began.as_millisecond(), fired[0].started_at.as_millis());

    alertmanager.wait_until("they are grouped", || {
        alertmanager.get("/api/v2/alerts/groups").as_array().is_some_and(|groups| groups.len() == 2)
    });
    let groups = alertmanager.get("/api/v2/alerts/groups");
    let mut sizes: Vec<_> = groups
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (text(&group["labels"]["alertname"]), group["alerts"].as_array().unwrap().len()))
        .collect();
    sizes.sort();
    assert_eq!(sizes, [("AccuracyDegraded".to_owned(), 2), ("LatencyRose".to_owned(), 1)]);
    alertmanager.wait_until("it tells of them", || back.requests().len() >= 2);

    let silence = json!({
        "matchers": [{"name": "agent", "value": "b", "isRegex": false}],
        "startsAt": clock::now().to_string(),
        "endsAt": clock::now().plus(Span::HOUR).to_string(),
        "createdBy": "ana",
        "comment": "migration",
    });
    let put = ureq::post(format!("{}/api/v2/silences", alertmanager.url))
        .header("Content-Type", "application/json")
        .send(silence.to_string())
        .unwrap();
    assert_eq!(put.status().as_u16(), 200);
    let muted = vec![
        ("a".to_owned(), "active".to_owned()),
        ("b".to_owned(), "suppressed".to_owned()),
        ("c".to_owned(), "active".to_owned()),
    ];
    alertmanager.wait_until("the silence holds", || alertmanager.alerts() == muted);

    deliver(&receiver, &message(vec![ended(&fired[0])]), now()).unwrap();
    alertmanager.wait_until("it believes the end", || !alertmanager.alerts().iter().any(|(agent, _)| agent == "a"));
    alertmanager.wait_until("it tells of the end", || {
        back.requests().iter().any(|request| String::from_utf8_lossy(&request.body).contains("\"status\":\"resolved\""))
    });
    assert_eq!(alertmanager.alerts().len(), 2, "the others fire still");
}

#[test]
fn what_is_told_again_stays_and_what_is_not_ends() {
    let back = FakeHttp::start(Reply::Head("HTTP/1.1 200 OK".to_owned()));
    let Some(alertmanager) = Alertmanager::start(&format!("http://{}/", back.addr())) else { return };
    let receiver = alertmanager.receiver();
    let (kept, left) = (began("kept"), began("left"));
    // As told by a clock that is nearly four minutes late: believed for three seconds more.
    let late = clock::now().minus(Span::from_secs(4 * 60 - 3));
    refresh(&receiver, &[kept.clone(), left], late).unwrap();
    alertmanager.wait_until("both are there", || alertmanager.alerts() == active(&["kept", "left"]));
    refresh(&receiver, std::slice::from_ref(&kept), clock::now()).unwrap();
    alertmanager.wait_until("one is forgotten", || alertmanager.alerts() == active(&["kept"]));
    refresh(&receiver, &[ended(&kept)], clock::now()).unwrap();
    alertmanager.wait_until("the end is believed", || alertmanager.alerts().is_empty());
}

#[test]
fn a_restarted_alertmanager_learns_what_fires() {
    let back = FakeHttp::start(Reply::Head("HTTP/1.1 200 OK".to_owned()));
    let Some(mut alertmanager) = Alertmanager::start(&format!("http://{}/", back.addr())) else { return };
    let receiver = alertmanager.receiver();
    let fired = [began("a"), began("b")];
    deliver(&receiver, &message(fired.to_vec()), now()).unwrap();
    alertmanager.process.kill().unwrap();
    alertmanager.process.wait().unwrap();
    refresh(&receiver, &fired, clock::now()).expect_err("nobody is there");
    let address = alertmanager.url.trim_start_matches("http://").parse().unwrap();
    alertmanager.process = Alertmanager::launch(alertmanager.folder.path(), address);
    alertmanager.wait_until("it is told again", || refresh(&receiver, &fired, clock::now()).is_ok());
    alertmanager.wait_until("it knows both", || alertmanager.alerts() == active(&["a", "b"]));
}

#[test]
fn hostile_text_and_odd_names_are_taken_as_they_are() {
    let back = FakeHttp::start(Reply::Head("HTTP/1.1 200 OK".to_owned()));
    let Some(alertmanager) = Alertmanager::start(&format!("http://{}/", back.addr())) else { return };
    let receiver = alertmanager.receiver();
    let strings = super::corpus::strings();
    let mut crossings = Vec::new();
    for (i, hostile) in strings.iter().enumerate() {
        let mut one = began(hostile);
        one.labels.insert("number".to_owned(), i.to_string());
        one.labels.insert(format!("odd {hostile}").chars().take(60).collect(), "x".to_owned());
        one.annotations.insert("summary".to_owned(), hostile.clone());
        crossings.push(one);
    }
    let note = Note::Acknowledged { by: "ana".to_owned(), note: strings[5].clone(), at: clock::now(), of: (1, 60) };
    let noted = Message { occasion: Occasion::Acknowledged, notes: vec![note], ..message(crossings.clone()) };
    deliver(&receiver, &noted, now()).unwrap();
    alertmanager.wait_until("all are there", || alertmanager.alerts_by_number().len() == strings.len());
    for (number, agent) in alertmanager.alerts_by_number() {
        assert_eq!(agent, shewhart::edge::notify::clean::line(&strings[number], 4_096), "{number}");
    }
}

impl Alertmanager {
    fn alerts_by_number(&self) -> Vec<(usize, String)> {
        let alerts = self.get("/api/v2/alerts");
        let of = |alert: &Value| {
            let number = text(&alert["labels"]["number"]).parse().unwrap();
            (number, alert["labels"].get("agent").map(text).unwrap_or_default())
        };
        alerts.as_array().unwrap().iter().map(of).collect()
    }
}
