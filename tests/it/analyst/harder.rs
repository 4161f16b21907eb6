//! The harder questions of docs/schema.md against what the lines, the engine and the messages say.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shewhart::engine::units::Timestamp;

use super::questions::questions;
use super::world::{ARRIVED, Output, StreamName, db, name_of, outputs, quantile, rows, truth, wilson, world};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 86_400_000;

/// The answer to a question.
fn answer(number: u32) -> Vec<Value> {
    rows(&db(), &questions()[&number])
}

/// The rows of the agents whose records are all well formed.
fn sound(number: u32) -> Vec<Value> {
    let mut found = answer(number);
    found.retain(|row| row["agent"] != "intake");
    assert!(!found.is_empty(), "question {number}");
    found
}

fn near(row: &Value, name: &str, expected: f64) {
    let found = row[name].as_f64().unwrap_or_else(|| panic!("{name}: {row}"));
    assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{name}: {expected} {row}");
}

/// A percentile from a sketch.
fn about(row: &Value, name: &str, expected: f64) {
    let found = row[name].as_f64().unwrap_or_else(|| panic!("{name}: {row}"));
    assert!((found / expected - 1.0).abs() <= 0.001, "{name}: {expected} {row}");
}

fn count(row: &Value, name: &str, expected: usize) {
    assert_eq!(row[name].as_u64(), Some(expected as u64), "{name}: {row}");
}

fn millis(text: &Value) -> i64 {
    let text = text.as_str().unwrap();
    let text = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// Judged outputs, right ones.
fn verdicts<'o>(outputs: impl IntoIterator<Item = &'o Output>) -> (usize, usize) {
    let verdicts: Vec<bool> = outputs.into_iter().filter_map(|o| o.verdict).map(|(_, correct)| correct).collect();
    (verdicts.len(), verdicts.iter().filter(|correct| **correct).count())
}

/// Accuracy with its interval, in the columns of that name.
fn accuracy(row: &Value, (labelled, correct): (usize, usize)) {
    count(row, "labelled", labelled);
    let (low, high) = wilson(correct as i64, labelled as i64);
    near(row, "accuracy", correct as f64 / labelled as f64);
    near(row, "accuracy_low", low);
    near(row, "accuracy_high", high);
}

/// One phase of a stream: its version, and the outputs of the whole hours in it.
type Phase<'o> = (Option<String>, Vec<&'o Output>);

/// Each phase of each stream, by its beginning.
fn phases(outputs: &[Output]) -> BTreeMap<(StreamName, i64), Phase<'_>> {
    let mut streams: BTreeMap<StreamName, Vec<&Output>> = BTreeMap::new();
    for output in outputs {
        streams.entry(output.name.clone()).or_default().push(output);
    }
    let mut phases = BTreeMap::new();
    for (name, all) in streams {
        let newest = all.iter().map(|o| o.at_ms).max().unwrap() / 60_000 * 60_000;
        for part in all.chunk_by(|one, next| one.version == next.version) {
            let since = part[0].at_ms;
            let next = all.iter().find(|o| o.at_ms > part[part.len() - 1].at_ms).map_or(i64::MAX, |o| o.at_ms);
            let whole = |o: &&Output| {
                let hour = o.at_ms / HOUR * HOUR;
                hour >= since && hour + HOUR <= next && hour + HOUR - 60_000 + HOUR <= newest
            };
            let inside: Vec<&Output> = part.iter().copied().filter(whole).collect();
            phases.insert((name.clone(), since), (part[0].version.clone(), inside));
        }
    }
    phases
}

#[test]
fn versions_are_compared_by_their_whole_hours() {
    let outputs = outputs(&world().lines);
    let phases = phases(&outputs);
    for (number, percentiles) in [(5, true), (16, true), (28, false)] {
        let found = sound(number);
        assert_eq!(found.len(), phases.len(), "question {number}");
        for row in &found {
            let (version, inside) = &phases[&(name_of(row), millis(&row["since_at"]))];
            assert_eq!(row["version"].as_str(), version.as_deref());
            let latencies: Vec<f64> = inside.iter().filter_map(|o| o.latency).collect();
            if percentiles {
                about(row, "latency_p95_ms", quantile(&latencies, 0.95));
                count(row, "outputs", inside.len());
            }
            if number == 5 {
                near(row, "latency_mean_ms", latencies.iter().sum::<f64>() / latencies.len() as f64);
                continue;
            }
            let costs: Vec<f64> = inside.iter().filter_map(|o| o.cost).collect();
            let cost = costs.iter().sum::<f64>() / costs.len() as f64;
            near(row, "cost_mean_usd", cost);
            let verdicts = verdicts(inside.iter().copied());
            if number == 16 {
                accuracy(row, verdicts);
            } else {
                near(row, "cost_of_a_right_answer_usd", cost * verdicts.0 as f64 / verdicts.1 as f64);
            }
        }
    }
}

