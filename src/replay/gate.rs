//! Bounds that a rule set must keep to be merged.

use serde::Serialize;

use super::trial::Verdict;
use crate::engine::budget::Budget;
use crate::engine::units::Span;

/// What a rule set may cost and must find. What is not bounded is not checked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// Incidents that may be missed.
    pub missed: Option<u64>,
    /// Alarms that may be raised, as a rate of stream time.
    pub false_alarms: Option<Budget>,
    /// The longest that an incident may take to be found.
    pub delay: Option<Span>,
    /// Alerts that the new rules may raise and the old ones did not.
    pub added: Option<u64>,
}

/// One bound, and whether it was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The option that set it.
    pub bound: String,
    /// What was found.
    pub found: String,
    /// Whether it was kept.
    pub kept: bool,
}

impl Bounds {
    /// Holds a verdict to the bounds.
    pub(super) fn check(&self, verdict: &Verdict) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut say = |bound: String, found: String, kept: bool| checks.push(Check { bound, found, kept });
        let incidents = verdict.incidents.as_ref();
        if let (Some(most), Some(incidents)) = (self.missed, incidents) {
            let of = incidents.scores.len();
            say(
                format!("--max-missed {most}"),
                format!("{} of {of} incidents missed", incidents.missed),
                incidents.missed <= most,
            );
        }
        if let (Some(most), Some(incidents)) = (self.delay, incidents) {
            let late = |score: &&super::Score| match &score.found {
                Some(seen) => seen.delay_ms > most.as_millis(),
                // Never is later than late, unless misses are bounded by themselves.
                None => self.missed.is_none(),
            };
            let late: Vec<&str> = incidents.scores.iter().filter(late).map(|score| score.name.as_str()).collect();
            let found = match late.as_slice() {
                [] => "every incident found was found in time".to_owned(),
                names => format!("later, or never: {}", names.join("; ")),
            };
            say(format!("--max-delay {most}"), found, late.is_empty());
        }
        if let Some(most) = self.false_alarms {
            let total = &verdict.tallies.total;
            let allowed = most.per_day() * 7.0;
            let bound = format!("--max-false-alarms \"{} per {}\"", most.count, most.per);
            match (total.per_week, total.interval) {
                (Some(rate), Some([low, high])) => {
                    let kept = rate <= allowed;
                    let sure = if low > allowed || high <= allowed {
                        "the interval excludes the bound"
                    } else {
                        "the interval includes the bound: more records would tell"
                    };
                    let what = if verdict.alarms_are_false { "false alarms" } else { "alerts" };
                    let found = format!(
                        "{} {what} in {:.2} weeks are {rate:.2} a week ({low:.2} to {high:.2}), {allowed:.2} allowed; {sure}",
                        total.alarms, verdict.tallies.weeks
                    );
                    say(bound, found, kept);
                }
                // A gate that could not measure does not open.
                _ => say(bound, "no time was watched, so there is no rate".to_owned(), false),
            }
        }
        if let (Some(most), Some(comparison)) = (self.added, &verdict.against) {
            let added = comparison.added.len() as u64;
            say(format!("--max-added {most}"), format!("{added} alerts added"), added <= most);
        }
        checks
    }
}
