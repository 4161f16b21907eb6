//! Which share of its outputs a stream keeps as cases that verdicts can be asked on.

use super::super::asking::share;
use super::super::rule::{Rule, RuleSet};
use super::Stream;

impl Stream {
    /// The share of outputs to keep as cases that verdicts can be asked on, while the stream is compared with a baseline.
    pub(in super::super) fn case_share(&self, rules: &RuleSet) -> Option<f64> {
        let baseline = self.baseline.as_ref().filter(|_| !self.counted_only)?;
        let days = baseline.profile.span().as_days_f64();
        let before = (days > 0.0).then(|| baseline.profile.pane.outputs as f64 / days);
        let open = |rule: &Rule| rule.detect.measure.is_of_verdicts() && self.memory.alerts.contains_key(&rule.id);
        let in_doubt =
            !self.memory.alerts.is_empty() && self.watched.iter().any(|at| rules.rules.get(at.rule).is_some_and(open));
        Some(share(self.memory.traffic.per_day().or(before).unwrap_or_default(), in_doubt))
    }
}
