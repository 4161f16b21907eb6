//! Cases about data: made by a generator that the case names, or given as lists.
//!
//! The generator is x <- (1103515245 x + 12345) mod 2^31 from a seed (the C standard's example), and belongs here: nothing
//! that charts compute depends on it.

use serde_json::{Map, Value, json};

use super::CaseError;
use super::params::Params;
use crate::engine::detect::design::bernoulli::{solve_real_limit, weights};
use crate::engine::detect::design::ewma::EwmaLimits;
use crate::engine::detect::{
    Calibration, Dispersion, Ewma, Powered, ShiryaevRoberts, TabularCusum, TabularDesign, glr_rise,
};
use crate::engine::sketch::latency::Precision;
use crate::engine::sketch::{Histogram, quantile, quantile_between};
use crate::engine::units::Counts;

/// Most values that a generator is asked for.
const MOST: u64 = 20_000_000;
/// The promise behind the limits of trajectories.
const ARL0: f64 = 20_000.0;
/// Width of the limits of trajectories and of Laney's chart.
const SIGMAS: f64 = 3.0;
/// Confidence of the intervals of accuracy.
const CONFIDENCE: f64 = 0.9;

/// The generator.
struct Congruential(u64);

impl Congruential {
    const MODULUS: u64 = 1 << 31;

    fn seeded(params: &Params<'_>) -> Result<Self, CaseError> {
        Ok(Self(params.whole("seed")? % Self::MODULUS))
    }

    const fn next(&mut self) -> u64 {
        self.0 = (1_103_515_245 * self.0 + 12_345) % Self::MODULUS;
        self.0
    }

    fn uniform(&mut self) -> f64 {
        self.next() as f64 / Self::MODULUS as f64
    }
}

/// A number of values that can be made.
fn size(params: &Params<'_>, name: &'static str) -> Result<u64, CaseError> {
    match params.whole(name)? {
        n if n <= MOST => Ok(n),
        _ => params.refuse(name, "at most 20 million"),
    }
}

pub(super) fn trajectory(params: &Params<'_>) -> Result<Value, CaseError> {
    if params.quantity != "fixed_sequence" {
        return params.unknown_quantity();
    }
    let (n, cut) = (size(params, "n")?, params.whole("cut")?);
    let (before, after) = (params.number("pa")?, params.number("pb")?);
    let mut source = Congruential::seeded(params)?;
    let cases: Vec<bool> = (0..n).map(|i| source.uniform() < if i < cut { before } else { after }).collect();
    let Some(Value::Object(design)) = params.get("design") else {
        return params.refuse("design", "an object with p0, p1, ewma_lambda and ewma_start");
    };
    let design = Params { values: design, ..*params };
    let (p0, p1) = (design.share("p0")?, design.share("p1")?);
    if p1 <= p0 {
        return design.refuse("p1", "above p0");
    }
    let arl0 = if design.get("arl0").is_some() { design.positive("arl0")? } else { ARL0 };
    let lambda = design.chance("ewma_lambda")?;
    let (up, down) = weights(p0, p1);
    let limit = solve_real_limit((up, down), p0, arl0).ok_or(CaseError::Unaffordable("the limit"))?;
    // The steps are log-likelihood ratios already: no target and no reference value to take away.
    let mut cusum = TabularCusum::new(TabularDesign { target: 0.0, k: 0.0, h: limit, head_start: 0.0 });
    let mut roberts = ShiryaevRoberts::new(p0, p1);
    let mut ewma = Ewma::new(lambda, SIGMAS, EwmaLimits::Fixed)
        .about(p0, (p0 * (1.0 - p0)).sqrt())
        .starting_at(design.number_or("ewma_start", p0)?);
    let mut first = [None; 3];
    let mut checkpoints = Map::new();
    let mut errors = 0;
    for (at, hit) in (1..).zip(&cases) {
        errors += u64::from(*hit);
        cusum.update(if *hit { up } else { -down });
        let ratio = roberts.update(*hit);
        let mean = ewma.update(f64::from(u8::from(*hit)));
        let out = [ewma.is_beyond() && mean > p0, cusum.upper().sum >= limit, ratio >= arl0];
        for (first, out) in first.iter_mut().zip(out) {
            if out && first.is_none() {
                *first = Some(at);
            }
        }
        if at == 1_000 || at == cut || at == n {
            let known = cases.get(..at as usize).unwrap_or_default();
            let found = json!({
                "cusum": cusum.upper().sum,
                "shiryaev_roberts": ratio,
                "ewma": mean,
                "glr_up": glr_rise(known, p0),
                "errors": errors,
            });
            checkpoints.insert(at.to_string(), found);
        }
    }
    let [by_ewma, by_cusum, by_ratio] = first;
    Ok(json!({
        "first_alarm": {
            format!("ewma_lambda_{lambda}_L{SIGMAS}"): by_ewma,
            format!("cusum_llr_h_arl0_{arl0}"): by_cusum,
            format!("shiryaev_roberts_A_{arl0}"): by_ratio,
        },
        "checkpoints": checkpoints,
        "cusum_h": limit,
    }))
}

