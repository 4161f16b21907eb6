//! Burn rates on a stream's rolling windows: what is counted, when it is judged again, how much traffic it takes.

use super::baseline::{Baseline, bad_in};
use super::chart::Chart;
use super::detect::{BAD_LEAST, Detector};
use super::rule::{Burn, Detect};
use super::units::{Counts, Span, Timestamp};
use super::window::Window;

/// Judges a rule's burn rates, where it has them, by the windows as they are at stream time `now`.
pub(super) fn judge(chart: &mut Chart, detect: &Detect, window: &Window, now: Timestamp) {
    let Some(Detector::Burn(burn)) = chart.detector.as_mut() else { return };
    let bad = |pane| bad_in(pane, detect).unwrap_or_default();
    let sum = |span: Span| {
        let mut sum = Counts::default();
        window.panes(now, span).for_each(|(_, pane)| sum.merge(bad(pane)));
        sum
    };
    burn.update(now, sum, |span| window.panes(now, span).map(|(start, pane)| (start, bad(pane))).collect());
}

/// The bad share, in [0, 1], from which a rate can fire at the baseline's traffic: above the rate itself where ten bad cases
/// would be more than that; above 1 where even all cases are too few. The easiest of the rule's rates; nothing where the
/// traffic is not known.
pub(super) fn needed_share(burn: &Burn, detect: &Detect, baseline: Option<&Baseline>) -> Option<f64> {
    let profile = &baseline?.profile;
    let days = profile.span().as_days_f64();
    let cases = bad_in(&profile.pane, detect)?.n as f64;
    if days <= 0.0 || cases <= 0.0 {
        return None;
    }
    let needed = burn.rates().map(|rate| {
        let in_window = cases / days * rate.long.as_days_f64();
        (rate.rate * burn.allowed).max(BAD_LEAST as f64 / in_window)
    });
    needed.min_by(f64::total_cmp)
}
