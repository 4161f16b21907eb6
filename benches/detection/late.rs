//! Verdicts that come late: what waiting for them is for, what it costs, and whether another pace of them is told.
//!
//! Whole streams go through the engine as JSON records: a provisional baseline of 5,000 outputs, then the rule below. Outputs come
//! at random, accuracy is 0.92, and the delays of verdicts are lognormal with the median that is named. "In the order of
//! arrival" is the production chart of shares, fed with the same verdicts as they come; its level is that of all verdicts on
//! the same 5,000 outputs. So the two differ in the order alone.
//!
//! What is promised is 1 / ARL0 for every verdict that a chart took. Weeks are counted from the first of them. "Pace told" is how
//! often a year a steady stream is told that its label delay changed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::sync::Arc;

use shewhart::engine::alert::State;
use shewhart::engine::baseline::BaselineSet;
use shewhart::engine::detect::{DesignCache, ProportionChart, ProportionDesign};
use shewhart::engine::rule::{RuleSet, Source, compile};
use shewhart::engine::stream::Stream;
use shewhart::engine::units::{Counts, Partition, Timestamp};
use shewhart::engine::{Effect, Engine, Group, Input, Settings};

use super::charts::DELTA;
use super::study::{Figure, Study, Xorshift, mean};
use super::world::ACCURACY;

const RULE: &str = "groups: [{ name: g, rules: [{ alert: A, detect: { measure: accuracy, drop: 2pp, arl0: 20000, \
                    grade: drifting }, labels: { severity: critical } }] }]";
const ARL0: f64 = 20_000.0;
/// Outputs of the baseline.
const BASELINE: u64 = 5_000;
const START: Timestamp = Timestamp::from_millis(1_767_571_200_000);
const DAY: f64 = 86.4e6;
const HOUR: f64 = 3.6e6;
const WEEKS: [f64; 2] = [1.0, 8.0];
/// The pace of verdicts is looked at after so many of them, a quarter of its window.
const LOOKS: u64 = 100;
const WINDOW: f64 = 400.0;
/// A change comes this many days after the charts began, or up to as many later ...
const SETTLED: f64 = 7.0;
/// ... and is waited for so many days at most.
const MOST: f64 = 40.0;
const DROPS: [f64; 2] = [0.02, 0.05];

/// When a verdict comes: the median age of its output in hours, and the standard deviation of that age's logarithm.
type Delay = (f64, f64);

/// Streams of one kind.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    /// Outputs a day, and the share of them that is labelled.
    per_day: f64,
    labelled: f64,
    /// When right ones and wrong ones come; nothing where verdicts come with their outputs.
    delays: Option<[Delay; 2]>,
    /// Streams in control in a repetition: watched for eight weeks, and for a week alone.
    streams: [u32; 2],
    /// Changes in a repetition; none where that would take too long.
    changes: u32,
}

const PLAIN: Row = Row {
    name: "all after 8 h",
    per_day: 1_200.0,
    labelled: 1.0,
    delays: Some([(8.0, 0.5), (8.0, 0.5)]),
    streams: [2, 2],
    changes: 2,
};
const ERRORS_FIRST: [Delay; 2] = [(24.0, 0.3), (1.0, 0.5)];

const ROWS: [Row; 7] = [
    PLAIN,
    Row { name: "errors 1 h, confirmations 24 h", delays: Some(ERRORS_FIRST), ..PLAIN },
    Row { name: "confirmations 1 h, errors 24 h", delays: Some([(1.0, 0.5), (24.0, 0.3)]), ..PLAIN },
    Row {
        name: "errors first, 12,000 a day",
        per_day: 12_000.0,
        delays: Some(ERRORS_FIRST),
        streams: [0, 2],
        changes: 0,
        ..PLAIN
    },
    Row {
        name: "errors 3 days, confirmations 20",
        delays: Some([(480.0, 0.5), (72.0, 0.5)]),
        streams: [1, 3],
        changes: 1,
        ..PLAIN
    },
    Row {
        name: "errors first, 5 % labelled",
        per_day: 4_800.0,
        labelled: 0.05,
        delays: Some(ERRORS_FIRST),
        streams: [1, 5],
        changes: 0,
    },
    Row { name: "with their outputs", delays: None, ..PLAIN },
];