pub(super) fn laney(params: &Params<'_>) -> Result<Value, CaseError> {
    if params.quantity != "laney_p_prime" {
        return params.unknown_quantity();
    }
    let (sizes, counts) = if params.get("counts").is_some() {
        (params.counts("n")?, params.counts("counts")?)
    } else {
        subgroups(params)?
    };
    if sizes.len() != counts.len() || sizes.iter().zip(&counts).any(|(n, x)| x > n) {
        return params.refuse("counts", "one for each of `n`, and at most that");
    }
    let batches: Vec<Counts> = sizes.iter().zip(&counts).map(|(n, hits)| Counts { hits: *hits, n: *n }).collect();
    let Some(found) = Dispersion::estimate(&batches) else {
        return params.refuse("counts", "two subgroups and more that are not all alike");
    };
    let (lower, upper): (Vec<f64>, Vec<f64>) = sizes.iter().map(|n| found.limits(*n, SIGMAS)).unzip();
    Ok(json!({
        "pbar": found.centre,
        "sigma_z": found.sigma_z,
        "n": sizes,
        "counts": counts,
        "ucl3": upper,
        "lcl3": lower,
        "phi_chi2": found.pearson,
    }))
}

/// Subgroups by the generator: two numbers each, for the size and for the count.
fn subgroups(params: &Params<'_>) -> Result<(Vec<u64>, Vec<u64>), CaseError> {
    let [least, shift, spread] = params.scanned("generator", "n=#+(x>>#)%#", [800.0, 16.0, 400.0])?;
    let [level, rise] = params.scanned("generator", "floor(n*(#+#*x/2^31))", [0.06, 0.05])?;
    let [groups] = params.scanned("generator", "# subgroups", [24.0])?;
    if least > 1e12 || !(1.0..=1e12).contains(&spread) || shift > 31.0 || groups > MOST as f64 {
        return params.refuse("generator", "n=#+(x>>#)%# with a shift up to 31 and numbers from 1 to 1e12");
    }
    let mut source = Congruential::seeded(params)?;
    let mut draw = || {
        let n = least as u64 + (source.next() >> shift as u32) % spread as u64;
        let share = level + rise * source.next() as f64 / Congruential::MODULUS as f64;
        (n, (n as f64 * share).floor() as u64)
    };
    Ok((0..groups as u64).map(|_| draw()).unzip())
}

pub(super) fn percentiles(params: &Params<'_>) -> Result<Value, CaseError> {
    if params.quantity != "percentiles" {
        return params.unknown_quantity();
    }
    let (n, m) = (size(params, "n")?, params.whole("m")?);
    let [shift] = params.scanned("generator", "(x>>#)", [8.0])?;
    if n == 0 || m == 0 || m > 1 << 31 || shift > 31.0 {
        return params.refuse("m", "between 1 and 2^31, with a shift up to 31 and one value and more");
    }
    let mut source = Congruential::seeded(params)?;
    let mut draw = || {
        let t = (source.next() >> shift as u32) % m;
        1 + t * t / m
    };
    let values: Vec<u64> = (0..n).map(|_| draw()).collect();
    let mut sorted: Vec<f64> = values.iter().map(|v| *v as f64).collect();
    sorted.sort_by(f64::total_cmp);
    let asked = params.numbers("percentiles")?;
    let nearest: Option<Vec<u64>> = asked.iter().map(|p| quantile(&sorted, p / 100.0).map(|x| x as u64)).collect();
    let between: Option<Vec<f64>> = asked.iter().map(|p| quantile_between(&sorted, p / 100.0)).collect();
    Ok(json!({
        "sum": values.iter().sum::<u64>(),
        "max": values.iter().max(),
        "first5": values.iter().take(5).collect::<Vec<_>>(),
        "inverted_cdf": nearest,
        "linear": between,
        "hdr_3digits": sketched(&values, &asked, Precision::THREE),
        "hdr_2digits": sketched(&values, &asked, Precision::TWO),
    }))
}

