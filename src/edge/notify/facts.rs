//! What one alert says, fact by fact, in the order in which people ask: what is wrong and by how much, since when, on how
//! many cases, what else moved, who carries it, how often it is false.

use super::clean::line;
use super::figures::{
    Scale, aspect_value, cases, count, duration, is_graded, measure_name, moment, moment_after, moments, percent,
    points, promised, rounded, signed,
};
use crate::engine::account::{told as told_parts, told_differ};
use crate::engine::alert::{Account, Crossing, Reason, State};
use crate::engine::around::{Around, How, Standing, TaskPart};
use crate::engine::rule::{Grade, Measure};
use crate::engine::units::{Estimate, Span};

/// Longest label value shown, in characters.
pub(super) const LABEL_LIMIT: usize = 120;
/// Longest reason shown, in characters.
const WHY_LIMIT: usize = 200;
/// Labels below which their share is not told by itself.
const LABELS_TOLD: u64 = 10;
/// How long before a change a release counts as at its time.
const NEAR: Span = Span::from_secs(3 * 3_600);
/// Most tasks told of those that carry a change.
const TASKS_TOLD: usize = 3;

/// The facts of an alert by the names that sinks without a layout give them, in the order in which they are told: `told`,
/// `since`, `rests_on`, `all_outputs`, `labels_differ`, `meaning`, `now`, `how_sure`, `also_moved`, `version`, `tasks`,
/// `false_alarm`, `baseline`; those that are not known are left out. Cleaned text, not encoded for any sink.
pub fn facts(crossing: &Crossing) -> Vec<(&'static str, String)> {
    let mut facts = vec![("told", lead(crossing)), ("since", since(crossing))];
    if let Some(account) = &crossing.account {
        facts.extend(evidence(crossing, account, false).into_iter().map(|(name, value)| (key(name), value)));
    }
    facts
}

/// The name of a row where names are keys.
const fn key(name: Name) -> &'static str {
    match name {
        Name::RestsOn => "rests_on",
        Name::AllOutputs => "all_outputs",
        Name::LabelsDiffer => "labels_differ",
        Name::Meaning => "meaning",
        Name::Now => "now",
        Name::HowSure => "how_sure",
        Name::AlsoMoved => "also_moved",
        Name::Version => "version",
        Name::Tasks => "tasks",
        Name::FalseAlarm => "false_alarm",
        Name::Baseline => "baseline",
    }
}

/// Whether people need not act on this alert any more.
pub(super) const fn is_over(crossing: &Crossing) -> bool {
    matches!(crossing.to, State::Resolved | State::Inactive)
}

/// One sentence: what is wrong and by how much, or why it is over. Also the summary of a rule that has none.
pub(super) fn lead(crossing: &Crossing) -> String {
    let Some(account) = &crossing.account else { return ending(crossing) };
    let name = line(&measure_name(&account.measure), LABEL_LIMIT);
    let shown: Vec<_> = account.estimate.iter().chain(&account.baseline).copied().collect();
    let scale = Scale::of(&account.measure, &shown);
    let level = account.estimate.map(|e| format!("{} (95 % interval {})", scale.value(e.value), scale.interval(e)));
    // A bound that the rule gives is known; it rests on nothing.
    let base = if account.baseline_n == 0 { "bound" } else { "baseline" };
    let baseline = account.baseline.map(|b| match account.baseline_n {
        0 => scale.value(b.value),
        n => {
            let from = format!("{} {}", count(n), cases(&account.measure));
            format!("{} ({}, from {from})", scale.value(b.value), scale.interval(b))
        }
    });
    let pair = account.estimate.zip(account.baseline);
    let distance = pair.and_then(|(e, b)| scale.distance(e.value, b.value, account.change));
    let told = match (level, baseline, distance) {
        (Some(level), Some(of), Some(far)) => format!("{name} {level}: {far} the {base} of {of}."),
        (Some(level), Some(of), None) => format!("{name} {level} against the {base} of {of}."),
        (Some(level), None, _) => format!("{name} {level}."),
        (None, _, _) if account.measure == Measure::Silence => "no output from this stream.".to_owned(),
        (None, _, _) if !account.moved.is_empty() => {
            let (statistic, limit) = (account.statistic, account.limit);
            format!("{name}: {} (statistic {statistic:.1}, limit {limit:.1}).", told_parts(&account.moved))
        }
        (None, _, _) => {
            let (statistic, limit) = (account.statistic, account.limit);
            format!("{name} unlike the baseline's: statistic {statistic:.3}, limit {limit:.3}.")
        }
    };
    if is_over(crossing) { format!("{} Last estimate: {told}", ending(crossing)) } else { capital(&told) }
}

