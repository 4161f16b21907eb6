//! The rule of the profile over simulated agents: what moves only together is found, told and resolved.

use std::sync::Arc;

use shewhart::engine::alert::{Crossing, Reason, State};
use shewhart::engine::baseline::BaselineSet;
use shewhart::engine::rule::{Characteristic, Source, compile};
use shewhart::engine::units::Partition;
use shewhart::engine::{Effect, Engine, Group, Input, Settings};

const START: i64 = 1_767_571_200_000;
/// Outputs in an hour.
const PER_HOUR: i64 = 60;

const RULES: &str = r#"
groups:
  - name: together
    rules:
      - alert: HourUnusual
        detect: { measure: profile, false_alarms: 1 per 90d }
        labels: { severity: warning }
        annotations: { summary: "{{ moved }}" }
      - { alert: Cost, detect: { measure: cost, rise: 20% }, labels: { severity: warning }, annotations: { summary: x } }
      - { alert: Latency, detect: { measure: metrics.ms, rise: 20% }, labels: { severity: warning } }
      - { alert: Confidence, detect: { measure: confidence, drop: 2pp }, labels: { severity: warning } }
      - { alert: Escalation, detect: { measure: escalation_rate, rise: 5pp }, labels: { severity: warning } }
"#;

/// Sums of twelve uniform numbers, near enough to normal.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// An hour of outputs. (Latency is told as a number too: a chart of its mean is one that hours may differ for.) Latency and cost rise and fall together from hour to hour, by the size of the work; `apart` moves the one up
/// and the other down.
fn hour(noise: &mut Noise, hour: i64, apart: f64) -> Vec<String> {
    let work = 0.1 * noise.normal();
    (0..PER_HOUR)
        .map(|i| {
            let (id, ts) = (hour * PER_HOUR + i, START + hour * 3_600_000 + i * 3_600_000 / PER_HOUR);
            let latency = 600.0 * (work + apart + 0.1 * noise.normal()).exp();
            let cost = 0.01 * (work - apart + 0.1 * noise.normal()).exp();
            let confidence = (0.85 + 0.05 * noise.normal()).clamp(0.0, 1.0);
            let escalated = noise.uniform() < 0.08;
            format!(
                r#"{{"event_id":"e{id}","agent":"a","ts":{ts},"latency_ms":{latency},"metrics":{{"ms":{latency}}},"cost_usd":{cost},"confidence":{confidence},"escalated":{escalated}}}"#
            )
        })
        .collect()
}

fn run(noise: &mut Noise, hours: &[(i64, f64)]) -> Vec<Crossing> {
    let compiled = compile(&[Source { name: "test.yaml".to_owned(), text: RULES.to_owned() }]);
    let rules = Arc::new(compiled.rules.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics)));
    let settings = Settings { group_by: vec![Group::Agent], provisional_outputs: 6_000, ..Settings::default() };
    let mut engine = Engine::new(Partition(0), Arc::new(settings), rules, Arc::new(BaselineSet::default()));
    let mut effects = Vec::new();
    let apart = hours.iter().flat_map(|(n, apart)| (0..*n).map(|_| *apart));
    for (n, apart) in apart.enumerate() {
        for record in hour(noise, n as i64, apart) {
            let offset = engine.position().next;
            engine.step(Input::Record { offset, appended: None, payload: record.as_bytes() }, &mut effects);
        }
    }
    let drawn = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Drawn { point, .. } if point.method.starts_with("T2")))
        .count();
    let all: i64 = hours.iter().map(|(n, _)| n).sum();
    assert!((all - 110..all - 98).contains(&(drawn as i64)), "T2 is drawn beside once an hour: {drawn}");
    effects
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Crossed(crossing) => Some(*crossing),
            _ => None,
        })
        .collect()
}

#[test]
fn what_moves_only_together_is_found_told_and_resolved_and_no_other_rule_sees_it() {
    // A hundred hours of baseline, two hundred more as they were, then latency up and cost down by 3 %, where
    // hours differ by 10 %, then back.
    let told = run(&mut Noise(7), &[(300, 0.0), (100, 0.03), (60, 0.0)]);
    let story: Vec<(&str, State, Reason)> =
        told.iter().map(|crossing| (crossing.alert.as_str(), crossing.to, crossing.reason)).collect();
    assert_eq!(
        story,
        [("HourUnusual", State::Firing, Reason::Signalled), ("HourUnusual", State::Resolved, Reason::Recovered)]
    );
    let at = |crossing: &Crossing| (crossing.at.as_millis() - START) / 3_600_000;
    let (fired, resolved) = (at(&told[0]), at(&told[1]));
    assert!((301..315).contains(&fired) && (409..430).contains(&resolved), "{fired} {resolved}");
    let account = told[0].account.as_ref().unwrap();
    let began = (account.changed_at.unwrap().as_millis() - START) / 3_600_000;
    assert!((297..=302).contains(&began), "{began}");
    let moved: Vec<(Characteristic, bool)> =
        account.moved.iter().take(2).map(|part| (part.characteristic, part.given > 0.0)).collect();
    assert!(moved.contains(&(Characteristic::Latency, true)) && moved.contains(&(Characteristic::Cost, false)));
    let summary = &told[0].annotations["summary"];
    assert!(summary.contains("usual alone, but lower than the others imply"), "{summary}");
}
