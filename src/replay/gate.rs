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

#[cfg(test)]
mod tests {
    use super::super::{Incidents, Score, Seen, Tallies, Tally};
    use super::*;

    fn verdict(delays: &[Option<i64>], alarms: u64, weeks: f64) -> Verdict {
        let score = |hours: &Option<i64>| Score {
            name: format!("{hours:?}"),
            from: String::new(),
            to: None,
            injected: false,
            found: hours.map(|hours| Seen {
                alert: String::new(),
                stream: String::new(),
                at: String::new(),
                delay: String::new(),
                delay_ms: hours * 3_600_000,
                outputs: 0,
                labels: 0,
            }),
            already: None,
            unwatched: false,
            before: None,
        };
        Verdict {
            alarms_are_false: true,
            tallies: Tallies { weeks, rules: Vec::new(), total: Tally::of("all rules", alarms, 0.0, weeks) },
            incidents: Some(Incidents::of(delays.iter().map(score).collect())),
            injected: Vec::new(),
            against: None,
            gate: Vec::new(),
        }
    }

    fn kept(bounds: Bounds, verdict: &Verdict) -> Vec<bool> {
        bounds.check(verdict).iter().map(|check| check.kept).collect()
    }

    #[test]
    fn a_miss_is_later_than_any_delay_unless_misses_have_their_own_bound() {
        let delay = Some(Span::HOUR.times(12));
        let (one_late, one_missed) = (verdict(&[Some(12), Some(13)], 0, 1.0), verdict(&[Some(12), None], 0, 1.0));
        let of_delay = Bounds { delay, ..Bounds::default() };
        assert_eq!(kept(of_delay, &one_late), [false]);
        assert_eq!(kept(of_delay, &one_missed), [false]);
        assert_eq!(kept(of_delay, &verdict(&[Some(12)], 0, 1.0)), [true], "the bound itself is kept");
        let both = Bounds { delay, missed: Some(1), ..Bounds::default() };
        assert_eq!(kept(both, &one_missed), [true, true]);
        assert_eq!(kept(Bounds { missed: Some(0), ..both }, &one_missed), [false, true]);
    }

    #[test]
    fn a_rate_is_held_to_its_bound_as_it_stands_and_its_interval_is_told() {
        let bounds = Bounds { false_alarms: Some("1 per 7d".parse().unwrap()), ..Bounds::default() };
        for (alarms, weeks, is_kept, said) in [
            (2, 2.0, true, "the interval includes the bound"),
            (3, 2.0, false, "the interval includes the bound"),
            (30, 10.0, false, "the interval excludes the bound"),
            (0, 10.0, true, "the interval excludes the bound"),
            (0, 0.0, false, "no time was watched"),
        ] {
            let check = bounds.check(&verdict(&[], alarms, weeks)).remove(0);
            assert_eq!(check.kept, is_kept, "{check:?}");
            assert!(check.found.contains(said), "{check:?}");
        }
    }
}