/// Why it is over. Two of the reasons do not mean that anything got better, and say so.
fn ending(crossing: &Crossing) -> String {
    if !is_over(crossing) {
        return format!("{} is {}.", line(&crossing.alert, 60), crossing.to.as_str());
    }
    match crossing.reason {
        Reason::Signalled | Reason::Held | Reason::Recovered => "Over: the stream is back at its baseline.",
        Reason::Passed => "Over: the verdict went back.",
        Reason::RuleRemoved => "Closed because the rule was removed or replaced; this does not say that it got better.",
        Reason::RuleChanged => {
            "Closed because the rule now asks for another chart; this does not say that it got better."
        }
        Reason::BaselineReplaced => {
            "Closed because the stream got a new baseline; this does not say that it got better."
        }
        Reason::Contradicted => {
            "Closed because labels contradict the confidence that it rests on; this does not say that it got better."
        }
        Reason::StateLost => {
            "Closed because the stream's state was damaged and begins anew; this does not say that it got better."
        }
    }
    .to_owned()
}

pub(super) fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// When it began, with the interval of that, and when the alert was raised.
pub(super) fn since(crossing: &Crossing) -> String {
    let raised = crossing.started_at;
    let account = crossing.account.as_ref();
    let told = match account.and_then(|a| a.changed_at) {
        Some(began) => {
            // When exactly it began matters to whoever looks for the cause, not once it is over.
            let between = account.and_then(|a| a.changed_between).filter(|(a, b)| a < b && !is_over(crossing));
            let between = between.map_or(String::new(), |between| format!(" ({})", moments(began, between)));
            format!("about {}{between}; alert at {}", moment(began), moment_after(began, raised))
        }
        None => format!("alert at {}", moment(raised)),
    };
    if is_over(crossing) {
        let lasted = duration(crossing.at.since(raised));
        format!("{told}, over {} after {lasted}", moment_after(raised, crossing.at))
    } else {
        told
    }
}

/// A row of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    RestsOn,
    AllOutputs,
    LabelsDiffer,
    Meaning,
    Now,
    HowSure,
    AlsoMoved,
    Version,
    Tasks,
    FalseAlarm,
    Baseline,
}

impl Name {
    /// The name that people read.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::RestsOn => "Rests on",
            Self::AllOutputs => "All outputs",
            Self::LabelsDiffer => "Labels",
            Self::Meaning => "Meaning",
            Self::Now => "Now",
            Self::HowSure => "How sure",
            Self::AlsoMoved => "Also moved",
            Self::Version => "Version",
            Self::Tasks => "Tasks",
            Self::FalseAlarm => "False alarm",
            Self::Baseline => "Baseline",
        }
    }
}