/// A chart in the order of arrival, with what it was fed and how often it alarmed.
struct Arrival {
    chart: ProportionChart,
    n: f64,
    alarms: u32,
    out: bool,
}

impl Arrival {
    fn new(baseline: Counts) -> Self {
        let design = ProportionDesign::new(baseline, DELTA, ARL0);
        let chart = ProportionChart::new(&design, &mut DesignCache::new());
        Self { chart, n: 0.0, alarms: 0, out: false }
    }

    fn take(&mut self, right: bool, at: Timestamp) {
        self.chart.update(!right, at);
        let out = self.chart.grade().is_some();
        self.alarms += u32::from(out && !self.out);
        self.n += 1.0;
        self.out = out;
    }
}

/// One stream with its engine.
struct Agent {
    row: Row,
    accuracy: f64,
    engine: Engine,
    random: Xorshift,
    /// Milliseconds since the start.
    now: f64,
    outputs: u64,
    labels: u64,
    /// Wrong ones of the verdicts on outputs of the baseline.
    baseline: Counts,
    /// Verdicts to come: when, on which output, and right or not.
    coming: BinaryHeap<Reverse<(i64, u64, bool)>>,
    arrival: Option<Arrival>,
    fired: u32,
    open: bool,
    /// How often another pace of verdicts was told, and whether it is now.
    paces: u32,
    other_pace: bool,
    json: String,
    effects: Vec<Effect>,
}

impl Agent {
    fn new(row: Row, rules: &Arc<RuleSet>, seed: &mut Xorshift) -> Self {
        let settings = Settings { group_by: vec![Group::Agent], provisional_outputs: BASELINE, ..Settings::default() };
        let baselines = Arc::new(BaselineSet::default());
        Self {
            row,
            accuracy: ACCURACY,
            engine: Engine::new(Partition(0), Arc::new(settings), Arc::clone(rules), baselines),
            random: Xorshift::new((seed.uniform() * 1e15) as u64),
            now: 0.0,
            outputs: 0,
            labels: 0,
            baseline: Counts::default(),
            coming: BinaryHeap::new(),
            arrival: None,
            fired: 0,
            open: false,
            paces: 0,
            other_pace: false,
            json: String::new(),
            effects: Vec::new(),
        }
    }

    fn stream(&self) -> &Stream {
        self.engine.streams().next().expect("an output came")
    }

    /// False alarms promised so far.
    fn promised(&self) -> f64 {
        let stream = self.stream();
        stream.promised(stream.memory.last_seen).so_far
    }

