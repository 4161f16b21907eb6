//! `retention` of the configuration: how long each kind of thing is kept.

use serde::Deserialize;

use crate::edge::ledger::Retention;
use crate::engine::units::Span;

/// The shortest that can be set: minutes fill hours that are still open, hours fill the window of a day.
const SHORTEST: Span = Span::DAY.times(2);

/// As it is written: a duration, or `forever`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRetention {
    minutes: Option<String>,
    hours: Option<String>,
    days: Option<String>,
    chart_points: Option<String>,
    alerts: Option<String>,
    messages: Option<String>,
    rule_sets: Option<String>,
    cases: Option<String>,
    label_requests: Option<String>,
}

impl RawRetention {
    pub(super) fn check(&self, faults: &mut Vec<String>) -> Retention {
        let mut keep = Retention::default();
        for (key, text, kept) in [
            ("minutes", &self.minutes, &mut keep.minutes),
            ("hours", &self.hours, &mut keep.hours),
            ("days", &self.days, &mut keep.days),
            ("chart_points", &self.chart_points, &mut keep.chart_points),
            ("alerts", &self.alerts, &mut keep.alerts),
            ("messages", &self.messages, &mut keep.messages),
            ("rule_sets", &self.rule_sets, &mut keep.rule_sets),
            ("cases", &self.cases, &mut keep.cases),
            ("label_requests", &self.label_requests, &mut keep.label_requests),
        ] {
            match text.as_deref() {
                None => {}
                Some("forever") => *kept = None,
                Some(text) => match text.parse::<Span>() {
                    Ok(span) if span >= SHORTEST => *kept = Some(span),
                    Ok(_) => faults.push(format!("retention.{key} is `{text}`; at least {SHORTEST} are kept")),
                    Err(_) => faults.push(format!(
                        "retention.{key} is `{}`; expected a duration like 14d, or forever",
                        text.escape_default()
                    )),
                },
            }
        }
        // A year of minutes below a week of hours would be a database that forgets what it keeps.
        let outlives = |fine: Option<Span>, coarse: Option<Span>| coarse.is_some_and(|c| fine.is_none_or(|f| f > c));
        for (fine, coarse, of) in
            [("minutes", "hours", (keep.minutes, keep.hours)), ("hours", "days", (keep.hours, keep.days))]
        {
            if outlives(of.0, of.1) {
                faults.push(format!(
                    "retention.{fine} is longer than retention.{coarse}; the coarser is kept as long at least"
                ));
            }
        }
        keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(yaml: &str) -> (Retention, Vec<String>) {
        let mut faults = Vec::new();
        let raw: RawRetention = serde_saphyr::from_str(yaml).unwrap();
        (raw.check(&mut faults), faults)
    }

    #[test]
    fn what_is_not_said_is_kept_as_long_as_ever() {
        assert_eq!(checked("{}"), (Retention::default(), vec![]));
        let (keep, faults) = checked("{ minutes: 30d, alerts: 400d, chart_points: forever }");
        let days = |n: i64| Some(Span::DAY.times(n));
        let wanted = Retention { minutes: days(30), alerts: days(400), chart_points: None, ..Retention::default() };
        assert_eq!((keep, faults), (wanted, vec![]));
    }

    #[test]
    fn what_cannot_be_is_told_all_at_once() {
        let (_, faults) = checked("{ minutes: 1h, hours: soon, cases: -1d, days: 30d }");
        assert_eq!(
            faults,
            [
                "retention.minutes is `1h`; at least 2d are kept",
                "retention.hours is `soon`; expected a duration like 14d, or forever",
                "retention.cases is `-1d`; expected a duration like 14d, or forever",
                "retention.hours is longer than retention.days; the coarser is kept as long at least",
            ]
        );
    }
}