/// What an account rests on; `compact` leaves out what a list of alerts does not need.
pub(super) fn evidence(crossing: &Crossing, account: &Account, compact: bool) -> Vec<(Name, String)> {
    let over = is_over(crossing);
    let mut rows = Vec::new();
    let mut put = |name, value: Option<String>| rows.extend(value.map(|value| (name, value)));
    put(Name::RestsOn, rests_on(account, over, compact));
    // What is over need not be proven or explained any more: what counts is how it is now.
    if over {
        put(Name::Now, now(account));
        put(Name::Meaning, meaning(account).filter(|_| !compact && crossing.reason == Reason::Contradicted));
    } else {
        put(Name::AllOutputs, all_outputs(account));
        put(Name::LabelsDiffer, labels_differ(account));
        put(Name::Meaning, meaning(account).filter(|_| !compact));
        let graded = is_graded(&account.measure) && account.arl0 > 0.0;
        put(Name::HowSure, graded.then(|| grade(account.grade).to_owned()));
        put(Name::AlsoMoved, also_moved(&account.around, compact));
    }
    put(Name::Version, version(crossing, account));
    if !over {
        put(Name::Tasks, tasks(&account.around, compact));
        put(Name::FalseAlarm, false_alarm(account).filter(|_| !compact));
    }
    if account.provisional {
        let told = "PROVISIONAL: the stream's own first events, approved by nobody";
        put(Name::Baseline, Some(told.to_owned()));
    } else if !compact {
        let chart = if account.method.is_empty() { String::new() } else { format!(" (chart: {})", account.method) };
        put(Name::Baseline, Some(format!("{}{chart}", line(&account.baseline_id, LABEL_LIMIT))));
    }
    rows
}

/// Which charts of accuracy spoke and what that means.
fn meaning(account: &Account) -> Option<String> {
    let told = account.around.cause.as_ref()?.line();
    (!told.is_empty()).then_some(told)
}

/// How often such an alert is expected to be false: in samples, which is the promise, and in time.
fn false_alarm(account: &Account) -> Option<String> {
    if account.arl0 == 0.0 {
        let counted = account.estimate.is_some();
        return counted.then(|| "no promise: it says what was, not what changed".to_owned());
    }
    let n = rounded(account.arl0)?;
    let unit = promised(&account.measure, account.unit);
    let week = account.false_alarms_per_week;
    let days = (week > 0.0).then(|| 7.0 / week).filter(|days| days.is_finite());
    let days = days.map_or(String::new(), |days| match days {
        ..2.0 => format!(": {:.0} h here", (days * 24.0).max(1.0)),
        ..400.0 => format!(": {days:.0} days here"),
        _ => format!(": {:.1} years here", days / 365.25),
    });
    Some(format!("on average at most once in {n} {unit}{days}"))
}

/// On how many cases, and how many verdicts are still to come.
fn rests_on(account: &Account, over: bool, compact: bool) -> Option<String> {
    if account.samples == 0 {
        return None;
    }
    let told = format!("{} {}", count(account.samples), cases(&account.measure));
    let Around { outputs, labels_missing, counted_from, standing, .. } = &account.around;
    let Some(from) = counted_from.filter(|_| account.measure.is_of_verdicts() && !over) else {
        let all = format!("{told} ({} of {} outputs labelled so far)", count(account.labels), count(account.outputs));
        return Some(if compact || account.around.counted_from.is_some() && !over { told } else { all });
    };
    // Panes reach back a day; what is older is not counted, and is said not to be.
    let reaches = account.changed_at.is_none_or(|at| from <= at.plus(Span::HOUR));
    if let Some(standing) = standing {
        // Verdicts that came late count among the labelled and not in the chart, which is told where it makes a difference.
        let apart = account.samples.abs_diff(standing.labelled) * 10 > standing.labelled;
        let judged = if apart { format!("{told}; ") } else { String::new() };
        let span = if reaches { "since then" } else { "of the last 24 h" };
        return Some(format!("{judged}{}", verdicts_in(standing, span)));
    }
    let span = if reaches { "outputs still" } else { "in the last 24 h" };
    Some(format!("{told}; {} of {} {span} unlabelled", count(*labels_missing), count(*outputs)))
}

