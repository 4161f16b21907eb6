//! The published and independently computed cases kept beside the repository, where they are at hand.

use serde_json::Value;

use super::Distances;
use super::design::bernoulli::{Walk, start_limit, weights};
use super::design::ewma::{EwmaLimits, NormalEwma};
use super::design::interval::{clopper_pearson, clopper_pearson_upper, confidence_sequence, normal_quantile, wilson};
use super::design::normal::{NormalCusum, TwoSidedCusum, normal_cdf};
use super::design::runs::{nelson_arl, western_electric_arl};
use crate::engine::units::{Counts, Estimate};

/// Agreement of one number; reference values of 0 are compared absolutely.
fn agrees(found: f64, wanted: f64, tolerance: f64) -> bool {
    (found - wanted).abs() <= tolerance * wanted.abs().max(1e-12) || (found - wanted).abs() < 1e-15
}

fn bernoulli(params: &Value) -> f64 {
    let number = |name: &str| params[name].as_f64().unwrap();
    if params["weights"] == "integer" {
        let walk = Walk { up: number("up"), down: number("down"), limit: number("H") };
        return walk.arl(number("p")).unwrap();
    }
    let (up, down) = weights(number("p0"), number("p1"));
    Walk { up, down, limit: number("h") }.arl(number("p")).unwrap()
}

fn normal(params: &Value, quantity: &str) -> f64 {
    let number = |name: &str| params[name].as_f64().unwrap();
    let (k, h, shift, start) = (number("k"), number("h"), number("shift"), number("headstart"));
    match (quantity, params["sided"].as_str()) {
        ("zero_state_arl", Some("one")) => NormalCusum { k, h }.arl_from(shift, start),
        ("zero_state_arl", Some("two")) => TwoSidedCusum { k, h }.arl_from(shift, start),
        ("steady_state_arl_conditional", Some("one")) => NormalCusum { k, h }.steady_state_arl(shift),
        other => panic!("{other:?}"),
    }
}

fn ewma(params: &Value) -> f64 {
    let number = |name: &str| params[name].as_f64().unwrap();
    let limits = match params["limits"].as_str() {
        Some("fixed") => EwmaLimits::Fixed,
        Some("time_varying") => EwmaLimits::TimeVarying,
        other => panic!("{other:?}"),
    };
    NormalEwma { lambda: number("lambda"), width: number("L"), limits }.arl(number("shift"))
}

fn western_electric(params: &Value) -> f64 {
    let rules: Vec<u8> = params["rules"].as_str().unwrap().bytes().map(|digit| digit - b'0').collect();
    let run_length = params["run_length_rule4"].as_u64().unwrap() as u8;
    western_electric_arl(&rules, run_length, params["shift"].as_f64().unwrap())
}

fn nelson(params: &Value) -> f64 {
    let rules: Vec<u8> = params["rules"].as_array().unwrap().iter().map(|rule| rule.as_u64().unwrap() as u8).collect();
    nelson_arl(&rules, params["shift"].as_f64().unwrap())
}

fn interval(params: &Value) -> Option<Estimate> {
    let counts = |hits: &str| Counts { hits: params[hits].as_u64().unwrap(), n: params["n"].as_u64().unwrap() };
    match params["method"].as_str() {
        Some("wilson") => Some(wilson(counts("x"), params["confidence"].as_f64()?)),
        Some("clopper_pearson") => Some(clopper_pearson(counts("x"), params["confidence"].as_f64()?)),
        None if params["prior"] == "beta(1,1)" => {
            Some(confidence_sequence(counts("successes"), params["alpha"].as_f64()?))
        }
        _ => None,
    }
}

fn distances(params: &Value) -> Vec<(&'static str, f64)> {
    let bins = |name: &str| -> Vec<u64> {
        params[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as u64).collect()
    };
    let found = Distances::between(&bins("expected"), &bins("actual"));
    vec![("psi", found.psi), ("js_divergence_nats", found.jensen_shannon), ("ks_binned", found.kolmogorov_smirnov)]
}

