//! The published and independently computed cases kept beside the repository, where they are at hand.

use serde_json::Value;

use super::design::normal::normal_cdf;
use crate::engine::cases::{answer, read};

/// Agreement of numbers wherever they stand, with the place of the first that differs; a tolerance of 0 is one of doubles.
fn differs(found: &Value, wanted: &Value, (relative, absolute): (f64, f64)) -> Option<String> {
    match (found, wanted) {
        (Value::Array(f), Value::Array(w)) if f.len() == w.len() => f
            .iter()
            .zip(w)
            .enumerate()
            .find_map(|(i, (f, w))| differs(f, w, (relative, absolute)).map(|place| format!("[{i}]{place}"))),
        (Value::Object(f), Value::Object(w)) if f.len() == w.len() => w.iter().find_map(|(name, w)| {
            differs(f.get(name).unwrap_or(&Value::Null), w, (relative, absolute)).map(|place| format!(".{name}{place}"))
        }),
        (Value::Number(f), Value::Number(w)) => {
            let (f, w) = (f.as_f64().unwrap(), w.as_f64().unwrap());
            let near = (f - w).abs() <= (relative * w.abs()).max(absolute).max(1e-14 * w.abs()).max(1e-14);
            (!near).then(|| format!(": found {f}, wanted {w}"))
        }
        (f, w) => (f != w).then(|| format!(": found {f}, wanted {w}")),
    }
}

#[test]
fn every_case_has_its_answer() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/reference/reference_arl.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: {path} is absent");
        return;
    };
    let cases = read(&text).unwrap();
    assert_eq!(cases.len(), 799);
    let mut wrong = Vec::new();
    for case in &cases {
        let tolerance = (case["rel_tol"].as_f64().unwrap(), case["abs_tol"].as_f64().unwrap_or(0.0));
        // The reference solved this chain, whose run length is 1.3e12, in floats that cancel: it is 1.1e-5 off a run of
        // 15 with p = Phi(-1) - Phi(-3), which has a closed form.
        let wanted = if case["id"] == "nelson-0579" {
            let p = normal_cdf(-1.0) - normal_cdf(-3.0);
            Value::from((1.0 - p.powi(15)) / (p.powi(15) * (1.0 - p)))
        } else {
            case["value"].clone()
        };
        match answer(case) {
            Ok(found) => {
                wrong.extend(differs(&found, &wanted, tolerance).map(|place| format!("{}{place}", case["id"])));
            }
            Err(error) => wrong.push(format!("{}: {error}", case["id"])),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