/// What share of the verdicts is in, and what share is by that age in the baseline.
fn verdicts_in(standing: &Standing, span: &str) -> String {
    let share = standing.label_share().map_or(String::new(), |share| format!(", {}", exact(share)));
    let usual = standing.usual.map_or(String::new(), |usual| format!(" (usual {})", exact(usual)));
    format!("{} of {} outputs {span} labelled{share}{usual}", count(standing.labelled), count(standing.outputs))
}

/// A share in percent with one decimal.
fn exact(share: f64) -> String {
    Scale::of(&Measure::Accuracy, &[]).value(share)
}

/// The accuracy of all outputs as verdicts and confidences together tell it, and what the labels alone say: on how many, the
/// row before it tells.
fn all_outputs(account: &Account) -> Option<String> {
    let standing = account.around.standing.as_ref().filter(|_| account.measure.is_of_verdicts())?;
    let labels = standing.labels?;
    let scale = Scale::of(&Measure::Accuracy, &[labels, standing.estimate.unwrap_or(labels)]);
    let told = |e: Estimate| format!("{} ({})", scale.value(e.value), scale.interval(e));
    let alone = format!("labels alone {}", told(labels));
    if let Some(why) = &standing.invalid {
        return Some(format!("no estimate: {}; {alone}", line(why, WHY_LIMIT)));
    }
    let found = told(standing.estimate?);
    match standing.how {
        // The alert's own estimate says that already.
        How::LabelsOnly if account.measure == Measure::Accuracy || standing.labelled < LABELS_TOLD => None,
        How::LabelsOnly => Some(alone),
        How::Powered { .. } => Some(format!("{found}; {alone}")),
        How::Stratified => {
            let worth = count(standing.effective as u64);
            Some(format!("{found}, labels weighted to match, worth {worth}; {alone}"))
        }
    }
}

/// In what the labelled outputs are unlike all, and which number to go by then.
fn labels_differ(account: &Account) -> Option<String> {
    let standing = account.around.standing.as_ref().filter(|_| account.measure.is_of_verdicts())?;
    let differ = told_differ(standing.differ.as_ref()?);
    let then = match (standing.how, &standing.invalid) {
        (How::Stratified, None) => "go by the number for all outputs, not by labels alone",
        _ => "accuracy of all may be another than theirs",
    };
    Some(format!("unlike all outputs: {differ}; {then}"))
}

/// The level of the newest stretches of a course, of six hours at most.
fn now(account: &Account) -> Option<String> {
    let course = account.around.course.as_ref()?;
    let end = course.points.last()?.at.plus(course.width);
    let newest = course.points.iter().filter(|p| end.since(p.at) <= Span::HOUR.times(6));
    let (n, sum) = newest.fold((0, 0.0), |(n, sum), p| (n + p.n, sum + p.n as f64 * p.value));
    let value = sum / n as f64;
    let known = account.baseline.into_iter().chain(account.estimate).collect::<Vec<_>>();
    let level = Scale::of(&account.measure, &known).value(value);
    let first = course.points.iter().find(|p| end.since(p.at) <= Span::HOUR.times(6))?.at;
    value.is_finite().then(|| format!("{level} over the last {}, from {} cases", duration(end.since(first)), count(n)))
}

/// What else moved, and what was looked at and did not.
fn also_moved(around: &Around, compact: bool) -> Option<String> {
    let steady: Vec<_> = around.steady.iter().map(|what| what.short()).collect();
    let moved = around.beside.iter().map(|b| {
        let (level, before) = (aspect_value(b.what, b.level), aspect_value(b.what, b.baseline));
        format!("{} {level} (was {before})", b.what.as_str())
    });
    let moved = moved.collect::<Vec<_>>().join(", ");
    match (moved.is_empty(), steady.is_empty()) {
        (true, true) => None,
        (true, false) => (!compact).then(|| format!("nothing else: {} as in the baseline", listed(&steady))),
        (false, false) if !compact => Some(format!("{moved}; not {}", listed(&steady))),
        (false, _) => Some(moved),
    }
}

