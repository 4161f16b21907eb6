//! What a storm costs the router: many streams begin to fail in one batch, and end in another.
//!
//! Run with `cargo bench --bench router --no-default-features`. Ten times the alerts should cost about ten times as much: what grows faster
//! looks at every group for every alert.

use std::collections::BTreeMap;

use divan::Bencher;
use shewhart::engine::alert::{Crossing, Id, Reason, State};
use shewhart::engine::route::{Inhibition, Pace, Policy, Route, Router, Signal};
use shewhart::engine::units::{Offset, Partition, Span, Timestamp};

const BY_AGENT: [&str; 2] = ["alertname", "agent"];
const SIZES: [usize; 3] = [100, 1_000, 10_000];

fn main() {
    divan::main();
}

fn crossing(agent: usize, to: State) -> Signal {
    let agent = format!("agent-{agent}");
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Signal::Crossed(Box::new(Crossing {
        alert_id: Id::of(&[agent.as_bytes()]),
        id: Id::of(&[agent.as_bytes(), to.as_str().as_bytes()]),
        transition: 1,
        rule: "g/A".to_owned(),
        alert: "A".to_owned(),
        labels: BTreeMap::from([label("agent", &agent), label("alertname", "A"), label("severity", "warning")]),
        annotations: BTreeMap::new(),
        from: State::Inactive,
        to,
        reason: Reason::Signalled,
        at: Timestamp::from_millis(0),
        started_at: Timestamp::from_millis(0),
        position: (Partition(0), Offset(0)),
        account: None,
    }))
}

fn policy(wait: Span, group_by: &[&str]) -> Policy {
    let pace = Pace { wait, interval: wait, ..Pace::default() };
    let mut policy = Policy::new(vec![Route::to("ops", group_by, pace)]);
    policy.inhibitions.push(Inhibition {
        source: vec!["severity=critical".parse().expect("a matcher")],
        target: vec!["severity=warning".parse().expect("a matcher")],
        equal: vec!["agent".to_owned()],
    });
    policy
}

fn storm(mut router: Router, signals: Vec<Signal>) -> (Router, usize) {
    let mut messages = Vec::new();
    let now = Timestamp::from_millis(1_790_863_500_000);
    for signal in signals {
        router.step(signal, now, &mut messages);
    }
    router.step(Signal::Tick, now, &mut messages);
    for minute in 1..=3 {
        router.step(Signal::Tick, now.plus(Span::MINUTE.times(minute)), &mut messages);
    }
    (router, messages.len())
}

/// With the wait that is usual, everything is gathered, and told together.
#[divan::bench(args = SIZES, sample_count = 10)]
fn all_fire_with_a_wait(bencher: Bencher<'_, '_>, alerts: usize) {
    let router = Router::new(policy(Span::from_secs(30), &BY_AGENT));
    bencher
        .with_inputs(|| (router.clone(), (0..alerts).map(|n| crossing(n, State::Firing)).collect()))
        .bench_local_values(|(router, signals)| storm(router, signals));
}

/// Without one, each crossing may be told at once.
#[divan::bench(args = SIZES, sample_count = 3)]
fn all_fire_without_a_wait(bencher: Bencher<'_, '_>, alerts: usize) {
    let router = Router::new(policy(Span::from_secs(0), &BY_AGENT));
    bencher
        .with_inputs(|| (router.clone(), (0..alerts).map(|n| crossing(n, State::Firing)).collect()))
        .bench_local_values(|(router, signals)| storm(router, signals));
}

/// All alerts of one group end in one batch, of which each may be told at once.
#[divan::bench(args = SIZES, sample_count = 3)]
fn all_of_a_group_end_without_a_wait(bencher: Bencher<'_, '_>, alerts: usize) {
    let fires = (0..alerts).map(|n| crossing(n, State::Firing)).collect();
    let (router, _) = storm(Router::new(policy(Span::from_secs(0), &["alertname"])), fires);
    bencher
        .with_inputs(|| (router.clone(), (0..alerts).map(|n| crossing(n, State::Resolved)).collect()))
        .bench_local_values(|(router, signals)| storm(router, signals));
}

/// What is written down with every commit while all of them fire.
#[divan::bench(args = SIZES, sample_count = 10)]
fn write_down(bencher: Bencher<'_, '_>, alerts: usize) {
    let signals = (0..alerts).map(|n| crossing(n, State::Firing)).collect();
    let (router, _) = storm(Router::new(policy(Span::from_secs(30), &BY_AGENT)), signals);
    let bytes = postcard::to_stdvec(&router.memory()).expect("the memory can be written").len();
    bencher.counter(divan::counter::BytesCount::new(bytes)).bench_local(|| postcard::to_stdvec(&router.memory()));
}
