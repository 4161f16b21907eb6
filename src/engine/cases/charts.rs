//! Run lengths and limits of charts.

use serde_json::{Value, json};

use super::CaseError;
use super::params::Params;
use crate::engine::detect::design::bernoulli::{Walk, scaled_limit, solve_real_limit, weights};
use crate::engine::detect::design::ewma::{EwmaLimits, NormalEwma, UpperEwma};
use crate::engine::detect::design::normal::{NormalCusum, TwoSidedCusum};
use crate::engine::detect::design::runs::{nelson_arl, western_electric_arl};
use crate::engine::detect::{Mixture, THOROUGH, run_length};

/// Longest limit of a normal CUSUM whose equation is solved to all digits.
const H_MOST: f64 = 500.0;
/// Least weight of an EWMA that is affordable.
const LAMBDA_LEAST: f64 = 0.001;

/// Which sides a chart watches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sided {
    One,
    Two,
}

fn sided(params: &Params<'_>, otherwise: Sided) -> Result<Sided, CaseError> {
    match params.word("sided")? {
        None => Ok(otherwise),
        Some("one") => Ok(Sided::One),
        Some("two") => Ok(Sided::Two),
        Some(_) => params.refuse("sided", "\"one\" or \"two\""),
    }
}

pub(super) fn normal_cusum(params: &Params<'_>) -> Result<Value, CaseError> {
    let (k, h, shift) = (params.number("k")?, params.positive("h")?, params.number_or("shift", 0.0)?);
    if h > H_MOST {
        return params.refuse("h", "at most 500: the equation needs too many nodes beyond");
    }
    let sided = sided(params, Sided::One)?;
    let start = params.head_start(h)?;
    let arl = match (params.quantity, sided) {
        ("zero_state_arl" | "in_control_arl" | "arl", Sided::One) => NormalCusum { k, h }.arl_from(shift, start),
        ("zero_state_arl" | "in_control_arl" | "arl", Sided::Two) => TwoSidedCusum { k, h }.arl_from(shift, start),
        ("steady_state_arl_conditional" | "steady_state_arl", Sided::One) => {
            NormalCusum { k, h }.steady_state_arl(shift)
        }
        ("steady_state_arl_conditional" | "steady_state_arl", Sided::Two) => {
            return params
                .refuse("sided", "\"one\" for a steady state: two sums together have no closed equation here");
        }
        _ => return params.unknown_quantity(),
    };
    Ok(json!(arl))
}

pub(super) fn normal_ewma(params: &Params<'_>) -> Result<Value, CaseError> {
    if !matches!(params.quantity, "zero_state_arl" | "in_control_arl" | "arl") {
        return params.unknown_quantity();
    }
    let (lambda, width, shift) = (params.chance("lambda")?, params.positive("L")?, params.number_or("shift", 0.0)?);
    if lambda < LAMBDA_LEAST {
        return params.refuse("lambda", "at least 0.001: the equation needs too many nodes below");
    }
    let limits = match params.word("limits")? {
        None | Some("fixed" | "fix") => EwmaLimits::Fixed,
        Some("time_varying" | "time-varying" | "vacl") => EwmaLimits::TimeVarying,
        Some(_) => return params.refuse("limits", "\"fixed\" or \"time_varying\""),
    };
    if params.number_or("headstart", 0.0)? != 0.0 {
        return params.refuse("headstart", "0: run lengths of an EWMA are told from its target");
    }
    let arl = match (sided(params, Sided::Two)?, limits) {
        (Sided::Two, _) => NormalEwma { lambda, width, limits }.arl(shift),
        (Sided::One, EwmaLimits::Fixed) => UpperEwma { lambda, width }.arl(shift),
        (Sided::One, EwmaLimits::TimeVarying) => return params.refuse("sided", "\"two\" with limits that vary"),
    };
    Ok(json!(arl))
}

pub(super) fn western_electric(params: &Params<'_>) -> Result<Value, CaseError> {
    if !matches!(params.quantity, "zero_state_arl" | "in_control_arl" | "arl") {
        return params.unknown_quantity();
    }
    let rules = params.rules(4, "some of the numbers 1 to 4, as a text or a list")?;
    let run_length = match params.whole_or("run_length_rule4", 8)? {
        // Each point more doubles nothing but the states: beyond this a run on one side is not met.
        run @ 1..=60 => run as u8,
        _ => return params.refuse("run_length_rule4", "between 1 and 60"),
    };
    Ok(json!(western_electric_arl(&rules, run_length, params.number_or("shift", 0.0)?)))
}

pub(super) fn nelson(params: &Params<'_>) -> Result<Value, CaseError> {
    if !matches!(params.quantity, "zero_state_arl" | "in_control_arl" | "arl") {
        return params.unknown_quantity();
    }
    let rules = params.rules(8, "some of the numbers 1 to 8, as a list or a text")?;
    Ok(json!(nelson_arl(&rules, params.number_or("shift", 0.0)?)))
}

