//! Alerts and rules as rows of the page.

use serde::Serialize;

use super::alerts::{AlertRow, Alerts, Delays, RuleRow};
use super::told::{delay, many, maybe_share};
use crate::edge::figures::{count, moment};
use crate::edge::notify::clean::line;
use crate::engine::account::value;
use crate::engine::rule::Measure;
use crate::engine::units::Timestamp;

/// An alert in the table.
#[derive(Debug, Serialize)]
pub(super) struct AlertLine {
    number: usize,
    alert: String,
    severity: String,
    stream: String,
    level: String,
    changed: String,
    fired: String,
    after: String,
    /// When it was told, taken on and over.
    then: Vec<(&'static str, String)>,
    verdict: String,
}

/// A rule in the table.
#[derive(Debug, Serialize)]
pub(super) struct RuleLine {
    rule: String,
    fired: String,
    judged: String,
    precision: String,
    delay: String,
}

impl RuleLine {
    pub(super) fn of(rule: &RuleRow) -> Self {
        Self {
            rule: line(&rule.rule, 80),
            fired: count(rule.fired as u64),
            judged: match rule.judged {
                [0, 0, 0] => "nobody judged".to_owned(),
                [yes, no, noise] => format!("{yes} true, {no} false, {noise} noise"),
            },
            precision: maybe_share(rule.precision),
            delay: rule.delays.map_or_else(|| "–".to_owned(), quartiles),
        }
    }
}

/// How soon changes were seen, in words.
pub(super) fn detection(alerts: &Alerts) -> String {
    let judged = alerts.rows.iter().filter(|alert| alert.verdict.is_some()).count();
    let Some(found) = alerts.delays() else {
        return "No alert of the period has a change whose beginning is known: there is no time to detection."
            .to_owned();
    };
    let false_ones = alerts.rows.iter().filter(|alert| alert.is_false()).count();
    format!(
        "Mean time to detection, from the likeliest beginning of the change to the alert: {} over {} ({}). {} of {} were judged by \
         people{}. The beginning is an estimate with an interval of its own.",
        delay(found.mean),
        many(found.n, "alert", "alerts"),
        quartiles(found),
        count(judged as u64),
        many(alerts.rows.len(), "alert", "alerts"),
        if false_ones > 0 { format!("; the {false_ones} judged false or noise are left out") } else { String::new() }
    )
}

fn quartiles(delays: Delays) -> String {
    let [low, middle, high] = delays.quartiles;
    if delays.n == 1 {
        return delay(middle);
    }
    format!("median {}, half of them {} to {}", delay(middle), delay(low), delay(high))
}

/// The level that an alert tells of, with its interval, beside the baseline.
fn level(alert: &AlertRow, word: &str) -> String {
    let name = match word.strip_prefix("latency ") {
        Some(quantile) => format!("share of outputs slower than the baseline's {}", line(quantile, 40)),
        None => line(word, 60).replace('_', " "),
    };
    // What stands behind a latency is its quantile.
    let measure = Measure::from_word(word.split(' ').next().unwrap_or_default());
    let (Some(measure), Some(now)) = (measure, alert.estimate) else { return name };
    let [told, low, high] = [now.value, now.low, now.high].map(|x| value(&measure, x));
    let before = alert.baseline.map_or(String::new(), |before| format!(", baseline {}", value(&measure, before)));
    format!("{name} {told} ({low} to {high}){before}")
}

impl AlertLine {
    pub(super) fn of(number: usize, alert: &AlertRow) -> Self {
        let after = |at: Timestamp| delay(at.since(alert.fired));
        let stream: Vec<String> =
            [&alert.agent, &alert.task].into_iter().flatten().map(|name| line(name, 60)).collect();
        let level = alert.measure.as_deref().map_or_else(|| "–".to_owned(), |word| level(alert, word));
        let told = match (alert.delivered, alert.decided) {
            (Some(at), _) => format!("{} after", after(at)),
            (None, Some(at)) => format!("decided {} after, not delivered", after(at)),
            (None, None) => "nobody".to_owned(),
        };
        let taken = alert.acknowledged.as_ref().map_or_else(
            || "by nobody".to_owned(),
            |(at, by)| {
                let by = by.as_ref().map_or(String::new(), |by| format!(" by {}", line(by, 40)));
                format!("{} after{by}", after(*at))
            },
        );
        let over =
            alert.ended.map_or_else(|| format!("no, {}", line(&alert.state, 20)), |at| format!("{} after", after(at)));
        Self {
            number,
            alert: line(&alert.alert, 60),
            severity: line(&alert.severity, 20),
            stream: stream.join(", "),
            level,
            changed: alert.changed.map_or_else(|| "–".to_owned(), |(at, _)| moment(at)),
            fired: moment(alert.fired),
            after: alert.delay().map_or_else(|| "–".to_owned(), delay),
            then: vec![("told", told), ("taken on", taken), ("over", over)],
            verdict: alert.verdict.as_deref().map_or_else(|| "not judged".to_owned(), |verdict| line(verdict, 20)),
        }
    }
}
