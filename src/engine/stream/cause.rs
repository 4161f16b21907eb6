//! What the charts of accuracy of one stream say together, and whether handing over hides a fall.
//!
//! **Masking.** An agent that hands over more of what it doubts keeps the accuracy of the rest. What it would be at the baseline's
//! coverage is the output-weighted mean over the surest outputs, as many as were answered then: of answered and of handed
//! over ones apart, by their verdicts, or by the calibration map where fewer than ten have one.

use super::super::alert::Reason;
use super::super::baseline::Profile;
use super::super::beside::{said, said_of_all};
use super::super::cause::{Cause, Masked, Side, Voice};
use super::super::chart::Chart;
use super::super::confidence::{Cell, ConfidenceTable, Place};
use super::super::detect::{AdjustedChart, CalibrationMap, Detector, Direction};
use super::super::rule::{Measure, Rule, RuleSet};
use super::super::sketch::Pane;
use super::super::units::{Estimate, Span, Timestamp};
use super::super::watch::Watched;
use super::{Context, Said, Stream};

/// Standard errors by which the share of answered outputs must have moved to be told.
const Z_MOVED: f64 = 3.2905;
/// The least fall of coverage that is told.
const LESS_COVERAGE: f64 = 0.02;
/// Verdicts from which a share is taken; with fewer, the calibration map speaks.
const VERDICTS: u32 = 10;
/// Verdicts from which accuracy is told.
const ANSWERED: u32 = 30;

impl Stream {
    /// Ends suspicions that labels contradict.
    pub(super) fn end_contradicted(&mut self, ctx: &Context<'_>, said: &mut Vec<Said>) {
        if self.memory.alerts.is_empty() {
            return;
        }
        let suspicion = |Watched { rule, chart, place, .. }: &Watched| {
            let rule = ctx.rules.rules.get(*rule)?;
            let open = rule.detect.measure == Measure::EstimatedAccuracy && self.memory.alerts.contains_key(&rule.id);
            (open && self.memory.charts.at(*place, chart).contradiction().is_some()).then_some(rule)
        };
        let contradicted: Vec<&Rule> = self.watched.iter().filter_map(suspicion).collect();
        for rule in contradicted {
            let Some(mut alert) = self.memory.alerts.remove(&rule.id) else { continue };
            let Some(change) = alert.end(Reason::Contradicted) else { continue };
            let mut account = alert.account.as_deref().cloned();
            if let Some(account) = &mut account {
                account.around.take_cause(self.cause(rule, account.changed_at, ctx.rules));
            }
            said.push(Said::Crossed(Box::new(self.crossing(rule, &alert, (change, account), ctx))));
        }
    }

    /// What the charts of accuracy say together, for an alert of one of them about a change at that time.
    pub(super) fn cause(&self, rule: &Rule, changed_at: Option<Timestamp>, rules: &RuleSet) -> Option<Cause> {
        if !rule.detect.measure.is_of_verdicts() {
            return None;
        }
        let mut cause = Cause::default();
        for Watched { rule, chart: definition, place, .. } in &*self.watched {
            let Some(rule) = rules.rules.get(*rule).filter(|rule| rule.detect.burn().is_none()) else { continue };
            let chart = self.memory.charts.at(*place, definition);
            match rule.detect.measure {
                Measure::Accuracy => cause.labels = louder(cause.labels, voice(chart)),
                Measure::EstimatedAccuracy => {
                    cause.confidence = louder(cause.confidence, voice(chart));
                    if let Some(found) = chart.contradiction() {
                        (cause.confidence, cause.contradicted) = (Voice::Invalid, Some(found));
                    }
                    if let Some(Detector::Estimate(estimate)) = chart.detector.as_ref() {
                        cause.side = cause.side.or_else(|| side(estimate.tripwire()));
                    }
                }
                Measure::Calibration => {
                    cause.calibration = louder(cause.calibration, voice(chart));
                    if let Some(Detector::Adjusted(adjusted)) = chart.detector.as_ref() {
                        cause.side = cause.side.or_else(|| side(adjusted));
                    }
                }
                _ => {}
            }
        }
        if cause.side.is_some() {
            cause.calibration = Voice::Spoke;
        } else if matches!(cause.confidence, Voice::Calm | Voice::Spoke) && cause.calibration == Voice::Unwatched {
            cause.calibration = Voice::Calm;
        }
        if let Some(baseline) = &self.baseline {
            let profile = &baseline.profile;
            cause.pace = self.memory.pace.change(&profile.delays);
            let from = changed_at.unwrap_or_else(|| self.memory.last_seen.minus(Span::DAY));
            if let Some((since, _)) = self.window.since(from) {
                let map = profile.calibration();
                cause.masked = masked(profile, &since, map.as_ref());
                if let Some(map) = &map {
                    cause.gap = gap(&since.by_confidence, map);
                    let said = |table| Some(said_of_all(table, map)).filter(|said| said.n > 0).map(|said| said.mean);
                    cause.predicted =
                        said(&since.by_confidence).zip(said(&profile.pane.by_confidence)).map(|(now, then)| now - then);
                }
            }
        }
        Some(cause)
    }
}

fn side(chart: &AdjustedChart) -> Option<Side> {
    chart.side().map(|side| if side == Direction::Down { Side::Short } else { Side::Beyond })
}

fn voice(chart: &Chart) -> Voice {
    match chart.detector.as_ref() {
        None => Voice::Waiting,
        Some(detector) if detector.grade().is_some() => Voice::Spoke,
        Some(_) => Voice::Calm,
    }
}