#[test]
fn labels_come_when_the_lines_say() {
    let outputs = outputs(&world().lines);
    let found = sound(17);
    for row in &found {
        let of_agent: Vec<i64> =
            outputs.iter().filter(|o| row["agent"] == o.name.0).filter_map(|o| Some(o.verdict?.0 - o.at_ms)).collect();
        let by_then = of_agent.iter().filter(|delay| **delay as f64 <= row["hours"].as_f64().unwrap() * HOUR as f64);
        near(row, "share_by_then", by_then.count() as f64 / of_agent.len() as f64);
    }
    let all: usize = outputs.iter().filter(|o| o.verdict.is_some()).count();
    assert_eq!(found.iter().map(|row| row["labels"].as_u64().unwrap()).sum::<u64>(), all as u64);
}

#[test]
fn another_limit_would_have_told_at_another_time() {
    let world = world();
    let of = |id: &str| world.findings.iter().find(|finding| finding.id == id).unwrap();
    let found = answer(18);
    assert_eq!(found.len(), 5 * world.findings.iter().filter(|f| f.measure == "accuracy").count());
    let streams = rows(&db(), "SELECT alert_id, stream_id, method FROM v_alerts");
    for row in &found {
        let finding = of(row["alert_id"].as_str().unwrap());
        let alert = streams.iter().find(|alert| alert["alert_id"] == row["alert_id"]).unwrap();
        let changed = finding.changed_at.as_ref().map(|text| millis(&text.as_str().into())).unwrap();
        let ended = finding.ended.map_or(i64::MAX, Timestamp::as_millis);
        let factor = row["factor"].as_f64().unwrap();
        let crossed = world
            .points
            .iter()
            .filter(|p| alert["stream_id"] == p.stream && p.measure == "accuracy" && alert["method"] == *p.method)
            .filter(|p| (changed..=ended).contains(&p.at_ms) && p.statistic > factor * p.limit)
            .map(|p| p.at_ms)
            .min();
        assert_eq!(row["crossed_ms"].as_i64(), crossed, "{row}");
    }
    let first = |factor: f64| found.iter().find(|row| row["factor"] == factor).unwrap()["crossed_ms"].as_i64();
    assert!(first(0.5) < first(2.0), "a looser limit tells sooner");
}

/// Statistic and limit, by time.
type Points = BTreeMap<i64, (f64, f64)>;

#[test]
fn another_limit_would_have_made_other_alarms() {
    let mut charts: BTreeMap<(&str, i64, &str), Points> = BTreeMap::new();
    for point in &world().points {
        let chart = charts.entry((&point.measure, point.stream, &point.chart)).or_default();
        chart.entry(point.at_ms).or_insert((point.statistic, point.limit));
    }
    let found = answer(19);
    for row in &found {
        let factor = row["factor"].as_f64().unwrap();
        let (mut alarms, mut above, mut points) = (0, 0, 0);
        for (_, chart) in charts.iter().filter(|((measure, ..), _)| row["measure"] == **measure) {
            let over: Vec<bool> = chart.values().map(|(statistic, limit)| *statistic > factor * limit).collect();
            alarms += usize::from(over[0]) + over.windows(2).filter(|pair| !pair[0] && pair[1]).count();
            above += over.iter().filter(|over| **over).count();
            points += over.len();
        }
        count(row, "alarms", alarms);
        count(row, "hours_above", above);
        count(row, "points", points);
    }
    let measures: BTreeSet<&str> = charts.keys().map(|(measure, ..)| *measure).collect();
    assert_eq!(found.len(), 5 * measures.len());
}

