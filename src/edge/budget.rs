//! Shares out the budget of false alarms as streams come and go.

use crate::engine::Engines;
use crate::engine::budget::{Budget, Promised};

/// How far the share of an output may drift before every chart is designed anew.
const TOLERANCE: f64 = 0.10;

/// What was shared out last.
#[derive(Debug)]
pub(super) struct Shares {
    budget: Option<Budget>,
    given: Option<f64>,
}

impl Shares {
    pub(super) const fn new(budget: Option<Budget>) -> Self {
        Self { budget, given: None }
    }

    /// What an output may cost at first: without a budget anything, with one nobody knows before all streams are counted.
    pub(super) fn at_first(&self) -> Option<f64> {
        if self.budget.is_none() { Some(f64::INFINITY) } else { self.given }
    }

    /// The share of an output, where it differs by more than a tenth from the one in force.
    pub(super) fn renew(&mut self, promised: impl FnOnce() -> Promised) -> Option<f64> {
        let share = self.budget?.per_output(promised().traffic)?;
        if self.given.is_some_and(|given| (share / given).ln().abs() <= TOLERANCE) {
            return None;
        }
        self.given = Some(share);
        Some(share)
    }

    /// False alarms a week that are allowed.
    pub(super) fn per_week(&self) -> Option<f64> {
        self.budget.map(|budget| 7.0 * budget.per_day())
    }
}

/// What the charts of all engines promise.
pub(super) fn promised(engines: &Engines) -> Promised {
    let mut all = Promised::default();
    for engine in engines.iter() {
        all.merge(engine.promised());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::units::Span;

    #[test]
    fn shares_follow_the_traffic_and_small_changes_move_nothing() {
        let with = |traffic| move || Promised { traffic, ..Promised::default() };
        let mut shares = Shares::new(Some(Budget { count: 7.0, per: Span::DAY.times(7) }));
        assert_eq!(shares.at_first(), None);
        assert_eq!(shares.renew(with(0.0)), None);
        let first = shares.renew(with(1_000.0)).unwrap();
        assert!(first <= 0.001 / 1.2);
        assert_eq!(shares.renew(with(1_050.0)), None);
        assert_eq!(shares.renew(with(2_000.0)), Some(first / 2.0));
        assert_eq!((shares.at_first(), shares.per_week()), (Some(first / 2.0), Some(7.0)));
        let mut free = Shares::new(None);
        assert_eq!((free.at_first(), free.renew(with(1_000.0))), (Some(f64::INFINITY), None));
    }
}
