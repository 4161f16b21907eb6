//! Shares and distributions: quantiles, intervals, distances, and a baseline's own error.

use serde_json::{Value, json};

use super::CaseError;
use super::params::Params;
use crate::engine::detect::design::bernoulli::{Walk, solve_real_limit, weights};
use crate::engine::detect::design::binomial::Binomial;
use crate::engine::detect::design::interval::{
    beta_mixture, clopper_pearson, clopper_pearson_upper, normal_quantile as quantile, wilson, wilson_corrected,
};
use crate::engine::detect::design::normal::normal_cdf;
use crate::engine::detect::design::sequences::{Tuning, betting, sub_bernoulli};
use crate::engine::detect::{Comparison, FLOOR};
use crate::engine::units::{Counts, Estimate};

/// Most cases that counts may have.
const CASES_MOST: u64 = 1_000_000_000;
/// Most bets, cases times candidates.
const BETS_MOST: f64 = 2e9;
/// Rises after which the reference reports delays, and what it calls them.
const DELAYS: [(f64, &str); 2] = [(0.02, "delay_at_p0hat_plus_2pp"), (0.05, "delay_at_p0hat_plus_5pp")];

pub(super) fn normal_quantile(params: &Params<'_>) -> Result<Value, CaseError> {
    match params.quantity {
        "ppf" => Ok(json!(quantile(params.share("p")?))),
        "cdf" => Ok(json!(normal_cdf(params.number("x")?))),
        _ => params.unknown_quantity(),
    }
}

pub(super) fn binomial(params: &Params<'_>) -> Result<Value, CaseError> {
    let (n, p) = (params.whole("n")?, params.number("p")?);
    if n > CASES_MOST {
        return params.refuse("n", "at most a thousand million");
    }
    if !(0.0..=1.0).contains(&p) {
        return params.refuse("p", "between 0 and 1");
    }
    let hits = Binomial { n, p };
    if params.quantity == "ppf" {
        return Ok(json!(hits.quantile(params.share("q")?)));
    }
    let k = params.whole("k")?;
    match params.quantity {
        "cdf_sf_pmf" => Ok(json!([hits.cdf(k), hits.sf(k), hits.pmf(k)])),
        "cdf" => Ok(json!(hits.cdf(k))),
        "sf" => Ok(json!(hits.sf(k))),
        "pmf" => Ok(json!(hits.pmf(k))),
        _ => params.unknown_quantity(),
    }
}

fn counts(params: &Params<'_>, hits: &'static str) -> Result<Counts, CaseError> {
    let counts = Counts { hits: params.whole(hits)?, n: params.whole("n")? };
    match counts {
        Counts { hits: few, n } if few > n => params.refuse(hits, "at most n"),
        Counts { n: 0, .. } => params.refuse("n", "1 and above"),
        Counts { n, .. } if n > CASES_MOST => params.refuse("n", "at most a thousand million"),
        counts => Ok(counts),
    }
}

fn ends(found: Estimate) -> Value {
    json!([found.low, found.high])
}

pub(super) fn interval(params: &Params<'_>) -> Result<Value, CaseError> {
    if params.quantity != "interval" {
        return params.unknown_quantity();
    }
    let (counts, confidence) = (counts(params, "x")?, params.share("confidence")?);
    let found = match params.word("method")? {
        Some("wilson") => wilson(counts, confidence),
        Some("wilson_cc" | "wilsoncc") => wilson_corrected(counts, confidence),
        Some("clopper_pearson" | "exact") => clopper_pearson(counts, confidence),
        Some("beta_mixture") => beta_mixture(counts, 1.0 - confidence, (1.0, 1.0)),
        _ => return params.refuse("method", "\"wilson\", \"wilson_cc\", \"clopper_pearson\" or \"beta_mixture\""),
    };
    Ok(ends(found))
}

pub(super) fn confidence_sequence(params: &Params<'_>) -> Result<Value, CaseError> {
    let alpha = params.share("alpha")?;
    match params.quantity {
        "beta_mixture_cs" => {
            let prior = params.scanned("prior", "beta(#,#)", [1.0, 1.0])?;
            if prior.iter().any(|x| *x <= 0.0) {
                return params.refuse("prior", "beta(a,b) with a and b above 0");
            }
            Ok(ends(beta_mixture(counts(params, "successes")?, alpha, prior.into())))
        }
        "howard_sub_bernoulli_cs" => {
            let tuned_for = if params.get("alpha_opt").is_some() { params.share("alpha_opt")? } else { 0.05 };
            let tuning = Tuning { cases: params.positive("t_opt")?, alpha: tuned_for };
            Ok(ends(sub_bernoulli(counts(params, "successes")?, alpha, tuning)))
        }
        "betting_cs_final" => {
            let steps = match params.whole_or("breaks", 1_000)? {
                steps @ 1..=100_000 => steps as u32,
                _ => return params.refuse("breaks", "between 1 and 100,000"),
            };
            let values = sequence(params)?;
            if values.len() as f64 * f64::from(steps) > BETS_MOST {
                return Err(CaseError::Unaffordable("betting on every candidate"));
            }
            Ok(ends(betting(&values, alpha, steps)))
        }
        _ => params.unknown_quantity(),
    }
}

