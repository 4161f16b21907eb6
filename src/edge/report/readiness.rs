//! Whether an agent is ready for its next stage: what each stage requires, what was observed, on how much, and what is missing.
//!
//! A share is shown where its whole 95 % interval lies on the right side, not met where it lies on the wrong one; in between it
//! is not known. What nobody can tell is never called met.

use std::collections::BTreeMap;

use super::agents::{Agent, Stream};
use super::detail::Detail;
use super::told::{counted, percent, share};
use crate::edge::figures::{count, duration};
use crate::edge::notify::clean::line;
use crate::engine::around::How;
use crate::engine::detect::DesignCache;
use crate::engine::detect::design::interval::wilson;
use crate::engine::explain::{Explained, explain};
use crate::engine::rule::{Amount, Bound, Measure, Rule, RuleSet};
use crate::engine::threshold::needed;
use crate::engine::units::{Counts, Estimate, Span};

/// Accuracy above this ends the proof of concept ...
const PROOF: f64 = 0.85;
/// ... and above this the work goes on in limited production, where escalations stay below this.
const LIMITED: f64 = 0.92;
/// The share of outputs handed to a person.
pub(super) const ESCALATION: f64 = 0.10;
/// Availability of full deployment.
const AVAILABILITY: f64 = 0.995;
/// The fall that is to be seen.
const FALL: f64 = 0.02;

/// The three stages.
pub(super) const STAGES: [&str; 3] = ["proof of concept", "limited production", "full deployment"];

/// What came of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Met {
    No,
    Unknown,
    Yes,
}

impl Met {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Yes => "met",
            Self::No => "not met",
            Self::Unknown => "not known",
        }
    }
}

/// One requirement of a stage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Need {
    /// The place of the stage.
    pub(super) stage: usize,
    pub(super) what: &'static str,
    pub(super) required: String,
    pub(super) observed: String,
    /// On how much that rests.
    pub(super) evidence: String,
    pub(super) met: Met,
    /// What is missing, in words; empty where it is met.
    pub(super) missing: String,
    /// How far it is from what is required, in a unit of its own: less is weaker.
    margin: f64,
}

/// What is asked of a share.
struct Asked {
    stage: usize,
    what: &'static str,
    level: f64,
    /// Whether it is to be at least, or at most that.
    least: bool,
    /// What one case is.
    cases: &'static str,
}

/// The requirements of all stages for one agent.
pub(super) fn stages(
    agent: &Agent,
    detail: &Detail,
    (rules, within): (&RuleSet, Span),
    cache: &mut DesignCache,
) -> Vec<Need> {
    let accuracy = |stage, level| {
        let asked = Asked { stage, what: "accuracy", level, least: true, cases: "labels" };
        let standing = &detail.standing;
        let estimate = standing.estimate.or(standing.labels);
        let worth = if standing.estimate.is_some() { standing.effective } else { standing.labelled as f64 };
        let mut need = of_share(&asked, estimate, worth);
        let by = match (standing.estimate, standing.how) {
            (Some(_), How::Powered { .. }) => ", with the confidence of all outputs",
            (Some(_), How::Stratified) => ", weighted: the labelled are unlike the others",
            _ => "",
        };
        need.evidence = format!(
            "{} labels of {} outputs ({}){by}",
            count(standing.labelled),
            count(standing.outputs),
            standing.label_share().map_or_else(|| "none".to_owned(), |s| percent(s, 1))
        );
        need
    };
    let watch: Vec<Watch> = agent.streams.iter().map(|stream| Watch::of(stream, rules, cache)).collect();
    vec![
        accuracy(0, PROOF),
        accuracy(1, LIMITED),
        of_counts(
            &Asked {
                stage: 1,
                what: "escalation",
                level: ESCALATION,
                least: false,
                cases: "outputs that say whether they were escalated",
            },
            agent.total.escalated,
        ),
        of_counts(
            &Asked { stage: 2, what: "availability", level: AVAILABILITY, least: true, cases: "outputs with a status" },
            agent.total.available,
        ),
        armed(&watch),
        able(&watch, within),
    ]
}

