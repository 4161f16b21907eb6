//! Real streams of which few verdicts are kept: how far the estimate lies from what all verdicts say, whether its intervals hold,
//! and what the shipped rules still find. `docs/real-data.md` holds the tables; these tests hold it to its word.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;
use shewhart::engine::around::How;
use shewhart::engine::baseline::Profile;
use shewhart::engine::confidence::{ConfidenceTable, Place};
use shewhart::engine::event::{Event, decode};
use shewhart::engine::standing::Standing;
use shewhart::engine::units::{Counts, Estimate, Timestamp};

use crate::real_data::{data, first, replayed};

/// Seeded draws of the verdicts that are kept, for every chunk.
const DRAWS: u64 = 40;
/// The draw of the verdicts that a replay keeps.
const SEED: u64 = 1;
/// Standard errors of a share below its promise that chance exceeds in one of thirty thousand cases.
const Z: f64 = 4.0;

/// The lines of a packed file.
pub(crate) fn lines(path: &Path) -> Vec<String> {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// A number in [0, 1) that follows from a seed and a number (Steele, Lea & Flood 2014).
pub(crate) fn uniform(seed: u64, number: u64) -> f64 {
    let mut z = seed
        .wrapping_mul(0xd134_2543_de82_ef95)
        .wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// An output with what became of it.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    at: Timestamp,
    pub(crate) place: Place,
    right: Option<bool>,
}

/// A stream: the baseline of its first outputs, and those after.
#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) profile: Profile,
    pub(crate) cases: Vec<Case>,
}

/// The streams of a file by agent, in the order of names.
fn streams(path: &Path, baseline: usize) -> BTreeMap<String, Stream> {
    streams_of(&lines(path), baseline)
}

/// The same of lines.
pub(crate) fn streams_of(lines: &[String], baseline: usize) -> BTreeMap<String, Stream> {
    let mut streams: BTreeMap<String, Stream> = BTreeMap::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines {
        match decode(line.as_bytes()).unwrap() {
            Event::Output(output) => {
                let stream = streams.entry(output.agent.to_string()).or_default();
                if stream.cases.len() < baseline {
                    stream.profile.absorb(&output, output.ts);
                }
                known.insert(output.event_id.to_string(), stream.cases.len());
                let place = Place::of(output.confidence, output.escalated);
                stream.cases.push(Case { at: output.ts, place, right: None });
            }
            Event::Feedback(feedback) => {
                let stream = streams.get_mut(feedback.agent.as_ref()).unwrap();
                let number = known[feedback.event_id.as_ref()];
                let case = &mut stream.cases[number];
                case.right = feedback.correct;
                if number < baseline {
                    let age = feedback.ts.since(case.at);
                    stream.profile.verdict((case.at, age), case.place, feedback.correct.unwrap());
                }
            }
        }
    }
    for stream in streams.values_mut() {
        stream.profile.settle(None);
        stream.cases.drain(..baseline);
    }
    streams
}

/// How estimates of chunks compare with what all of their verdicts say.
#[derive(Default)]
struct Score {
    n: f64,
    verdicts: f64,
    /// Of labels alone, and of the estimate.
    width: [f64; 2],
    covered: [f64; 2],
    squares: [f64; 2],
    /// Of each chunk how far calibrated confidence alone lies above the truth, and that.
    confidence: Vec<(f64, f64)>,
}

impl Score {
    /// Adds the chunks of a stream, whose cases all have a verdict, with a share of them kept.
    fn add(&mut self, cases: &[Case], profile: &Profile, (size, share): (usize, f64)) {
        let map = profile.calibration().unwrap();
        for (at, chunk) in cases.chunks_exact(size).enumerate() {
            let right = chunk.iter().filter(|case| case.right.unwrap()).count();
            let truth = right as f64 / size as f64;
            let said: f64 = chunk.iter().map(|case| map.accuracy(case.place.confidence().unwrap())).sum();
            self.confidence.push((said / size as f64 - truth, truth));
            for draw in 0..DRAWS {
                let number = |case: usize| (at * size + case) as u64;
                let standing = standing(chunk, |case| uniform(draw, number(case)) < share);
                self.n += 1.0;
                self.verdicts += standing.labelled as f64;
                for (kind, found) in [standing.labels, standing.estimate].into_iter().enumerate() {
                    let Estimate { value, low, high } = found.unwrap();
                    self.width[kind] += high - low;
                    self.covered[kind] += f64::from(u8::from((low..=high).contains(&truth)));
                    self.squares[kind] += (value - truth) * (value - truth);
                }
            }
        }
    }