#[test]
fn rules_are_worth_what_people_and_times_say() {
    let world = world();
    let judged = world.judged.unwrap().to_string();
    let mut rules: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for finding in &world.findings {
        let changed = millis(&finding.changed_at.clone().unwrap().into());
        let took = (finding.fired.as_millis() - changed) as f64 / HOUR as f64;
        rules.entry(&finding.rule).or_default().push(took);
    }
    let found = answer(20);
    assert_eq!(found.len(), rules.len());
    for row in &found {
        let took = &rules[row["rule"].as_str().unwrap()];
        let is_judged = world.findings.iter().any(|f| f.id == judged && row["rule"] == f.rule);
        count(row, "fired", took.len());
        count(row, "judged_true", usize::from(is_judged));
        assert_eq!(row["precision"].as_f64(), is_judged.then_some(1.0), "{row}");
        near(row, "mean_hours_to_detection", took.iter().sum::<f64>() / took.len() as f64);
        near(row, "slowest_hours", took.iter().copied().fold(f64::MIN, f64::max));
    }
    let told = answer(29);
    let crossings = || world.messages.iter().flat_map(|(message, _)| &message.crossings);
    let of_judged = crossings().filter(|crossing| crossing.alert_id.to_string() == judged).count();
    let row = |verdict: &str| told.iter().find(|row| row["verdict"] == verdict).unwrap();
    count(row("true"), "told", of_judged);
    count(row("true"), "alerts", 1);
    count(row("not judged"), "told", crossings().count() - of_judged);
}