fn of_counts(asked: &Asked, counts: Counts) -> Need {
    let estimate = (counts.n > 0).then(|| wilson(counts, 0.95));
    let mut need = of_share(asked, estimate, counts.n as f64);
    need.evidence = format!("{} {}", count(counts.n), asked.cases);
    need
}

fn of_share(asked: &Asked, found: Option<Estimate>, worth: f64) -> Need {
    let Asked { stage, what, level, least, cases } = *asked;
    let required = format!("{} {}", if least { "above" } else { "below" }, percent(level, usize::from(level > 0.99)));
    let margin = found.map_or(f64::NEG_INFINITY, |e| if least { e.value - level } else { level - e.value });
    let base = |observed, met, missing| Need {
        stage,
        what,
        required: required.clone(),
        observed,
        evidence: String::new(),
        met,
        missing,
        margin,
    };
    let Some(found) = found else {
        return base("nothing".to_owned(), Met::Unknown, format!("{cases}: there are none in the period"));
    };
    let observed = share(found);
    let (surely, surely_not) =
        if least { (found.low > level, found.high < level) } else { (found.high < level, found.low > level) };
    if surely {
        return base(observed, Met::Yes, String::new());
    }
    let short = (found.value - level).abs();
    if surely_not {
        let way = if least { "below" } else { "above" };
        return base(observed, Met::No, format!("{} points {way} what is required", points(short)));
    }
    // The interval holds the level: more cases would tell, if they say the same.
    let right = if least { found.value > level } else { found.value < level };
    let more = (needed(found.value, level) - worth).ceil();
    let missing = if !right {
        format!("better results: the estimate lies {} points on the wrong side", points(short))
    } else if more.is_finite() && more < 1e7 {
        format!("{} more {cases}, if they say the same", counted(more))
    } else {
        "more than can be counted: the estimate lies at the limit".to_owned()
    };
    base(observed, Met::Unknown, missing)
}

fn points(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}

/// The rule that watches the accuracy of a stream for falls of two points or less, and what it is worth there.
struct Watch {
    stream: String,
    best: Option<(String, Explained)>,
    /// Labelled outputs a day.
    per_day: Option<f64>,
    why_not: String,
}

impl Watch {
    fn of(stream: &Stream, rules: &RuleSet, cache: &mut DesignCache) -> Self {
        let labels = &stream.counted.labels;
        let accuracy = stream.baseline.as_ref().and_then(|baseline| baseline.profile.pane.correct.share());
        let fits = |rule: &&Rule| {
            let size = match &rule.detect.bound {
                Bound::Drop(Amount::Points(points)) => Some(*points),
                Bound::Drop(Amount::Relative(share)) => accuracy.map(|accuracy| share * accuracy),
                _ => None,
            };
            rule.detect.measure == Measure::Accuracy && size.is_some_and(|s| s <= FALL + 1e-9) && rule.matches(labels)
        };
        let mut why_not = "no rule watches accuracy for a fall of 2 points; rules/accuracy.yaml has one".to_owned();
        let mut best: Option<(String, Explained)> = None;
        for rule in rules.rules.iter().filter(fits) {
            let live = stream.memory.charts.get(&rule.detect.definition());
            let Some(told) = explain(rule, labels, stream.baseline.as_ref(), live, cache) else { continue };
            if told.arl0.is_none() || told.hopeless {
                why_not = format!("{}: {}", rule.alert, told.findings.first().map_or("no chart yet", String::as_str));
                continue;
            }
            let hours = |told: &Explained| seen(told).map_or(f64::INFINITY, |(hours, _)| hours);
            if best.as_ref().is_none_or(|(_, known)| hours(&told) < hours(known)) {
                best = Some((rule.alert.clone(), told));
            }
        }
        let per_day =
            best.as_ref().and_then(|(_, told)| told.samples_per_day.map(|per_day| per_day * told.cases_per_sample));
        Self { stream: stream.name(), best, per_day, why_not: line(&why_not, 300) }
    }