    fn ratio(&self) -> f64 {
        self.width[1] / self.width[0]
    }

    /// A row of the table, in points.
    fn row(&self, name: &str) -> String {
        let points = |x: f64| format!("{:.1}", 100.0 * x);
        let mean = |sum: f64| sum / self.n;
        let [labels, estimate] = self.width.map(|x| points(mean(x)));
        let [held, estimate_held] = self.covered.map(|x| points(mean(x)));
        let [error, estimate_error] = self.squares.map(|x| points(mean(x).sqrt()));
        let chunks = self.confidence.len() as f64;
        let alone = points((self.confidence.iter().map(|(x, _)| x * x).sum::<f64>() / chunks).sqrt());
        let bias = 100.0 * self.confidence.iter().map(|(x, _)| x).sum::<f64>() / chunks;
        let verdicts = mean(self.verdicts);
        format!(
            "| {name} | {chunks} | {verdicts:.0} | {labels} | {estimate} | {held} % | {estimate_held} % | {error} | {estimate_error} | {alone} | {bias:+.1} |"
        )
    }
}

/// The standing of a chunk of which only some verdicts are known.
fn standing(chunk: &[Case], kept: impl Fn(usize) -> bool) -> Standing {
    let (mut table, mut verdicts) = (ConfidenceTable::default(), Counts::default());
    for (at, case) in chunk.iter().enumerate() {
        table.output(case.place);
        if let Some(right) = case.right.filter(|_| kept(at)) {
            table.verdict(case.place, right);
            verdicts.add(right);
        }
    }
    Standing::of(chunk.len() as u64, verdicts, &table)
}

/// The document holds these rows.
#[track_caller]
fn documented(rows: &[String]) {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/real-data.md")).unwrap();
    let missing: Vec<&String> = rows.iter().filter(|row| !text.contains(*row)).collect();
    assert!(missing.is_empty(), "docs/real-data.md lacks some of\n{}", rows.join("\n"));
}

/// The estimate's intervals hold what they promise, and are never much wider than those of labels alone.
#[track_caller]
fn holds(name: &str, score: &Score, narrower: f64) {
    let least = 0.95 - Z * (0.95 * 0.05 / score.n).sqrt();
    let covered = score.covered[1] / score.n;
    assert!(covered >= least, "{name}: {covered} of {} and not {least}", score.n);
    assert!(score.ratio() <= narrower, "{name}: {} times as wide as labels alone", score.ratio());
}

#[test]
fn estimates_from_few_verdicts_hold_what_all_verdicts_say() {
    let mut rows = Vec::new();
    if let Some(path) = data("nannyml_car_loan") {
        let stream = &streams(&path, 50_000)["car-loan-scorer"];
        let (before, after) = stream.cases.split_at(25_000);
        for (name, cases) in [("car_loan, before the change", before), ("car_loan, after it", after)] {
            let mut score = Score::default();
            score.add(cases, &stream.profile, (1_000, 0.05));
            holds(name, &score, 0.97);
            rows.push(score.row(name));
        }
    }
    if let Some(path) = data("nannyml_california") {
        let stream = &streams(&path, 5_832)["house-value-classifier"];
        let mut score = Score::default();
        score.add(&stream.cases, &stream.profile, (1_000, 0.05));
        holds("california", &score, 1.0);
        // What confidence alone says is further off than it says, by far.
        let (far, truth) = score.confidence.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        assert!(far > 0.2, "{far}");
        rows.push(format!("says {:.0} % of a chunk that is {:.0} % right", 100.0 * (truth + far), 100.0 * truth));
        rows.push(score.row("california"));
    }
    if let Some(path) = data("adult_shift_ladder") {
        for (agent, stream) in streams(&path, 10_000) {
            let mut score = Score::default();
            score.add(&stream.cases, &stream.profile, (1_000, 0.05));
            holds(&agent, &score, 0.97);
            rows.push(score.row(&agent));
        }
    }
    if let Some(path) = data("forecast_market_crowd") {
        let stream = &streams(&path, 1_000)["market-crowd"];
        // What did not resolve has no truth, so the resolved ones stand for all.
        let resolved: Vec<Case> = stream.cases.iter().filter(|case| case.right.is_some()).copied().collect();
        let mut score = Score::default();
        score.add(&resolved, &stream.profile, (500, 0.36));
        holds("forecast", &score, 1.0);
        rows.push(score.row("market_crowd, of the resolved"));
        // As it is, the resolved ones are those that the crowd was sure of.
        let standing = standing(&stream.cases[..500], |_| true);
        assert_eq!(standing.how, How::Stratified);
        assert!(standing.estimate.unwrap().value < standing.labels.unwrap().low, "{standing:?}");
    }
    documented(&rows);
}