    fn step(&mut self) {
        let (offset, payload) = (self.engine.position().next, self.json.as_bytes());
        self.engine.step(Input::Record { offset, appended: None, payload }, &mut self.effects);
        self.engine.forget_unwritten();
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Crossed(crossing) => {
                    self.open = crossing.to == State::Firing;
                    self.fired += u32::from(self.open);
                }
                Effect::Rejected { rejection, .. } => panic!("{rejection:?}"),
                _ => {}
            }
        }
    }

    /// One output, and the verdicts that come before it.
    fn output(&mut self) {
        self.now -= (1.0 - self.random.uniform()).ln() * DAY / self.row.per_day;
        let ts = START.as_millis() + self.now as i64;
        while let Some(Reverse((at, id, right))) = self.coming.peek().copied().filter(|Reverse((at, ..))| *at <= ts) {
            self.coming.pop();
            self.json.clear();
            let json = &mut self.json;
            write!(json, r#"{{"type":"feedback","event_id":"{id}","agent":"a","ts":{at},"correct":{right}}}"#)
                .expect("text takes text");
            self.step();
            self.verdict(id, right, at);
        }
        let id = self.outputs;
        self.outputs += 1;
        if id == BASELINE {
            self.arrival = Some(Arrival::new(self.baseline));
        }
        let (right, labelled) = (self.random.hit(self.accuracy), self.random.hit(self.row.labelled));
        self.json.clear();
        write!(self.json, r#"{{"type":"output","event_id":"{id}","agent":"a","ts":{ts},"confidence":0.9"#)
            .expect("text takes text");
        if labelled && self.row.delays.is_none() {
            write!(self.json, r#","correct":{right}"#).expect("text takes text");
        }
        self.json.push('}');
        self.step();
        if labelled && id < BASELINE {
            self.baseline.add(!right);
        }
        match self.row.delays {
            Some([rights, wrongs]) if labelled => {
                let (median, sigma) = if right { rights } else { wrongs };
                let delay = median * HOUR * (sigma * self.random.normal()).exp();
                self.coming.push(Reverse((ts + delay as i64, id, right)));
            }
            None if labelled => self.verdict(id, right, ts),
            _ => {}
        }
    }

    fn verdict(&mut self, id: u64, right: bool, at: i64) {
        self.labels += 1;
        if self.labels.is_multiple_of(LOOKS) {
            let told = self.is_told();
            self.paces += u32::from(told && !self.other_pace);
            self.other_pace = told;
        }
        if let Some(arrival) = self.arrival.as_mut().filter(|_| id >= BASELINE) {
            arrival.take(right, Timestamp::from_millis(at));
        }
    }

    /// Whether the pace of verdicts is said to have changed.
    fn is_told(&self) -> bool {
        let stream = self.stream();
        let delays = stream.baseline.as_ref().map(|baseline| &baseline.profile.delays);
        delays.is_some_and(|delays| stream.memory.pace.change(delays).is_some())
    }

    /// Goes on for so many days.
    fn go_on(&mut self, days: f64) {
        let until = self.now + days * DAY;
        while self.now < until {
            self.output();
        }
    }

    /// Goes on until the chart of accuracy takes its first verdict.
    fn begin(&mut self) {
        while self.outputs <= BASELINE || self.promised() == 0.0 {
            (0..20).for_each(|_| self.output());
        }
    }

    /// False alarms, and promised ones: as judged, and in the order of arrival.
    fn counts(&self) -> [f64; 4] {
        let (n, alarms) = self.arrival.as_ref().map_or((0.0, 0), |arrival| (arrival.n, arrival.alarms));
        [f64::from(self.fired), self.promised(), f64::from(alarms), n / ARL0]
    }
}

/// A stream that was watched for some time, and whose accuracy nobody doubts.
fn settled(row: Row, rules: &Arc<RuleSet>, random: &mut Xorshift) -> Agent {
    loop {
        let mut agent = Agent::new(row, rules, random);
        agent.begin();
        agent.go_on(SETTLED * (1.0 + random.uniform()));
        if !agent.open {
            return agent;
        }
    }
}

/// The days from a fall to the alert.
fn delay(row: Row, drop: f64, rules: &Arc<RuleSet>, random: &mut Xorshift) -> f64 {
    let mut agent = settled(row, rules, random);
    let (changed, before) = (agent.now, agent.fired);
    agent.accuracy -= drop;
    while agent.fired == before && agent.now < changed + MOST * DAY {
        agent.output();
    }
    (agent.now - changed) / DAY
}

/// What one row shows.
struct Shown {
    /// Hours.
    wait: Figure,
    /// False alarms over the promise in the first week and in eight.
    judged: [Figure; 2],
    /// The same in the order of arrival.
    arrival: [Figure; 2],
    /// Changes of the pace that are told in a year.
    paces: Figure,
}

fn control(row: Row, study: &Study, cell: u64, rules: &Arc<RuleSet>) -> Shown {
    let [week, weeks] = WEEKS.map(|weeks| 7.0 * weeks);
    let [wait, first, all, first_arrival, all_arrival, paces] = study.repeat(cell, |random| {
        let (mut sums, mut waits, mut paces, mut days) = ([[0.0; 4]; 2], Vec::new(), 0.0, 0.0);
        for (kind, streams) in row.streams.into_iter().enumerate().filter(|(_, streams)| *streams > 0) {
            for _ in 0..study.streams(streams) {
                let mut agent = Agent::new(row, rules, random);
                agent.begin();
                agent.go_on(week);
                waits.push(agent.stream().wait().age.as_days_f64() * 24.0);
                let [first, all] = &mut sums;
                add(first, agent.counts());
                if kind == 0 {
                    agent.go_on(weeks - week);
                    add(all, agent.counts());
                }
                paces += f64::from(agent.paces);
                days += agent.now / DAY;
            }
        }
        let [week, all] = sums.map(|[alarms, promised, arrived, owed]| (alarms / promised, arrived / owed));
        [mean(&waits), week.0, all.0, week.1, all.1, 365.0 * paces / days]
    });
    Shown { wait, judged: [first, all], arrival: [first_arrival, all_arrival], paces }
}

fn add(sums: &mut [f64; 4], counts: [f64; 4]) {
    sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
}

fn table(study: &Study, rules: &Arc<RuleSet>) {
    println!("False alarms over the promise where verdicts come late, and days to the alert:");
    println!(
        "  {:<32} {:<11} {:<13} {:<13} {:<14} {:<14} {:<13} {:<13} 5 points",
        "verdicts come",
        "wait, hours",
        "first week",
        "eight weeks",
        "arrival, 1 wk",
        "arrival, 8 wk",
        "pace told",
        "2 points"
    );
    for (cell, row) in (0..).zip(ROWS) {
        let Shown { wait, judged: [week, weeks], arrival: [arrival, arrivals], paces } =
            control(row, study, cell, rules);
        print!("  {:<32} {wait:<11.1} {week:<13.2} {weeks:<13.2} {arrival:<14.2} {arrivals:<14.2} ", row.name);
        print!("{paces:<13.2} ");
        for (nth, drop) in (1..).zip(DROPS).filter(|_| row.changes > 0) {
            let [days] = study.repeat(cell + 100 * nth, |random| {
                let runs = (0..study.streams(row.changes)).map(|_| delay(row, drop, rules, random));
                [mean(&runs.collect::<Vec<f64>>())]
            });
            print!("{days:<13.2} ");
        }
        println!();
    }
}

/// Verdicts, in windows, from a change of their delays until it is told.
fn windows(row: Row, then: [Delay; 2], rules: &Arc<RuleSet>, random: &mut Xorshift) -> f64 {
    let mut agent = settled(row, rules, random);
    (agent.row.delays, agent.other_pace) = (Some(then), false);
    let (changed, labels, before) = (agent.now, agent.labels, agent.paces);
    while agent.paces == before && agent.now < changed + MOST * DAY {
        agent.output();
    }
    (agent.labels - labels) as f64 / WINDOW
}

fn pace(study: &Study, rules: &Arc<RuleSet>) {
    let row = Row { delays: Some([(24.0, 0.3), (24.0, 0.3)]), ..PLAIN };
    let kinds = [
        ("errors after 1 h", [(24.0, 0.3), (1.0, 0.5)]),
        ("errors after 12 h", [(24.0, 0.3), (12.0, 0.3)]),
        ("all after 12 h", [(12.0, 0.3), (12.0, 0.3)]),
    ];
    println!("Windows of 400 verdicts until another pace is told, where all came after 24 h, and then:");
    for (cell, (name, then)) in (500..).zip(kinds) {
        let [until] = study.repeat(cell, |random| {
            [mean(&(0..study.runs(2)).map(|_| windows(row, then, rules, random)).collect::<Vec<f64>>())]
        });
        println!("  {name:<32} {until:.1}");
    }
}

pub(crate) fn run(study: &Study) {
    let source = Source { name: "late.yaml".to_owned(), text: RULE.to_owned() };
    let rules = Arc::new(compile(&[source]).rules.expect("the rule is one"));
    table(study, &rules);
    pace(study, &rules);
}