    /// `credit-notes: ` where the agent has several streams.
    fn prefix(&self, alone: bool) -> String {
        if alone || self.stream.is_empty() { String::new() } else { format!("{}: ", self.stream) }
    }
}

/// Hours until a fall of two points is seen, on average, and the labelled outputs that takes.
fn seen(told: &Explained) -> Option<(f64, f64)> {
    let row = told.detects.iter().find(|row| row.size == "2 points")?;
    row.hours.filter(|_| row.reached >= 0.5).map(|hours| (hours, row.cases))
}

/// Whether a rule is armed on every stream.
fn armed(watch: &[Watch]) -> Need {
    let without: Vec<&Watch> = watch.iter().filter(|watch| watch.best.is_none()).collect();
    let armed = watch.len() - without.len();
    let observed = match watch {
        [_] if armed == 1 => "armed".to_owned(),
        [_] => "not armed".to_owned(),
        _ => format!("armed on {armed} of {} streams", watch.len()),
    };
    let mut promises: BTreeMap<String, usize> = BTreeMap::new();
    for (alert, told) in watch.iter().filter_map(|watch| watch.best.as_ref()) {
        let arl0 = told.arl0.map_or(String::new(), counted);
        let unit = if told.unit == Some("case") { "labelled outputs" } else { "batches" };
        *promises.entry(format!("{}, one false alarm in {arl0} {unit}", line(alert, 60))).or_default() += 1;
    }
    let missing = without.first().map_or(String::new(), |watch| {
        let more = if without.len() > 1 { format!(" (and {} more streams)", without.len() - 1) } else { String::new() };
        format!("{}{}{more}", watch.prefix(watch.stream.is_empty()), watch.why_not)
    });
    Need {
        stage: 2,
        what: "drift alert",
        required: "armed at 2 points".to_owned(),
        observed,
        evidence: promises.into_keys().take(2).collect::<Vec<_>>().join("; "),
        met: if without.is_empty() && !watch.is_empty() { Met::Yes } else { Met::No },
        missing,
        margin: -(without.len() as f64),
    }
}

/// Whether labels come often enough to see a fall of two points in time; the slowest stream decides.
fn able(watch: &[Watch], within: Span) -> Need {
    let hours_allowed = within.as_secs_f64() / 3_600.0;
    let days = hours_allowed / 24.0;
    let need = |observed: String, evidence: String, met, missing: String| Need {
        stage: 2,
        what: "label coverage",
        required: format!("a fall of 2 points is seen within {}", duration(within)),
        observed,
        evidence,
        met,
        missing,
        margin: f64::NEG_INFINITY,
    };
    let found = watch.iter().map(|watch| (watch, watch.best.as_ref().and_then(|(_, told)| seen(told))));
    let hours = |seen: &Option<(f64, f64)>| seen.map_or(f64::INFINITY, |(hours, _)| hours);
    let Some((slowest, seen)) = found.max_by(|(_, a), (_, b)| hours(a).total_cmp(&hours(b))) else {
        return need("nothing".to_owned(), String::new(), Met::Unknown, "streams".to_owned());
    };
    let alone = watch.len() == 1;
    let Some((hours, cases)) = seen else {
        let missing = format!("{}labels and a baseline with which a rule can see 2 points", slowest.prefix(alone));
        return need("not known".to_owned(), String::new(), Met::Unknown, missing);
    };
    let per_day = slowest.per_day.unwrap_or(0.0);
    let evidence = format!(
        "{}{} labelled outputs until it is seen, {} come a day",
        slowest.prefix(alone),
        counted(cases),
        counted(per_day)
    );
    let observed = format!("within {} on average", duration(Span::from_millis((hours * 3.6e6) as i64)));
    let margin = hours_allowed - hours;
    if margin >= 0.0 {
        return Need { margin, ..need(observed, evidence, Met::Yes, String::new()) };
    }
    let more = (cases - per_day * days).max(1.0);
    let missing = format!(
        "{}{} more labels are needed in {} to see 2 points within it",
        slowest.prefix(alone),
        counted(more),
        duration(within)
    );
    Need { margin, ..need(observed, evidence, Met::No, missing) }
}