/// A file of which a share of the verdicts after each agent's baseline is kept.
fn thinned(path: &Path, baseline: u64, share: f64) -> tempfile::NamedTempFile {
    let mut outputs: BTreeMap<String, u64> = BTreeMap::new();
    let mut first: BTreeMap<String, bool> = BTreeMap::new();
    let (mut text, mut number) = (String::new(), 0);
    for line in lines(path) {
        let event: Value = serde_json::from_str(&line).unwrap();
        let id = event["event_id"].as_str().unwrap().to_owned();
        if event["type"] == "output" {
            let seen = outputs.entry(event["agent"].as_str().unwrap().to_owned()).or_default();
            *seen += 1;
            first.insert(id, *seen <= baseline);
        } else {
            number += 1;
            if !first[&id] && uniform(SEED, number) >= share {
                continue;
            }
        }
        writeln!(text, "{line}").unwrap();
    }
    let file = tempfile::Builder::new().suffix(".jsonl").tempfile().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

/// Alerts under the shipped rules with 5 % of the verdicts after the baseline.
fn with_few_verdicts(name: &str, baseline: u64) -> Option<Vec<Value>> {
    let path = data(name)?;
    let file = thinned(&path, baseline, 0.05);
    Some(replayed(file.path(), baseline, "agent"))
}

/// A row of the table: where each alert came first after the change, in outputs.
fn found(name: &str, alerts: &[Value], agent: &str) -> String {
    let mut row = format!("| {name} |");
    for alert in ["AccuracySuspected", "AccuracyDrifting", "AccuracyDegraded", "CalibrationBroken"] {
        let at = first(alerts, alert, agent).map_or_else(|| "-".to_owned(), thousands);
        write!(row, " {at} |").unwrap();
    }
    row
}

fn thousands(n: u64) -> String {
    if n < 1_000 { n.to_string() } else { format!("{},{:03}", n / 1_000, n % 1_000) }
}

#[test]
fn a_twentieth_of_the_verdicts_finds_what_confidence_knows_of() {
    let mut rows = Vec::new();
    if let Some(alerts) = with_few_verdicts("nannyml_car_loan", 50_000) {
        rows.push(found("car_loan", &alerts, "car-loan-scorer"));
        let suspected = first(&alerts, "AccuracySuspected", "car-loan-scorer");
        assert!(suspected.is_some_and(|at| (75_000..76_000).contains(&at)), "{suspected:?}");
    }
    if let Some(alerts) = with_few_verdicts("nannyml_california", 5_832) {
        rows.push(found("california", &alerts, "house-value-classifier"));
    }
    if let Some(alerts) = with_few_verdicts("adult_shift_ladder", 10_000) {
        for agent in ["a", "b", "c", "d", "e", "f", "g"].map(|letter| format!("income-{letter}")) {
            rows.push(found(&agent, &alerts, &agent));
        }
        for agent in ["income-c", "income-f"] {
            let suspected = first(&alerts, "AccuracySuspected", agent);
            assert!(suspected.is_some_and(|at| (10_000..11_000).contains(&at)), "{agent}: {suspected:?}");
        }
        assert_eq!(first(&alerts, "AccuracySuspected", "income-b"), None);
    }
    documented(&rows);
}