/// `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The version, when it began, and how that lies to the change.
fn version(crossing: &Crossing, account: &Account) -> Option<String> {
    let now = line(account.version.as_ref()?, 60);
    let releases = &account.around.versions;
    let before = account.version_before.as_ref().filter(|before| Some(*before) != account.version.as_ref());
    let before = before.map_or(String::new(), |before| format!("; before it {}", line(before, 60)));
    let Some(release) = releases.last().filter(|r| Some(&r.version) == account.version.as_ref()) else {
        return Some(format!("{now}{before}"));
    };
    if releases.len() == 1 && before.is_empty() {
        return Some(format!("{now}, no other was seen"));
    }
    let began = moment(release.at);
    let Some(changed) = account.changed_at.filter(|_| !is_over(crossing)) else {
        return Some(format!("{now} since {began}{before}"));
    };
    let earliest = account.changed_between.map_or(changed, |(earliest, _)| earliest).minus(NEAR);
    let span = if release.at <= changed { changed.since(release.at) } else { release.at.since(changed) };
    let (apart, side) = (duration(span), if release.at <= changed { "before" } else { "after" });
    if release.at < earliest {
        return Some(match &account.version_before {
            Some(before) if span <= Span::DAY.times(7) => {
                format!("{now} after {}, since {apart} {side} the change", line(before, 60))
            }
            _ => format!("{now} since {began}{before}"),
        });
    }
    let from = account.version_before.as_ref().map_or(String::new(), |before| format!("from {} ", line(before, 60)));
    let clock = moment_after(changed, release.at);
    let near = releases.iter().skip(1).filter(|r| r.at >= earliest).count();
    let several = if near > 1 { format!("; {near} such changes in that time") } else { String::new() };
    Some(format!("CHANGED {from}to {now} at {clock}, {apart} {side} the change{several}"))
}

/// Which tasks carry the change: Kitagawa's two parts, then the tasks with a large share of it.
fn tasks(around: &Around, compact: bool) -> Option<String> {
    let found = around.tasks.as_ref()?;
    let part = |task: &TaskPart| {
        let name = if task.task.is_empty() { "other tasks".to_owned() } else { line(&task.task, 40) };
        let level = match (task.before, task.now) {
            (Some(before), Some(now)) => format!("{} to {} right", percent(before), percent(now)),
            (None, Some(now)) => format!("new, {} right", percent(now)),
            _ => "gone".to_owned(),
        };
        // How much of the outputs a task is matters where that changed.
        let (before, now) = (task.weight_before, task.weight_now);
        let weight = if (now - before).abs() < 0.03 {
            String::new()
        } else {
            format!(", {} to {} of outputs", percent(before), percent(now))
        };
        format!("{name} {} ({level}{weight})", signed(task.part()))
    };
    let carriers: Vec<_> = found.carriers().take(TASKS_TOLD).map(part).collect();
    let carriers = if carriers.is_empty() { "spread over many tasks".to_owned() } else { carriers.join(", ") };
    if compact {
        return Some(carriers);
    }
    let parts = format!("{} within tasks, {} by their mix", points(found.within), signed(found.mix));
    Some(format!("{parts}: {carriers}"))
}

const fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Drifting => "drifting: the level has changed; by how much is still open",
        Grade::Degraded => "degraded: the change very likely exceeds the rule's bound",
        Grade::Confirmed => "confirmed: beyond the rule's bound at a promise of its own",
    }
}

/// Whether an annotation was written for numbers that are not there any more: what is over has none once its chart began
/// anew, and a summary with gaps in place of them says nothing.
pub(super) fn has_gaps(crossing: &Crossing, annotation: &str) -> bool {
    is_over(crossing) && crossing.account.is_none() && matches!(annotation, "summary" | "description")
}
