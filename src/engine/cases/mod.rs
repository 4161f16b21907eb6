//! Known-answer cases: a question with its parameters in JSON, answered by what the charts themselves compute with.
//!
//! A case is an object with `id`, `family`, `params` and `quantity`; more fields are not read. [`read`] takes a list of them
//! apart, [`answer`] answers one. A value has the shape that its family's has: a number, a list, an object.

mod charts;
mod data;
mod params;
mod shares;

use serde_json::{Map, Value};

use params::Params;

/// Why a case has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CaseError {
    /// It is no object, or a field is not what it must be.
    #[error("a case is an object with `id`, `family`, `params` and `quantity`; {0}")]
    NoCase(&'static str),
    /// The family is not known.
    #[error("no family is called `{0}`; there are {1}")]
    Family(String, String),
    /// The family has no such quantity.
    #[error("`{family}` has no quantity `{quantity}`; it has {known}")]
    Quantity {
        /// The family.
        family: &'static str,
        /// What was asked for.
        quantity: String,
        /// What could be.
        known: &'static str,
    },
    /// A parameter is missing.
    #[error("the parameter `{0}` is missing")]
    Missing(&'static str),
    /// A parameter is not what it must be.
    #[error("the parameter `{name}` is {found}; it must be {wanted}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What it is, as JSON.
        found: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// The answer would take too long.
    #[error("{0} would take more states or samples than can be afforded")]
    Unaffordable(&'static str),
    /// The answer is no number that JSON has.
    #[error("the answer is not finite: with these parameters there is no end or no value")]
    Endless,
}

/// Why text is no list of cases.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// No JSON.
    #[error("no JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// JSON of another shape.
    #[error("cases are a list of objects, or an object with such a list as `cases`")]
    Shape,
}

/// A family: its name, its quantities in words, and what answers them.
type Family = (&'static str, &'static str, fn(&Params<'_>) -> Result<Value, CaseError>);

const FAMILIES: [Family; 18] = [
    ("normal_cusum", "zero_state_arl, steady_state_arl_conditional", charts::normal_cusum),
    ("normal_ewma", "zero_state_arl", charts::normal_ewma),
    ("western_electric", "zero_state_arl", charts::western_electric),
    ("nelson", "zero_state_arl", charts::nelson),
    (
        "bernoulli_cusum",
        "in_control_arl, zero_state_arl, fir_half, cyclic_steady_state_mean_delay, h",
        charts::bernoulli_cusum,
    ),
    ("sr_mixture", "in_control_arl, zero_state_arl", charts::sr_mixture),
    ("threshold_start", "h", charts::threshold_start),
    ("trajectory", "fixed_sequence", data::trajectory),
    ("laney", "laney_p_prime", data::laney),
    ("normal_quantile", "ppf, cdf", shares::normal_quantile),
    ("binomial", "ppf, cdf_sf_pmf, cdf, sf, pmf", shares::binomial),
    ("interval", "interval", shares::interval),
    ("histogram_distance", "all", shares::histogram_distance),
    ("percentiles", "percentiles", data::percentiles),
    ("confidence_sequence", "beta_mixture_cs, howard_sub_bernoulli_cs, betting_cs_final", shares::confidence_sequence),
    ("ppi", "ppi_mean", data::ppi),
    ("cbpe", "cbpe_accuracy", data::cbpe),
    ("baseline_uncertainty", "guaranteed_threshold, shifted_baseline_design", shares::baseline_uncertainty),
];

/// The cases of a text: a list, or an object with a list called `cases`.
pub fn read(text: &str) -> Result<Vec<Value>, ListError> {
    match serde_json::from_str(text)? {
        Value::Array(cases) => Ok(cases),
        Value::Object(mut file) => match file.remove("cases") {
            Some(Value::Array(cases)) => Ok(cases),
            _ => Err(ListError::Shape),
        },
        _ => Err(ListError::Shape),
    }
}

/// The answer to one case.
pub fn answer(case: &Value) -> Result<Value, CaseError> {
    let case = case.as_object().ok_or(CaseError::NoCase("this is none"))?;
    let text = |name: &'static str, fault| case.get(name).and_then(Value::as_str).ok_or(CaseError::NoCase(fault));
    let family = text("family", "`family` is no text")?;
    let Some((name, known, of)) = FAMILIES.iter().find(|(name, ..)| *name == family) else {
        let names: Vec<&str> = FAMILIES.iter().map(|(name, ..)| *name).collect();
        return Err(CaseError::Family(family.to_owned(), names.join(", ")));
    };
    let quantity = text("quantity", "`quantity` is no text")?;
    let none = Map::new();
    let values = match case.get("params") {
        None => &none,
        Some(Value::Object(values)) => values,
        Some(_) => return Err(CaseError::NoCase("`params` is no object")),
    };
    let value = of(&Params { family: name, quantity, known, values })?;
    // JSON has no infinity: it was written as null.
    if is_finite(&value) { Ok(value) } else { Err(CaseError::Endless) }
}

/// Whether every number is there. What has no answer in an object is said by null, as in an alarm that never came.
fn is_finite(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(values) => values.iter().all(is_finite),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_come_alone_or_in_an_object() {
        assert_eq!(read("[]").unwrap(), Vec::<Value>::new());
        assert_eq!(read(r#"{"meta": 1, "cases": [{}]}"#).unwrap(), [json!({})]);
        for text in ["{}", "3", r#"{"cases": 3}"#] {
            assert_eq!(read(text).unwrap_err().to_string(), ListError::Shape.to_string());
        }
        assert!(read("[").unwrap_err().to_string().starts_with("no JSON: "));
    }

    #[test]
    fn what_is_not_understood_says_what_would_be() {
        for (case, wanted) in [
            (json!(3), "a case is an object"),
            (json!({"family": "cusum", "quantity": "h", "params": {}}), "there are normal_cusum, normal_ewma"),
            (
                json!({"family": "nelson", "quantity": "h", "params": {}}),
                "`nelson` has no quantity `h`; it has zero_state",
            ),
            (json!({"family": "nelson", "quantity": "zero_state_arl"}), "the parameter `rules` is missing"),
            (
                json!({"family": "nelson", "quantity": "zero_state_arl", "params": {"rules": [9], "shift": 0}}),
                "the parameter `rules` is [9]; it must be",
            ),
            (
                json!({"family": "bernoulli_cusum", "quantity": "zero_state_arl", "params": {"p0": 0, "p1": 0.1, "h": 3, "p": 0.1}}),
                "the parameter `p0` is 0; it must be above 0 and below 1",
            ),
            (json!({"family": "normal_quantile", "quantity": "ppf", "params": {"p": "x"}}), "it must be a number"),
        ] {
            let found = answer(&case).unwrap_err().to_string();
            assert!(found.contains(wanted), "{found}");
        }
    }

    /// A case of every family: params, quantity, where in the value, what is there, how near.
    #[test]
    fn every_family_has_an_answer() {
        let llr = json!({"p0": 0.08, "p1": 0.1, "h": 3.869_091_025_352_479, "p": 0.1});
        let falling = json!({"p0": 0.92, "p1": 0.9, "h": 3.869_091_025_352_479, "p": 0.9});
        let integer = json!({"weights": "integer", "up": 49, "down": 1, "H": 400, "p": 0.02, "headstart": 200});
        let mixture = json!({"p0": 0.08, "grid_offsets": [0.01, 0.02, 0.03, 0.05, 0.08, 0.12], "A": 100.0, "p": 0.18});
        let design = json!({"p0": 0.05, "p1": 0.07, "ewma_lambda": 0.005, "ewma_start": 0.05});
        let walk = json!({"seed": 5, "n": 4_000, "cut": 2_000, "pa": 0.05, "pb": 0.1, "design": design});
        let outputs = json!({"seed": 3, "N": 500, "n": 60, "shift": -0.05});
        let bins = json!({"expected": [500.0, 0.0, 300.0, 200.0], "actual": [400.0, 100.0, 0.0, 500.0]});
        let betting =
            json!({"sequence": "x_i = 1 if (i*7919) mod 1000 < 80 else 0, i=1..500", "n": 500, "alpha": 0.05});
        let guaranteed = json!({"errors": 160, "n0": 2_000, "guarantee": 0.9, "arl0": 20_000.0, "design_p1": 0.1});
        for (family, quantity, params, place, wanted, tolerance) in [
            ("normal_cusum", "zero_state_arl", json!({"k": 0.5, "h": 5, "sided": "two"}), "", 465.4435, 1e-6),
            ("normal_ewma", "zero_state_arl", json!({"lambda": 0.1, "L": 2.814}), "", 499.5796, 1e-6),
            ("western_electric", "zero_state_arl", json!({"rules": "1234"}), "", 91.750_773_128, 1e-9),
            ("nelson", "zero_state_arl", json!({"rules": [3]}), "", 421.6, 1e-4),
            ("bernoulli_cusum", "zero_state_arl", llr, "", 1_175.681_573_653_654_1, 1e-9),
            ("bernoulli_cusum", "zero_state_arl", falling, "", 1_175.681_573_653_654_1, 1e-6),
            ("bernoulli_cusum", "zero_state_arl", integer, "", 2_722.587_261_511_481_8, 1e-8),
            ("sr_mixture", "zero_state_arl", mixture, "", 38.584, 0.005),
            (
                "threshold_start",
                "h",
                json!({"p0": 0.05, "p1": 0.07, "arl0": 1e5, "phi": 3}),
                "",
                14.206_466_562_966_543,
                1e-9,
            ),
            ("trajectory", "fixed_sequence", walk, "/checkpoints/4000/glr_up", 34.323_412_104_363_47, 1e-9),
            ("laney", "laney_p_prime", json!({"seed": 9}), "/ucl3/1", 0.124_534_907_694_812_4, 1e-9),
            ("laney", "laney_p_prime", json!({"n": [50, 100], "counts": [5, 15]}), "/pbar", 2.0 / 15.0, 1e-12),
            ("normal_quantile", "cdf", json!({"x": 0}), "", 0.5, 1e-12),
            ("binomial", "cdf_sf_pmf", json!({"n": 500, "p": 0.08, "k": 43}), "/2", 0.056_352_861_350_263_84, 1e-11),
            ("interval", "interval", json!({"x": 8, "n": 8, "confidence": 0.95, "method": "wilson"}), "/1", 1.0, 0.0),
            ("histogram_distance", "all", bins, "/chi2_homogeneity/0", 539.682_539_682_539_6, 1e-9),
            (
                "percentiles",
                "percentiles",
                json!({"seed": 12_345, "n": 10_000, "m": 100_000, "percentiles": [0, 99]}),
                "/hdr_2digits/1",
                97_791.0,
                0.0,
            ),
            ("confidence_sequence", "betting_cs_final", betting, "/1", 0.121, 1e-9),
            ("ppi", "ppi_mean", outputs.clone(), "/ppi_plus_plus/ci90/0", 0.826_543_043_595_766_6, 1e-9),
            ("cbpe", "cbpe_accuracy", outputs, "/ece_10_equal_width", 0.049_548_000_000_000_064, 1e-9),
            ("baseline_uncertainty", "guaranteed_threshold", guaranteed, "/h_guaranteed", 8.022_963_681_488_04, 1e-6),
        ] {
            let case = json!({"family": family, "quantity": quantity, "params": params});
            let value = answer(&case).unwrap_or_else(|error| panic!("{family}: {error}"));
            let found = value.pointer(place).and_then(Value::as_f64).unwrap_or_else(|| panic!("{family}: {value}"));
            assert!((found - wanted).abs() <= tolerance * wanted.abs(), "{family}: found {found}, wanted {wanted}");
        }
    }

    #[test]
    fn generators_are_read_from_their_words() {
        let laney = |generator: &str| {
            let params = json!({"seed": 9, "generator": generator});
            answer(&json!({"family": "laney", "quantity": "laney_p_prime", "params": params}))
        };
        let found = laney("n=10+(x>>3)%5, then count=floor(n*(0.2+0.1*x/2^31)); 7 subgroups").unwrap();
        let sizes = found["n"].as_array().unwrap();
        assert!(sizes.len() == 7 && sizes.iter().all(|n| (10..15).contains(&n.as_u64().unwrap())), "{found}");
        assert!(laney("by throwing dice").unwrap_err().to_string().contains("it must be n=#+(x>>#)%#"));
    }
}