/// The requirements over all agents: the weakest agent decides.
pub(super) fn overall(all: &[(&str, &[Need])]) -> Vec<Need> {
    let Some((_, first)) = all.first() else { return Vec::new() };
    let of = |place: usize| {
        let needs = all.iter().filter_map(|(name, needs)| needs.get(place).map(|need| (*name, need)));
        let needs: Vec<(&str, &Need)> = needs.collect();
        let met = needs.iter().filter(|(_, need)| need.met == Met::Yes).count();
        let weaker = |a: &Need, b: &Need| a.met.cmp(&b.met).then(a.margin.total_cmp(&b.margin));
        let (name, weakest) = needs.iter().min_by(|(_, a), (_, b)| weaker(a, b))?;
        let unmet: Vec<&str> = needs.iter().filter(|(_, need)| need.met != Met::Yes).map(|(name, _)| *name).collect();
        let more = if unmet.len() > 5 { format!(" and {} more", unmet.len() - 5) } else { String::new() };
        Some(Need {
            observed: format!("{met} of {} agents", needs.len()),
            evidence: format!("{name}: {}", weakest.observed),
            missing: if unmet.is_empty() {
                String::new()
            } else {
                format!("{}{more}", unmet.iter().take(5).copied().collect::<Vec<_>>().join(", "))
            },
            ..(*weakest).clone()
        })
    };
    (0..first.len()).filter_map(of).collect()
}

/// The stages that all requirements of are met, one after the other: the place of the last, from 1; 0 for none.
pub(super) fn reached(needs: &[Need]) -> usize {
    let whole = |stage: usize| needs.iter().filter(|need| need.stage == stage).all(|need| need.met == Met::Yes);
    (0..STAGES.len()).take_while(|stage| whole(*stage)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accuracy(hits: u64, n: u64) -> Need {
        of_counts(&Asked { stage: 1, what: "accuracy", level: 0.92, least: true, cases: "labels" }, Counts { hits, n })
    }

    #[test]
    fn the_interval_decides_and_what_is_missing_is_said() {
        assert_eq!(accuracy(950, 1_000).met, Met::Yes);
        let near = accuracy(186, 200);
        assert_eq!(near.met, Met::Unknown);
        assert!(near.missing.ends_with("more labels, if they say the same"), "{}", near.missing);
        assert_eq!(accuracy(850, 1_000).met, Met::No);
        assert_eq!(accuracy(850, 1_000).missing, "7.0 points below what is required");
        assert!(accuracy(182, 200).missing.starts_with("better results"), "{}", accuracy(182, 200).missing);
        let none = accuracy(0, 0);
        assert_eq!((none.met, none.observed.as_str()), (Met::Unknown, "nothing"));
    }

    #[test]
    fn so_many_more_labels_are_enough() {
        let near = accuracy(188, 200);
        let more: f64 = near.missing.split(' ').next().unwrap().replace(',', "").parse().unwrap();
        let n = 200.0 + more * 1.02;
        assert_eq!(accuracy((0.94 * n) as u64, n as u64).met, Met::Yes, "{}", near.missing);
    }

    #[test]
    fn the_weakest_agent_decides_for_all_and_stages_follow_one_another() {
        let need = |stage, met| Need { stage, met, ..accuracy(950, 1_000) };
        let (good, bad) = (vec![need(0, Met::Yes), need(1, Met::Yes)], vec![need(0, Met::Yes), need(1, Met::No)]);
        let all = overall(&[("a", &good), ("b", &bad)]);
        assert_eq!(all.iter().map(|need| need.met).collect::<Vec<_>>(), [Met::Yes, Met::No]);
        assert_eq!((all[1].observed.as_str(), all[1].missing.as_str()), ("1 of 2 agents", "b"));
        assert_eq!((reached(&good), reached(&bad)), (3, 1));
        assert_eq!(reached(&[need(0, Met::No), need(1, Met::Yes)]), 0);
    }
}
