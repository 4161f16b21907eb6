//! Plans of the charts of predicted accuracy and of labels given confidence.

use super::super::baseline::Profile;
use super::super::confidence::middle;
use super::super::detect::design::interval::chi_squared_tail;
use super::super::detect::{
    AdjustedDesign, Block, CalibrationMap, Direction, EstimateDesign, Form, HIDDEN, MeanDesign, Method,
};
use super::super::rule::{Amount, ChartKind, Detect};
use super::super::sketch::Moments;
use super::{
    ARL0_MIN, BATCHES_ARL0_MIN, BATCHES_WANTED, BUCKETS_MIN, Design, Finding, Plan, amount, per_day, promised,
};

/// The promise of the chart of labels beside a chart of predicted accuracy, in labels: that of severity.
const TRIPWIRE_ARL0: f64 = 20_000.0;
/// Chance below which hours wander.
const WANDER_CHANCE: f64 = 0.01;
/// Share of the labels of a block that counts for the steepness of a map.
const LARGE_BLOCK: f64 = 0.05;

/// The chart of predicted accuracy: of means by the hour, or case by case where the rule asks for it.
pub(super) fn estimate(detect: &Detect, profile: &Profile) -> Option<Plan> {
    let map = profile.calibration()?;
    let confidences = profile.pane.by_confidence.bins();
    let said: Vec<(f64, u64)> =
        confidences.iter().map(|(bin, cell)| (middle(*bin), u64::from(cell.outputs))).filter(|(_, n)| *n > 0).collect();
    let values = map.values(&said);
    let (predicted, stated) = (moments(&values), moments(&said));
    let Some(Amount::Points(delta)) = amount(detect.bound) else { return None };
    let series = &profile.confidence;
    let cases = series.values.n as f64 / series.means.n.max(1) as f64;
    let spreads = (predicted.sd()?, stated.sd().filter(|sd| *sd > 0.0)?);
    let sigma = spread_of_hours(&map, &series.means, spreads, cases);
    let form = if detect.chart == Some(ChartKind::Cases) { Form::Cases } else { Form::Hourly };
    if form == Form::Hourly && series.means.n < BUCKETS_MIN {
        return None;
    }
    let (samples, cases, least) = match form {
        Form::Hourly => (series.means.n, cases, BATCHES_ARL0_MIN),
        Form::Cases => (series.values.n, 1.0, ARL0_MIN),
    };
    let per_day = per_day(samples, profile.span());
    let promised = promised(detect.promise, per_day, cases);
    let mean = MeanDesign {
        mu: predicted.mean,
        sigma,
        buckets: series.means.n,
        delta,
        direction: Direction::Down,
        arl0: promised.max(least),
        guarantee: detect.guarantee,
        method: Method::Cusum,
        known: false,
    };
    let mut findings = Vec::new();
    if form == Form::Hourly && mean.buckets < BATCHES_WANTED as u64 {
        findings.push(Finding::SpreadRough(mean.buckets));
    }
    let shift = delta / mean.working_sigma();
    if form == Form::Hourly && shift < HIDDEN {
        findings.push(Finding::Hidden(shift));
    }
    if promised < least {
        findings.push(Finding::PromiseRaised(least));
    }
    let tripwire = AdjustedDesign { guarantee: detect.guarantee, ..AdjustedDesign::new(map, delta, TRIPWIRE_ARL0) };
    let design = EstimateDesign { form, mean, values, confidences: series.values.n, tripwire };
    Some(Plan { design: Design::Estimate(Box::new(design)), per_day, cases, batch: None, findings })
}

/// The standard deviation of hourly means of what is predicted, from that of what is stated. By chance they vary as single cases
/// do. Where hours wander beyond chance, what is predicted may wander as many times as much as the map is steep, which is more
/// where the wander lies in its steepest part.
fn spread_of_hours(map: &CalibrationMap, means: &Moments, (predicted, stated): (f64, f64), cases: f64) -> f64 {
    let observed = means.sd().unwrap_or(0.0);
    let usual = observed * predicted / stated;
    let (chance, freedom) = (stated * stated / cases.max(1.0), means.n.saturating_sub(1));
    let wander = observed * observed - chance;
    if wander <= 0.0
        || chi_squared_tail(freedom as f64 * observed * observed / chance, freedom as usize) > WANDER_CHANCE
    {
        return usual;
    }
    let steepest = steepest(map) * wander.sqrt();
    usual.max((predicted * predicted / cases.max(1.0)).sqrt().hypot(steepest))
}

/// How many times as fast as confidence the map rises at most, between the middles of neighbouring blocks that are not small.
fn steepest(map: &CalibrationMap) -> f64 {
    let large = |block: &&Block| block.labelled as f64 >= LARGE_BLOCK * map.labelled() as f64;
    let blocks: Vec<(f64, f64)> =
        map.blocks().iter().filter(large).map(|block| (f64::midpoint(block.low, block.high), block.accuracy)).collect();
    let slope = |pair: &[(f64, f64)]| match pair {
        [(from, low), (to, high)] if to > from => (high - low) / (to - from),
        _ => 0.0,
    };
    blocks.windows(2).map(slope).fold(0.0, f64::max)
}

fn moments(values: &[(f64, u64)]) -> Moments {
    let mut moments = Moments::default();
    for (value, n) in values {
        moments.add_equal(*value, *n);
    }
    moments
}

/// The chart of labels given confidence.
pub(super) fn calibration(detect: &Detect, profile: &Profile) -> Option<Plan> {
    let map = profile.calibration()?;
    let Some(Amount::Points(delta)) = amount(detect.bound) else { return None };
    let per_day = per_day(map.labelled(), profile.span());
    let promised = promised(detect.promise, per_day, 1.0);
    let raised = (promised < ARL0_MIN).then_some(Finding::PromiseRaised(ARL0_MIN));
    let design =
        AdjustedDesign { guarantee: detect.guarantee, ..AdjustedDesign::new(map, delta, promised.max(ARL0_MIN)) };
    let findings = raised.into_iter().collect();
    Some(Plan { design: Design::Adjusted(Box::new(design)), per_day, cases: 1.0, batch: None, findings })
}

#[cfg(test)]
mod tests {
    use super::super::super::detect::Rung;
    use super::*;

    #[test]
    fn hours_that_wander_where_the_map_is_steep_widen_the_limit() {
        let rung = |confidence: f64, right: u64| Rung { confidence, n: 2_000, right };
        // Flat below and steep above: what hours exchange there moves what is predicted far more than what is stated.
        let map = CalibrationMap::fit(&[rung(0.5, 1_790), rung(0.9, 1_810), rung(1.0, 1_990)]).unwrap();
        assert!(steepest(&map) > 0.5, "{}", steepest(&map));
        let means = |sd: f64| Moments { n: 200, mean: 0.75, m2: 199.0 * sd * sd, min: 0.7, max: 0.8 };
        let spreads = (0.04, 0.2);
        let chance = 0.2 / 200_f64.sqrt();
        let calm = spread_of_hours(&map, &means(chance), spreads, 200.0);
        assert!((calm - 0.2 * chance).abs() < 1e-12, "{calm}");
        let wandering = spread_of_hours(&map, &means(1.5 * chance), spreads, 200.0);
        assert!(wandering > 2.0 * 0.2 * 1.5 * chance, "{wandering}");
    }
}