#[test]
fn percentiles_of_a_span_are_those_of_its_outputs() {
    let outputs = outputs(&world().lines);
    let newest = outputs.iter().map(|o| o.at_ms).max().unwrap();
    for row in sound(21) {
        let from = newest / DAY * DAY - DAY;
        let inside = outputs.iter().filter(|o| row["agent"] == o.name.0 && o.at_ms >= from);
        let latencies: Vec<f64> = inside.filter_map(|o| o.latency).collect();
        count(&row, "outputs", latencies.len());
        for (name, q) in [("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)] {
            about(&row, name, quantile(&latencies, q));
        }
        let above = |ms: f64| latencies.iter().filter(|latency| **latency > ms).count() as u64;
        let found = row["above_2_seconds"].as_u64().unwrap();
        assert!((above(2_002.0)..=above(1_998.0)).contains(&found), "{} {row}", above(2_000.0));
    }
}

#[test]
fn confidence_is_counted_by_tenths_and_by_escalation() {
    let outputs = outputs(&world().lines);
    let stated = |agent: &str| -> Vec<&Output> {
        outputs.iter().filter(|o| o.name.0 == agent && o.confidence.is_some()).collect()
    };
    let mut seen = [0, 0];
    for row in sound(22) {
        let tenth = (row["low"].as_f64().unwrap() * 10.0).round();
        let inside = |o: &&Output| (o.confidence.unwrap() * 10.0 + 1e-9).floor().min(9.0) == tenth;
        let part: Vec<&Output> = stated(row["agent"].as_str().unwrap()).into_iter().filter(inside).collect();
        count(&row, "outputs", part.len());
        seen[0] += part.len();
        let verdicts = verdicts(part);
        count(&row, "right", verdicts.1);
        if verdicts.0 > 0 {
            accuracy(&row, verdicts);
        }
    }
    for row in sound(23) {
        let handed = row["escalated"] == 1;
        let part: Vec<&Output> = stated(row["agent"].as_str().unwrap())
            .into_iter()
            .filter(|o| o.escalated.unwrap_or(false) == handed)
            .collect();
        count(&row, "outputs", part.len());
        seen[1] += part.len();
        accuracy(&row, verdicts(part));
    }
    let all = outputs.iter().filter(|o| o.confidence.is_some()).count();
    assert_eq!(seen, [all, all]);
}

#[test]
fn messages_take_as_long_as_they_took() {
    let world = world();
    let arrived = |id: &str| world.arrived.iter().any(|arrived| arrived == id);
    let of = world.messages.iter().filter(|(message, _)| arrived(&message.id.to_string()));
    let waits: Vec<f64> = of.map(|(_, decided)| (ARRIVED.as_millis() - decided.as_millis()) as f64 / 1_000.0).collect();
    let found = answer(24);
    assert_eq!(found.len(), 1);
    count(&found[0], "messages", waits.len());
    // Messages of one group that were decided in one moment stand milliseconds apart, in their order.
    for (name, part) in [("p50_seconds", 0.5), ("p95_seconds", 0.95), ("slowest_seconds", 1.0)] {
        let (seconds, expected) = (found[0][name].as_f64().unwrap(), quantile(&waits, part));
        assert!((seconds - expected).abs() < 0.01, "{name}: {seconds}, not {expected}");
    }
}

#[test]
fn pauses_and_days_and_worst_hours_are_those_of_the_lines() {
    let world = world();
    let outputs = outputs(&world.lines);
    let newest: i64 = rows(&db(), "SELECT max(last_seen_ms) AS ms FROM v_streams")[0]["ms"].as_i64().unwrap();
    for row in sound(25) {
        let of: Vec<i64> = outputs.iter().filter(|o| o.name == name_of(&row)).map(|o| o.at_ms).collect();
        near(&row, "quiet_hours", (newest - of.iter().max().unwrap()) as f64 / HOUR as f64);
        let hours: Vec<i64> = of.iter().map(|at| at / HOUR).collect::<BTreeSet<_>>().into_iter().collect();
        let pause = hours.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        near(&row, "longest_pause_hours", pause as f64);
        assert_eq!(row["silent"], i64::from(newest - of.iter().max().unwrap() > (pause + 1) * HOUR), "{row}");
    }
    let mut days: BTreeMap<(StreamName, i64), [i64; 3]> = BTreeMap::new();
    for o in &outputs {
        let day = days.entry((o.name.clone(), o.at_ms / DAY)).or_default();
        day[0] += 1;
        day[1] += i64::from(o.verdict.is_some());
        day[2] += i64::from(o.verdict.is_some_and(|(_, correct)| correct));
    }
    let baselines: BTreeMap<StreamName, f64> = rows(&db(), "SELECT * FROM v_streams WHERE baseline_accuracy > 0")
        .iter()
        .map(|row| (name_of(row), row["baseline_accuracy"].as_f64().unwrap()))
        .collect();
    let needed = |name: &StreamName| (3.8415 * baselines[name] * (1.0 - baselines[name]) / 0.0004) as i64 + 1;
    let few: BTreeSet<(StreamName, i64)> =
        days.iter().filter(|((name, _), day)| day[1] < needed(name)).map(|(place, _)| place.clone()).collect();
    let place = |row: &Value, day: &str| (name_of(row), millis(&row[day]) / DAY);
    let found = sound(26);
    assert_eq!(found.iter().map(|row| place(row, "day")).collect::<BTreeSet<_>>(), few);
    for row in &found {
        assert_eq!(row["labelled"].as_i64(), Some(days[&place(row, "day")][1]));
        assert_eq!(row["needed"].as_i64(), Some(needed(&name_of(row))));
    }
    for row in sound(27) {
        let of_agent =
            truth(&world.lines).into_iter().filter(|((name, _), h)| row["agent"] == name.0 && h.labelled > 0);
        let lowest = of_agent.map(|(_, h)| wilson(h.correct, h.labelled).1).fold(f64::MAX, f64::min);
        near(&row, "accuracy_high", lowest);
    }
    let found = sound(32);
    assert_eq!(found.len(), days.values().filter(|[_, labelled, _]| *labelled > 0).count());
    for row in found {
        let [outputs, labelled, correct] = days[&place(&row, "start")];
        assert_eq!((row["outputs"].as_i64(), row["labelled"].as_i64()), (Some(outputs), Some(labelled)));
        near(&row, "labels_accuracy", correct as f64 / labelled as f64);
    }
}

#[test]
fn availability_and_control_charts_count_what_the_lines_say() {
    let outputs = outputs(&world().lines);
    for row in sound(30) {
        let day = millis(&row["day"]) / DAY;
        let of: Vec<&Output> = outputs.iter().filter(|o| row["agent"] == o.name.0 && o.at_ms / DAY == day).collect();
        let down = of.iter().filter(|o| !o.available).count();
        count(&row, "outputs", of.len());
        count(&row, "unavailable", down);
        near(&row, "availability", 1.0 - down as f64 / of.len() as f64);
        near(&row, "budget_spent", down as f64 / of.len() as f64 / 0.005);
    }
    let found = sound(31);
    for row in &found {
        let day = millis(&row["day"]) / DAY;
        let of: Vec<&Output> = outputs.iter().filter(|o| o.name == name_of(row) && o.at_ms / DAY == day).collect();
        let (n, bad) = match row["measure"].as_str().unwrap() {
            "accuracy" => verdicts(of),
            "error_rate" => (of.len(), of.iter().filter(|o| !o.ok).count()),
            "escalation_rate" => {
                let known: Vec<bool> = of.iter().filter_map(|o| o.escalated).collect();
                (known.len(), known.iter().filter(|escalated| **escalated).count())
            }
            _ => continue,
        };
        count(row, "n", n);
        near(row, "value", bad as f64 / n as f64);
        let beyond = row["value"].as_f64() < row["lower"].as_f64() || row["value"].as_f64() > row["upper"].as_f64();
        assert_eq!(row["nelson"].as_str().unwrap().split(' ').any(|rule| rule == "1"), beyond, "{row}");
    }
    let dropped =
        |row: &&Value| row["measure"] == "accuracy" && row["day"] == "2026-01-10" && row["agent"] == "invoice-triage";
    assert_eq!(found.iter().filter(dropped).count(), 2, "both tasks fell on that day");
}
