//! What people ask of the daemon, and what they change under it.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use shewhart::edge::clock;
use shewhart::engine::units::Span;

use crate::stage::{Receivers, Stage};
use crate::trial::Trial;
use crate::world::daemon::{Place, status};
use crate::world::fleet::{Fleet, RULES, agents};
use crate::world::rules::own_rules;
use crate::world::secrets::CANARY;
use crate::world::workload::brief;

/// What is written beside good rules, and whether the set is still a good one with it.
type Script = (&'static str, fn(&Path), bool);

const RULE: &str =
    "groups:\n  - name: z\n    rules:\n      - alert: Zed\n        detect: { measure: accuracy, drop: 2pp }\n";

fn text(at: &Path, text: &str) {
    fs::write(at, text).unwrap();
}

/// Ways in which a rule file can be bad, or be no rule file.
const SCRIPTS: [Script; 16] = [
    ("half written", |at| text(at, &RULE[..RULE.len() - 12]), false),
    ("empty", |at| text(at, ""), false),
    ("a rule without a detector", |at| text(at, "groups:\n  - name: z\n    rules:\n      - alert: Zed\n"), false),
    ("an unknown field", |at| text(at, &RULE.replace("drop:", "dorp:")), false),
    ("no unit", |at| text(at, &RULE.replace("2pp", "2")), false),
    ("not a number", |at| text(at, &RULE.replace("2pp", ".nan")), false),
    ("the same rule twice", |at| text(at, &format!("{RULE}{}", RULE.split_once("rules:\n").unwrap().1)), false),
    ("a bad glob", |at| text(at, &RULE.replace("detect:", "where: { agent: \"[\" }\n        detect:")), false),
    ("not UTF-8", |at| fs::write(at, [RULE.as_bytes(), &[0xff, 0xfe, 0x00]].concat()).unwrap(), false),
    ("a bomb of anchors", |at| text(at, &format!("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n{RULE}")), false),
    ("two documents", |at| text(at, &format!("{RULE}---\n{RULE}")), false),
    ("nested a hundred thousand times", |at| text(at, &"[".repeat(100_000)), false),
    ("a gigabyte", |at| File::create(at).unwrap().set_len(1 << 30).unwrap(), false),
    ("a link to something bad", |at| symlink("/proc/self/cmdline", at).unwrap(), false),
    ("a link to nothing", |at| symlink("/nowhere", at).unwrap(), true),
    ("a folder", |at| fs::create_dir(at).unwrap(), true),
];

/// Bad rule files appear beside the good ones of a daemon at work, and go again. The good ones judge everything.
pub(crate) fn bad_rules(trial: &mut Trial) {
    let mut stage = Stage::set(1, 4);
    let folder = own_rules(&mut stage.place);
    let (feeder, total) = stage.feed(brief(trial.seed));
    stage.start();
    stage.wait_ready();
    let rules = stage.place.metric("shewhart_rules");
    let taken = |place: &Place| place.metric("shewhart_config_last_reload_successful");
    let file = folder.join("zz.yaml");
    for (run, (what, put, good)) in (0..trial.runs).zip(SCRIPTS.into_iter().cycle()) {
        let pid = stage.daemon().pid();
        let before = status(pid, "VmRSS:").unwrap();
        put(&file);
        feeder.allow(total * (run + 1) / (trial.runs + 1));
        if good {
            stage.live(Duration::from_secs(3));
            assert_eq!(taken(&stage.place), Some(1.0), "{what}");
        } else {
            stage.wait(what, |place| taken(place) == Some(0.0));
            assert!(stage.place.log().contains("zz.yaml"), "{what}: the log does not name the file");
            // Not because of the records: they are few.
            let more = status(pid, "VmRSS:").unwrap().saturating_sub(before);
            assert!(more < 100 << 10, "{what}: {more} KiB more");
        }
        assert_eq!(stage.place.metric("shewhart_rules"), rules, "{what}");
        let gone = if file.is_dir() { fs::remove_dir(&file) } else { fs::remove_file(&file) };
        gone.unwrap();
        stage.wait(what, |place| taken(place) == Some(1.0));
    }
    stage.end(trial, feeder.finish());
}

/// A rule goes while its alert is open: told once, as that and not as a recovery.
pub(crate) fn rule_gone(trial: &mut Trial) {
    let mut stage = Stage::for_a_fleet(Receivers::willing());
    let folder = stage.place.path().to_owned();
    let put = |rules: &str| {
        fs::write(folder.join(".new"), rules).unwrap();
        fs::rename(folder.join(".new"), folder.join("rules.yaml")).unwrap();
    };
    let without = RULES.replace("alert: Outage", "alert: Other").replace("agent: \"c*\"", "agent: \"x*\"");
    let mut fleet = Fleet::new(stage.broker.bootstrap());
    stage.start();
    let firing = "SELECT count(*) FROM alerts WHERE state = 'firing'";
    for (run, agent) in agents('c', trial.runs).iter().enumerate() {
        fleet.fail(std::slice::from_ref(agent));
        stage.wait("an open alert", |place| place.ask(firing) == Some(1));
        put(&without);
        if trial.pick(0..2) == 0 {
            stage.live(Duration::from_millis(trial.pick(0..3_000)));
            stage.kill();
            stage.start();
        }
        stage.wait("its end", |place| place.ask(firing) == Some(0));
        // Lest it fires again under the rule that comes back.
        fleet.recover(std::slice::from_ref(agent));
        stage.wait_committed(fleet.sent);
        put(RULES);
        stage.wait("the rule", |place| place.page("/api/v1/rules").is_some_and(|(_, page)| page.contains("Outage")));
        let ends = "SELECT count(*) FROM alert_events WHERE reason = 'rule_removed'";
        assert_eq!(stage.place.ask(ends), Some(run as i64 + 1), "each once");
    }
    stage.reach_the_end(fleet.sent);
    crate::check::delivered(&stage);
    crate::check::quiet(&stage.place);
}

/// A silence or an acknowledgement is answered with yes, and the daemon is killed at once.
pub(crate) fn yes_and_killed(trial: &mut Trial) {
    const TOKEN: &str = "Authorization: Bearer canary-7h3x-token-0123456789\r\n";
    assert!(TOKEN.contains(CANARY));
    let mut stage = Stage::for_a_fleet(Receivers::willing());
    let mut fleet = Fleet::new(stage.broker.bootstrap());
    let all = agents('c', trial.runs);
    let until = |seconds: i64| clock::now().plus(Span::SECOND.times(seconds)).to_string();
    let ask = |stage: &Stage, path: &str, body: &Value| {
        let (code, text) = stage.place.request("POST", path, TOKEN, &body.to_string()).unwrap();
        assert_eq!(code, 200, "{path}: {text}");
    };
    let told =
        |agent: &str| format!("SELECT count(*) FROM outbox WHERE state = 'delivered' AND message LIKE '%{agent}%'");
    for agent in &all {
        stage.start();
        stage.wait_ready();
        let matcher = format!("agent=\"{agent}\"");
        if trial.pick(0..2) == 0 {
            // An alert that is open when its silence ends, perhaps while no daemon runs, is told then.
            ask(&stage, "/api/v1/silences", &json!({ "matchers": [matcher], "comment": "c", "ends_at": until(6) }));
            stage.kill();
            let kept = format!("SELECT count(*) FROM silences WHERE matchers LIKE '%{agent}%'");
            assert_eq!(stage.place.ask(&kept), Some(1), "a silence that was promised");
            fleet.fail(std::slice::from_ref(agent));
            if trial.pick(0..2) == 0 {
                clock::sleep(Duration::from_secs(7));
            }
            stage.start();
            stage.wait("what was kept quiet", |place| place.ask(&told(agent)).is_some_and(|n| n > 0));
        } else {
            fleet.fail(std::slice::from_ref(agent));
            stage.wait("an alert", |place| place.ask(&told(agent)).is_some_and(|n| n > 0));
            let id = "SELECT min(alert_id) FROM v_alerts WHERE state = 'firing' AND acknowledged_by IS NULL";
            let id = stage.place.list(id).pop_first().unwrap();
            ask(&stage, "/api/v1/alerts/ack", &json!({ "alerts": [id], "note": "n", "owner": "ann" }));
            stage.kill();
            let kept = format!("SELECT count(*) FROM v_alerts WHERE alert_id = '{id}' AND acknowledged_by = 'ann'");
            assert_eq!(stage.place.ask(&kept), Some(1), "an acknowledgement that was promised");
            stage.start();
        }
        stage.wait_ready();
        stage.kill();
    }
    fleet.recover(&all);
    stage.reach_the_end(fleet.sent);
    crate::check::delivered(&stage);
    crate::check::quiet(&stage.place);
}