/// Percentiles as HdrHistogram says them: the rank rounded, the highest value of its bin, for 0 the lowest of the first.
fn sketched(values: &[u64], percentiles: &[f64], precision: Precision) -> Option<Vec<u64>> {
    let mut bins = Histogram::default();
    for value in values {
        bins.add(precision.bin(*value), 1);
    }
    let one = |percentile: &f64| {
        let rank = (percentile.min(100.0) * bins.n() as f64 / 100.0 + 0.5) as u64;
        let (low, width) = precision.range(bins.rank_bin(rank.max(1))?);
        Some(if *percentile == 0.0 { low } else { low + width - 1 })
    };
    percentiles.iter().map(one).collect()
}

/// Outputs by the generator: confidence, and whether the output was right.
fn outputs(params: &Params<'_>) -> Result<Vec<(f64, bool)>, CaseError> {
    // The other half of a pair of cases only says that it is the same data.
    let same = params.word("generator")?.is_none_or(|text| text.contains("same data"));
    let default = [1.0, 0.6, 3.0];
    let [top, slope, digits] =
        if same { default } else { params.scanned("generator", "c=round(#-#*u1*u2,#)", default)? };
    if digits > 15.0 {
        return params.refuse("generator", "c=round(#-#*u1*u2,#) with at most 15 digits");
    }
    let shift = params.number_or("shift", 0.0)?;
    let total = size(params, "n")? + size(params, "N")?;
    let mut source = Congruential::seeded(params)?;
    let mut draw = || {
        let [first, second, third] = [(); 3].map(|()| source.uniform());
        let exact = top - slope * first * second;
        // Rounding in decimals is what writing does.
        let confidence = format!("{exact:.*}", digits as usize).parse().unwrap_or(exact);
        (confidence, third < confidence - shift)
    };
    Ok((0..total).map(|_| draw()).collect())
}

pub(super) fn ppi(params: &Params<'_>) -> Result<Value, CaseError> {
    if params.quantity != "ppi_mean" {
        return params.unknown_quantity();
    }
    let labelled = params.whole("n")?;
    let mut sums = Powered::default();
    for (at, (confidence, right)) in (0..).zip(outputs(params)?) {
        sums.add(confidence, (at < labelled).then_some(right));
    }
    let said = |lambda: f64| {
        let found = sums.estimate(lambda, CONFIDENCE)?;
        Some(json!({"estimate": found.value, "ci90": [found.low, found.high]}))
    };
    let (plain, tuned, labels) = (said(1.0), said(sums.tuning()), said(0.0));
    if plain.is_none() {
        return params.refuse("n", "1 and above, as `N`");
    }
    Ok(json!({
        "ppi_lam1": plain,
        "ppi_plus_plus": tuned,
        "classical_lam0": labels,
        "check_sums": {
            "sum_c_labelled": sums.c,
            "sum_y_labelled": sums.right,
            "sum_c_unlabelled": sums.free_c,
        },
        "lambda_simple": sums.tuning_uncut(),
    }))
}

pub(super) fn cbpe(params: &Params<'_>) -> Result<Value, CaseError> {
    if params.quantity != "cbpe_accuracy" {
        return params.unknown_quantity();
    }
    let labelled = params.whole("n")? as usize;
    let mut found = Calibration::default();
    for (confidence, right) in outputs(params)?.into_iter().skip(labelled) {
        found.add(confidence, right);
    }
    if found.n() == 0 {
        return params.refuse("N", "1 and above");
    }
    Ok(json!({
        "by_definition": found.predicted(),
        "realized": found.realised(),
        "ece_10_equal_width": found.error(),
        "brier": found.brier(),
    }))
}