/// Of several rules on one measure, the one that has most to say.
fn louder(one: Voice, other: Voice) -> Voice {
    let rank = |voice| match voice {
        Voice::Unwatched => 0,
        Voice::Waiting => 1,
        Voice::Calm => 2,
        Voice::Spoke => 3,
        Voice::Invalid => 4,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// Accuracy found less accuracy said over the labelled outputs, with a normal 95 % interval.
fn gap(table: &ConfidenceTable, map: &CalibrationMap) -> Option<Estimate> {
    let (mut n, mut sum, mut variance) = (0.0, 0.0, 0.0);
    for (place, cell) in table.cells() {
        let (labelled, said) = (f64::from(cell.labelled), said(map, place));
        n += labelled;
        sum += f64::from(cell.right) - labelled * said;
        variance += labelled * said * (1.0 - said);
    }
    let (mean, half) = (sum / n, 1.96 * variance.sqrt() / n);
    (n >= f64::from(ANSWERED)).then_some(Estimate { value: mean, low: mean - half, high: mean + half })
}

/// What handing over hides in a stretch of time; nothing where the agent hands over no more than then.
fn masked(profile: &Profile, since: &Pane, map: Option<&CalibrationMap>) -> Option<Masked> {
    let coverage_before = profile.coverage()?;
    let coverage = 1.0 - since.escalated.share()?;
    let (then, now) = (profile.pane.escalated, since.escalated);
    let all = (then.n + now.n) as f64;
    let share = (then.hits + now.hits) as f64 / all;
    let error = (share * (1.0 - share) * (1.0 / then.n as f64 + 1.0 / now.n as f64)).sqrt();
    let fall = coverage_before - coverage;
    if fall < LESS_COVERAGE || fall < Z_MOVED * error {
        return None;
    }
    let surest = since.by_confidence.surest(coverage_before)?;
    let mut kinds = [(0.0, Cell::default(), 0.0); 2];
    for (place, cell) in since.by_confidence.cells() {
        let part = surest.part_of(place);
        let kind = usize::from(place.escalated());
        if let (Some((outputs, verdicts, said)), true) = (kinds.get_mut(kind), part > 0.0) {
            *outputs += part * f64::from(cell.outputs);
            verdicts.merge(cell);
            *said += part * f64::from(cell.outputs) * said_of(place, map);
        }
    }
    let (mut right, mut all, mut predicted) = (0.0, 0.0, 0.0);
    for (outputs, verdicts, said) in kinds {
        all += outputs;
        if verdicts.labelled >= VERDICTS {
            right += outputs * f64::from(verdicts.right) / f64::from(verdicts.labelled);
        } else {
            right += said;
            predicted += outputs;
        }
    }
    let mut answered = Cell::default();
    let cells = since.by_confidence.cells();
    cells.iter().filter(|(place, _)| !place.escalated()).for_each(|(_, cell)| answered.merge(*cell));
    let known = answered.labelled >= ANSWERED;
    (all > 0.0).then(|| Masked {
        coverage_before,
        coverage,
        answered: known.then(|| f64::from(answered.right) / f64::from(answered.labelled)),
        at_coverage: right / all,
        predicted: predicted / all,
    })
}

/// The accuracy that a place stands for: by the map, or its own confidence where there is none.
fn said_of(place: Place, map: Option<&CalibrationMap>) -> f64 {
    map.map_or_else(|| place.confidence().unwrap_or_default(), |map| said(map, place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::units::Counts;

    #[test]
    fn handing_more_over_hides_a_fall() {
        let mut profile = Profile { pane: Pane::default(), ..Profile::default() };
        let add = |pane: &mut Pane, confidence: f64, escalated: bool, (outputs, right): (u32, u32)| {
            let place = Place::of(Some(confidence), Some(escalated));
            pane.by_confidence.add(place, Cell { outputs, labelled: outputs, right });
            pane.escalated.merge(Counts { hits: if escalated { outputs.into() } else { 0 }, n: outputs.into() });
        };
        add(&mut profile.pane, 0.95, false, (9_000, 8_550));
        add(&mut profile.pane, 0.6, true, (1_000, 600));
        let mut since = Pane::default();
        add(&mut since, 0.95, false, (800, 760));
        add(&mut since, 0.6, true, (200, 120));
        let found = masked(&profile, &since, None).unwrap();
        assert_eq!((found.coverage_before, found.answered, found.predicted), (0.9, Some(0.95), 0.0));
        assert!((found.at_coverage - (0.95 * 800.0 + 0.6 * 100.0) / 900.0).abs() < 1e-9, "{found:?}");
        let told = Cause { masked: Some(found), ..Cause::default() }.told();
        assert!(told.contains("answers 80.0 % of its outputs instead of 90.0 %"), "{told}");
        assert!(told.contains("right in 95.0 %, and at the coverage of the baseline it would be 91.1 %."), "{told}");
        // As much as before: nothing to tell. Not labelled: confidence speaks for them.
        assert_eq!(masked(&profile, &profile.pane, None), None);
        let mut unlabelled = Pane::default();
        add(&mut unlabelled, 0.95, false, (800, 760));
        unlabelled.by_confidence.add(Place::of(Some(0.6), Some(true)), Cell { outputs: 200, labelled: 0, right: 0 });
        unlabelled.escalated.merge(Counts { hits: 200, n: 200 });
        let masked = masked(&profile, &unlabelled, None).unwrap();
        assert!((masked.predicted - 100.0 / 900.0).abs() < 1e-9 && masked.at_coverage < 0.92, "{masked:?}");
    }
}