/// A Bernoulli CUSUM of a case, and how probabilities of its hits are read.
struct Bernoulli {
    walk: Walk,
    /// A chart of a fall counts misses.
    falls: bool,
    p0: Option<f64>,
}

impl Bernoulli {
    fn level(&self, p: f64) -> f64 {
        if self.falls { 1.0 - p } else { p }
    }

    fn read(params: &Params<'_>) -> Result<Self, CaseError> {
        match params.word("weights")? {
            None | Some("llr") => {
                let (p0, p1) = (params.share("p0")?, params.share("p1")?);
                let falls = p1 < p0;
                if p1 == p0 {
                    return params.refuse("p1", "another level than p0");
                }
                let (up, down) = if falls { weights(1.0 - p0, 1.0 - p1) } else { weights(p0, p1) };
                let limit = if params.get("h").is_some() {
                    params.positive("h")?
                } else {
                    let name = if params.get("arl0").is_some() { "arl0" } else { "arl0_target" };
                    let in_control = if falls { 1.0 - p0 } else { p0 };
                    solve_real_limit((up, down), in_control, params.positive(name)?)
                        .ok_or(CaseError::Unaffordable("the limit"))?
                };
                Ok(Self { walk: Walk { up, down, limit }, falls, p0: Some(p0) })
            }
            Some("integer") => {
                let (up, down, limit) = (params.positive("up")?, params.positive("down")?, params.positive("H")?);
                let p0 = if params.get("p0").is_some() { Some(params.share("p0")?) } else { None };
                Ok(Self { walk: Walk { up, down, limit }, falls: false, p0 })
            }
            Some(_) => params.refuse("weights", "\"llr\" or \"integer\""),
        }
    }
}

pub(super) fn bernoulli_cusum(params: &Params<'_>) -> Result<Value, CaseError> {
    let chart = Bernoulli::read(params)?;
    let walk = chart.walk;
    if params.quantity == "h" {
        return Ok(json!(walk.limit));
    }
    let p = match (params.get("p"), chart.p0, params.quantity) {
        (None, Some(p0), "in_control_arl") => p0,
        _ => params.share("p")?,
    };
    let p = chart.level(p);
    let found = match params.quantity {
        "in_control_arl" | "zero_state_arl" | "arl" => walk.patient_arl(p, params.head_start(walk.limit)?),
        "fir_half" | "headstart_half" => walk.patient_arl(p, walk.limit / 2.0),
        "cyclic_steady_state_mean_delay" | "steady_state_arl" => {
            let p0 = chart.p0.ok_or(CaseError::Missing("p0"))?;
            walk.steady_state(chart.level(p0), p)
        }
        _ => return params.unknown_quantity(),
    };
    found.map(|arl| json!(arl)).ok_or(CaseError::Unaffordable("the run length"))
}

pub(super) fn sr_mixture(params: &Params<'_>) -> Result<Value, CaseError> {
    if !matches!(params.quantity, "in_control_arl" | "zero_state_arl" | "arl") {
        return params.unknown_quantity();
    }
    let (p0, limit, drops) = (params.share("p0")?, params.positive("A")?, params.numbers("grid_offsets")?);
    if drops.is_empty() || drops.iter().any(|drop| !(*drop > 0.0 && p0 + drop < 1.0)) {
        return params.refuse("grid_offsets", "a list of rises above 0 that end below 1");
    }
    let weights = match params.get("weights") {
        None => vec![1.0 / drops.len() as f64; drops.len()],
        Some(Value::String(word)) if word == "equal" => vec![1.0 / drops.len() as f64; drops.len()],
        Some(Value::Array(_)) => params.numbers("weights")?,
        Some(_) => return params.refuse("weights", "\"equal\", or a number for each of the rises"),
    };
    if weights.len() != drops.len() || weights.iter().any(|w| *w < 0.0) {
        return params.refuse("weights", "\"equal\", or a number for each of the rises, 0 and above");
    }
    // Only with weights that add up to 1 the statistic less the cases is a martingale.
    let null = ((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9).then_some(p0);
    let arms: Vec<(f64, f64)> = drops.into_iter().zip(weights).collect();
    let chart = Mixture::weighted(p0, &arms, limit);
    let p = if params.get("p").is_none() && params.quantity == "in_control_arl" { p0 } else { params.chance("p")? };
    let found = run_length(&chart, null, p, THOROUGH).ok_or(CaseError::Unaffordable("the run length"))?;
    Ok(json!(found.mean))
}

pub(super) fn threshold_start(params: &Params<'_>) -> Result<Value, CaseError> {
    if params.quantity != "h" {
        return params.unknown_quantity();
    }
    let (p0, p1, arl0) = (params.share("p0")?, params.share("p1")?, params.positive("arl0")?);
    if p1 <= p0 {
        return params.refuse("p1", "above p0");
    }
    let phi = if params.get("phi").is_some() { params.positive("phi")? } else { 1.0 };
    Ok(json!(scaled_limit(p0, p1, arl0, phi)))
}