/// A sequence of ones and zeros by its rule, or a list.
fn sequence(params: &Params<'_>) -> Result<Vec<f64>, CaseError> {
    if params.get("sequence").is_some_and(Value::is_array) {
        let values = params.numbers("sequence")?;
        let inside = values.iter().all(|x| (0.0..=1.0).contains(x));
        return if inside { Ok(values) } else { params.refuse("sequence", "a list of numbers between 0 and 1") };
    }
    if params.word("sequence")?.is_none() {
        return Err(CaseError::Missing("sequence"));
    }
    let [factor, modulus, below] = params.scanned("sequence", "1 if (i*#) mod # < # else 0", [0.0; 3])?;
    let n = params.whole("n")?;
    if n > 1_000_000 || modulus < 1.0 {
        return params.refuse("sequence", "a rule of at most a million cases with a modulus of 1 and above");
    }
    let (factor, modulus, below) = (factor as u64, modulus as u64, below as u64);
    Ok((1..=n).map(|i| f64::from(u8::from(i.wrapping_mul(factor) % modulus < below))).collect())
}

pub(super) fn histogram_distance(params: &Params<'_>) -> Result<Value, CaseError> {
    if params.quantity != "all" {
        return params.unknown_quantity();
    }
    let (expected, actual) = (params.counts("expected")?, params.counts("actual")?);
    let floor = params.number_or("psi_floor", FLOOR)?;
    let Some(found) = Comparison::between(&expected, &actual, floor) else {
        return params.refuse("actual", "as many bins as `expected`, with something in them");
    };
    Ok(json!({
        "psi": found.distances.psi,
        "ks_binned": found.distances.kolmogorov_smirnov,
        "ks_asymptotic_p": found.kolmogorov_p,
        "js_divergence_nats": found.distances.jensen_shannon,
        "js_distance_base2": found.jensen_shannon_distance,
        "wasserstein_bin_index": found.wasserstein,
        "hellinger": found.hellinger,
        "total_variation": found.total_variation,
        "chi2_homogeneity": [found.chi_square, found.chi_square_p],
    }))
}

pub(super) fn baseline_uncertainty(params: &Params<'_>) -> Result<Value, CaseError> {
    let counts = Counts { hits: params.whole("errors")?, n: params.whole("n0")? };
    if counts.n > CASES_MOST {
        return params.refuse("n0", "at most a thousand million");
    }
    let Some(level) = counts.share().filter(|p| *p > 0.0 && *p < 1.0) else {
        return params.refuse("errors", "above 0 and below n0: the weights are made from their share");
    };
    let (guarantee, arl0) = (params.share("guarantee")?, params.positive("arl0")?);
    let bound = clopper_pearson_upper(counts, guarantee);
    match params.quantity {
        "guaranteed_threshold" => guaranteed(params, (level, bound), arl0),
        "shifted_baseline_design" => shifted(params, (level, bound), arl0),
        _ => params.unknown_quantity(),
    }
}

fn limit_of(weights: (f64, f64), p: f64, arl0: f64) -> Result<Walk, CaseError> {
    let limit = solve_real_limit(weights, p, arl0).ok_or(CaseError::Unaffordable("the limit"))?;
    Ok(Walk { up: weights.0, down: weights.1, limit })
}

fn length(walk: Walk, p: f64) -> Result<f64, CaseError> {
    walk.patient_arl(p, 0.0).ok_or(CaseError::Unaffordable("the run length"))
}

/// The limit alone is raised until the bound keeps the promise; the weights stay those of the estimate.
fn guaranteed(params: &Params<'_>, (level, bound): (f64, f64), arl0: f64) -> Result<Value, CaseError> {
    let p1 =
        if params.get("design_p1").is_some() { params.share("design_p1")? } else { level + params.share("delta")? };
    if p1 <= level || p1 >= 1.0 {
        return params.refuse("design_p1", "above the share of errors and below 1");
    }
    let weights = weights(level, p1);
    let (plain, guaranteed) = (limit_of(weights, level, arl0)?, limit_of(weights, bound, arl0)?);
    Ok(json!({
        "p0_upper_clopper_pearson": bound,
        "h_plain": plain.limit,
        "h_guaranteed": guaranteed.limit,
        "arl_at_p0hat_with_h_guaranteed": length(guaranteed, level)?,
        "arl_at_p0upper_with_h_plain": length(plain, bound)?,
        "delay_at_p1_plain": length(plain, p1)?,
        "delay_at_p1_guaranteed": length(guaranteed, p1)?,
    }))
}

/// Weights and limit are both those of the bound.
fn shifted(params: &Params<'_>, (level, bound): (f64, f64), arl0: f64) -> Result<Value, CaseError> {
    let p1 = bound + params.share("delta")?;
    if p1 >= 1.0 {
        return params.refuse("delta", "a rise that ends below 1");
    }
    let (a, b) = weights(bound, p1);
    let walk = limit_of((a, b), bound, arl0)?;
    let mut value = json!({
        "p0_star": bound,
        "p1_star": p1,
        "a": a,
        "b": b,
        "h": walk.limit,
        "arl_at_p0hat": length(walk, level)?,
    });
    if let Value::Object(fields) = &mut value {
        for (rise, name) in DELAYS.into_iter().filter(|(rise, _)| level + rise < 1.0) {
            fields.insert(name.to_owned(), json!(length(walk, level + rise)?));
        }
    }
    Ok(value)
}