/// Pairs of what we find and what the case says.
fn compare(case: &Value) -> Vec<(f64, f64)> {
    let (params, value) = (&case["params"], &case["value"]);
    let number = |name: &str| params[name].as_f64().unwrap();
    match (case["family"].as_str().unwrap(), case["quantity"].as_str().unwrap()) {
        ("bernoulli_cusum", _) => vec![(bernoulli(params), value.as_f64().unwrap())],
        ("normal_cusum", quantity) => vec![(normal(params, quantity), value.as_f64().unwrap())],
        ("normal_ewma", _) => vec![(ewma(params), value.as_f64().unwrap())],
        ("western_electric", _) => vec![(western_electric(params), value.as_f64().unwrap())],
        // The reference solved this chain, whose run length is 1.3e12, in floats that cancel: it is 1.1e-5 off a run of
        // 15 with p = Phi(-1) - Phi(-3), which has a closed form.
        ("nelson", _) if case["id"] == "nelson-0579" => {
            let p = normal_cdf(-1.0) - normal_cdf(-3.0);
            vec![(nelson(params), (1.0 - p.powi(15)) / (p.powi(15) * (1.0 - p)))]
        }
        ("nelson", _) => vec![(nelson(params), value.as_f64().unwrap())],
        ("normal_quantile", _) => vec![(normal_quantile(number("p")), value.as_f64().unwrap())],
        ("threshold_start", _) if number("phi") == 1.0 => {
            vec![(start_limit(number("p0"), number("p1"), number("arl0")), value.as_f64().unwrap())]
        }
        ("interval" | "confidence_sequence", _) => interval(params).map_or_else(Vec::new, |found| {
            vec![(found.low, value[0].as_f64().unwrap()), (found.high, value[1].as_f64().unwrap())]
        }),
        ("histogram_distance", _) => {
            distances(params).into_iter().map(|(name, found)| (found, value[name].as_f64().unwrap())).collect()
        }
        ("baseline_uncertainty", _) => {
            let counts = Counts { hits: params["errors"].as_u64().unwrap(), n: params["n0"].as_u64().unwrap() };
            let wanted = value["p0_star"].as_f64().or_else(|| value["p0_upper_clopper_pearson"].as_f64()).unwrap();
            let mut pairs = vec![(clopper_pearson_upper(counts, number("guarantee")), wanted)];
            if let Some(h) = value["h"].as_f64() {
                let (p0, delta) = (wanted, number("delta"));
                let (up, down) = weights(p0, p0 + delta);
                let walk = Walk { up, down, limit: h };
                // The smallest limit that keeps the promise may keep more than it.
                pairs.push((walk.arl(p0).unwrap().min(20_000.0), 20_000.0));
                let share = counts.share().unwrap();
                pairs.push((walk.arl(share).unwrap(), value["arl_at_p0hat"].as_f64().unwrap()));
                pairs.push((walk.arl(share + 0.02).unwrap(), value["delay_at_p0hat_plus_2pp"].as_f64().unwrap()));
            }
            pairs
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_case_of_the_families_implemented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/reference/reference_arl.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: {path} is absent");
        return;
    };
    let file: Value = serde_json::from_str(&text).unwrap();
    let mut checked = 0;
    let mut wrong = Vec::new();
    for case in file["cases"].as_array().unwrap() {
        let tolerance = case["rel_tol"].as_f64().unwrap();
        for (found, wanted) in compare(case) {
            checked += 1;
            if !agrees(found, wanted, tolerance) {
                wrong.push(format!("{}: found {found}, wanted {wanted} within {tolerance}", case["id"]));
            }
        }
    }
    println!("{checked} values checked");
    assert!(wrong.is_empty(), "{} of {checked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(checked > 780);
}
