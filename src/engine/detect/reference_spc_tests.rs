//! The known answers of published control charts kept beside the repository, where they are at hand.

use serde_json::Value;

use super::design::ewma::{EwmaLimits, NormalEwma};
use super::design::normal::{TwoSidedCusum, normal_cdf};
use super::{
    AttributeChart, AttributeKind, AttributeSample, ControlLimits, Ewma, IndividualsChart, RunRuleSet, RunRules,
    SpreadKind, SubgroupChart, TabularCusum, TabularDesign,
};

/// All sets, by their id.
struct Sets(Value);

impl Sets {
    fn read() -> Option<Self> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/reference/spc_known_answers.json");
        let Ok(text) = std::fs::read_to_string(path) else {
            println!("skipped: {path} is absent");
            return None;
        };
        Some(Self(serde_json::from_str(&text).unwrap()))
    }

    fn set(&self, id: &str) -> &Value {
        self.0["sets"].as_array().unwrap().iter().find(|set| set["id"] == id).unwrap()
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn positions(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as usize).collect()
}

fn where_true(flags: impl IntoIterator<Item = bool>) -> Vec<usize> {
    (1..).zip(flags).filter(|(_, flag)| *flag).map(|(i, _)| i).collect()
}

/// Published and computed numbers are printed with at least seven digits, and compared so.
#[track_caller]
fn near(found: f64, wanted: &Value) {
    let wanted = wanted.as_f64().unwrap();
    assert!((found - wanted).abs() <= 5e-7 * wanted.abs().max(1e-3), "found {found}, wanted {wanted}");
}

#[track_caller]
fn near_limits(found: ControlLimits, wanted: &Value) {
    near(found.centre, &wanted["center"]);
    near(found.lower, &wanted["lcl"]);
    near(found.upper, &wanted["ucl"]);
}

#[track_caller]
fn near_all(found: &[f64], wanted: &Value, tolerance: f64) {
    let wanted = numbers(wanted);
    assert_eq!(found.len(), wanted.len());
    let apart = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(apart <= tolerance, "{apart}: found {found:?}, wanted {wanted:?}");
}

fn rings(sets: &Sets) -> Vec<Vec<f64>> {
    sets.set("pistonrings_xbar")["data"]["samples"].as_array().unwrap().iter().map(numbers).collect()
}

/// The rings' chart of means, and the means.
fn ring_means(sets: &Sets) -> (SubgroupChart, Vec<f64>) {
    let rings = rings(sets);
    let chart = SubgroupChart::from_phase_one(SpreadKind::Range, &rings[..25], 3.0).unwrap();
    (chart, rings.iter().map(|ring| ring.iter().sum::<f64>() / 5.0).collect())
}

#[test]
fn piston_rings_means_ranges_and_deviations() {
    let Some(sets) = Sets::read() else { return };
    let rings = rings(&sets);
    let (chart, means) = ring_means(&sets);
    let set = sets.set("pistonrings_xbar");
    near(chart.sigma(), &set["computed"]["std_dev"]);
    near_limits(chart.mean_limits(5), &set["published"]);
    near_limits(chart.mean_limits(5), &set["computed"]);
    let beyond = |chart: &SubgroupChart| {
        let flags: Vec<_> = rings.iter().map(|ring| chart.is_beyond(ring)).collect();
        (where_true(flags.iter().map(|f| f.0)), where_true(flags.iter().map(|f| f.1)))
    };
    assert_eq!(beyond(&chart), (positions(&set["computed"]["beyond_limits"]), vec![]));
    // The lowest number of the Western Electric rules that fire, as qcc shows it.
    let mut rules = RunRules::new(RunRuleSet::western_electric(&[1, 2, 3, 4]));
    let sigma = chart.sigma() / 5.0_f64.sqrt();
    for (i, x) in (1..).zip(means) {
        let shown = rules.update((x - chart.centre()) / sigma).western_electric_numbers().next();
        let wanted = set["qcc_flags"]["western_electric_1_to_4"][format!("{i}")].as_u64();
        assert_eq!(shown.map(u64::from), wanted, "{i}");
    }
    // qcc's table has d3(5) = 0.8640855; by its definition it is 0.8640819, which moves the limit by 2.2e-6 of itself.
    let set = &sets.set("pistonrings_R")["published"];
    let found = chart.spread_limits(5);
    near(found.centre, &set["center"]);
    assert!((found.lower, found.upper / set["ucl"].as_f64().unwrap() - 1.0) > (-1e-9, -3e-6) && found.lower == 0.0);
    let set = sets.set("pistonrings_S");
    let chart = SubgroupChart::from_phase_one(SpreadKind::Deviation, &rings[..25], 3.0).unwrap();
    near_limits(chart.spread_limits(5), &set["published"]);
    near(chart.spread_limits(5).upper, &set["computed"]["ucl"]);
    assert_eq!(beyond(&chart).1, positions(&set["computed"]["beyond_limits"]));
}

/// Upper and lower sums, and where each is at or above the limit.
fn tabular(design: TabularDesign, x: &[f64]) -> [(Vec<f64>, Vec<usize>); 2] {
    let mut chart = TabularCusum::new(design);
    let sums: Vec<(f64, f64)> = x
        .iter()
        .map(|x| {
            chart.update(*x);
            (chart.upper().sum, chart.lower().sum)
        })
        .collect();
    let side = |sums: Vec<f64>| {
        let signals = where_true(sums.iter().map(|sum| *sum >= design.h));
        (sums, signals)
    };
    [side(sums.iter().map(|s| s.0).collect()), side(sums.iter().map(|s| s.1).collect())]
}

#[test]
fn tabular_cusums() {
    let Some(sets) = Sets::read() else { return };
    let (chart, means) = ring_means(&sets);
    let set = &sets.set("pistonrings_cusum")["computed"];
    let sigma = chart.sigma() / 5.0_f64.sqrt();
    let design = TabularDesign { target: 0.0, k: 0.5, h: 5.0, head_start: 0.0 };
    let z: Vec<f64> = means.iter().map(|x| (x - chart.centre()) / sigma).collect();
    let [upper, lower] = tabular(design, &z);
    near_all(&upper.0, &set["upper"], 1e-6);
    near_all(&lower.0, &set["lower"], 1e-6);
    assert_eq!((upper.1, lower.1), (positions(&set["upper_signals"]), positions(&set["lower_signals"])));

    let set = sets.set("nist_cusum");
    let design = TabularDesign { target: 325.0, k: 0.3175, h: 4.1959, head_start: 0.0 };
    let [upper, lower] = tabular(design, &numbers(&set["data"]["x"]));
    near_all(&upper.0, &set["computed"]["upper"], 1e-9);
    near_all(&lower.0, &set["computed"]["lower"], 1e-9);
    assert_eq!((upper.1, lower.1), (positions(&set["published"]["upper_signals"]), vec![]));

    let set = sets.set("montgomery_9_1_cusum");
    let design = TabularDesign { target: 10.0, k: 0.5, h: 5.0, head_start: 0.0 };
    let [upper, lower] = tabular(design, &numbers(&set["data"]["x"]));
    near_all(&upper.0, &set["computed"]["upper"], 1e-9);
    near_all(&lower.0, &set["computed"]["lower"], 1e-9);
    assert_eq!(upper.1, positions(&set["computed"]["upper_signals"]));
}

#[test]
fn ewma_charts() {
    let Some(sets) = Sets::read() else { return };
    let (chart, means) = ring_means(&sets);
    let set = sets.set("pistonrings_ewma");
    let mut ewma = Ewma::new(0.2, 2.7, EwmaLimits::TimeVarying).about(chart.centre(), chart.sigma() / 5.0_f64.sqrt());
    let points: Vec<(f64, bool)> = means.iter().map(|x| (ewma.update(*x), ewma.is_beyond())).collect();
    near_all(&points.iter().map(|p| p.0).collect::<Vec<_>>(), &set["computed"]["ewma"], 1e-8);
    assert_eq!(where_true(points.iter().map(|p| p.1)), positions(&set["computed"]["beyond_limits"]));
    for (n, name) in [(1, "limits_1"), (2, "limits_2"), (40, "limits_40")] {
        let found = ewma.limits(n);
        near_all(&[found.lower, found.upper], &set["published"][name], 5.1e-6);
    }

    let set = sets.set("nist_ewma");
    let mut ewma = Ewma::new(0.3, 3.0, EwmaLimits::Fixed).about(50.0, 2.0539);
    let points: Vec<f64> = numbers(&set["data"]["x"]).into_iter().map(|x| ewma.update(x)).collect();
    near_all(&points, &set["computed"]["ewma"], 1e-8);
    near(ewma.limits(20).upper, &set["computed"]["ucl"]);
    near(ewma.limits(20).lower, &set["computed"]["lcl"]);
}

fn samples(counts: &Value, size: f64) -> Vec<AttributeSample> {
    counts.as_array().unwrap().iter().map(|c| AttributeSample { count: c.as_u64().unwrap(), size }).collect()
}

/// Where samples lie beyond the limits, and where the run rule of eight fires, by their own numbers and without some.
fn flags(chart: &AttributeChart, all: &[AttributeSample], without: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut rules = RunRules::new(RunRuleSet::western_electric(&[4]));
    let (mut beyond, mut runs) = (Vec::new(), Vec::new());
    for (i, sample) in (1..).zip(all).filter(|(i, _)| !without.contains(i)) {
        if chart.is_beyond(*sample) {
            beyond.push(i);
        }
        if !rules.update(chart.point(*sample) - chart.limits(sample.size).centre).is_empty() {
            runs.push(i);
        }
    }
    (beyond, runs)
}

fn without(samples: &[AttributeSample], bad: &[usize]) -> Vec<AttributeSample> {
    (1..).zip(samples).filter(|(i, _)| !bad.contains(i)).map(|(_, sample)| *sample).collect()
}

#[test]
fn charts_of_shares() {
    let Some(sets) = Sets::read() else { return };
    let set = sets.set("orangejuice_p");
    let juice = samples(&set["data"]["nonconforming"], 50.0);
    let chart = AttributeChart::from_phase_one(AttributeKind::Share, &juice[..30], 3.0).unwrap();
    near_limits(chart.limits(50.0), &set["published"]);
    near_limits(chart.limits(50.0), &set["computed"]);
    assert_eq!(flags(&chart, &juice[..30], &[]).0, positions(&set["computed"]["beyond_limits"]));

    let set = sets.set("orangejuice_p_revised");
    let chart = AttributeChart::from_phase_one(AttributeKind::Share, &without(&juice[..30], &[15, 23]), 3.0).unwrap();
    near_limits(chart.limits(50.0), &set["published"]);
    let (beyond, mut runs) = flags(&chart, &juice, &[15, 23]);
    assert_eq!(beyond, positions(&set["computed"]["beyond_limits"]));
    // A sample beyond the limits is shown as such.
    runs.retain(|i| !beyond.contains(i));
    assert_eq!(runs, positions(&set["qcc_flags"]["rule4_run_of_8_below_center"]));
}

#[test]
fn charts_of_defects() {
    let Some(sets) = Sets::read() else { return };
    let set = sets.set("circuit_c");
    let boards = samples(&set["data"]["counts"], 1.0);
    let chart = AttributeChart::from_phase_one(AttributeKind::Defects, &boards[..26], 3.0).unwrap();
    near_limits(chart.limits(1.0), &set["published"]);
    assert_eq!(flags(&chart, &boards[..26], &[]).0, positions(&set["computed"]["beyond_limits"]));
    let chart = AttributeChart::from_phase_one(AttributeKind::Defects, &without(&boards[..26], &[6, 20]), 3.0).unwrap();
    near_limits(chart.limits(1.0), &set["published"]["revised"]);
    let found = flags(&chart, &boards, &[6, 20]);
    assert_eq!(found.0, positions(&set["computed"]["revised_beyond_limits"]));
    assert_eq!(serde_json::json!(found.1), serde_json::json!([set["qcc_flags"]["revised"]["rule4_at_sample"]]));

    let set = sets.set("pcmanufact_u");
    let computers = samples(&set["data"]["counts"], 5.0);
    let chart = AttributeChart::from_phase_one(AttributeKind::DefectsPerUnit, &computers, 3.0).unwrap();
    near_limits(chart.limits(5.0), &set["published"]);
    assert_eq!(flags(&chart, &computers, &[]).0, positions(&set["computed"]["beyond_limits"]));
}

#[test]
fn individuals() {
    let Some(sets) = Sets::read() else { return };
    let set = sets.set("nist_individuals");
    let x = numbers(&set["data"]["x"]);
    let chart = IndividualsChart::from_phase_one(&x, 3.0).unwrap();
    let limits = chart.limits();
    near_all(
        &[limits.centre, limits.lower, limits.upper, chart.mean_range()],
        &serde_json::json!([
            set["published"]["center"],
            set["published"]["lcl"],
            set["published"]["ucl"],
            set["published"]["mr_bar"]
        ]),
        1e-4,
    );
    assert_eq!(where_true(x.iter().map(|x| limits.is_beyond(*x))), [0; 0]);
}

#[test]
fn run_rules() {
    let Some(sets) = Sets::read() else { return };
    let cases = sets.set("run_rules")["cases"].as_array().unwrap();
    for case in cases {
        let name = case["rule"].as_str().unwrap();
        let number: u8 = name[3..].parse().unwrap();
        let western = name.starts_with("WER");
        let set = if western { RunRuleSet::western_electric(&[number]) } else { RunRuleSet::nelson(&[number]) };
        let mut rules = RunRules::new(set);
        let fired = numbers(&case["z"]).into_iter().map(|z| !rules.update(z).is_empty());
        assert_eq!(where_true(fired), positions(&case["published_positions"]), "{name}");
    }
    assert!(cases.len() >= 12);
}

#[test]
fn run_lengths() {
    let Some(sets) = Sets::read() else { return };
    let set = sets.set("arl_cusum");
    for (h, name) in [(4.0, "h4"), (5.0, "h5")] {
        for (shift, wanted) in numbers(&set["shift"]).into_iter().zip(numbers(&set[name])) {
            let found = TwoSidedCusum { k: 0.5, h }.arl(shift);
            assert!((found / wanted - 1.0).abs() < 1e-6, "{h} {shift}: found {found}, wanted {wanted}");
        }
    }
    let set = sets.set("arl_ewma");
    for design in set["designs"].as_array().unwrap() {
        let (lambda, width) = (design["lambda"].as_f64().unwrap(), design["L"].as_f64().unwrap());
        for (shift, wanted) in numbers(&set["shift"]).into_iter().zip(numbers(&design["arl"])) {
            let found = NormalEwma { lambda, width, limits: EwmaLimits::Fixed }.arl(shift);
            assert!((found / wanted - 1.0).abs() < 1e-6, "{lambda} {shift}: found {found}, wanted {wanted}");
        }
    }
    // A Shewhart chart of means of n: the shift of the mean grows with the root of n.
    let set = &sets.set("arl_shewhart_xbar")["published"];
    for (name, shift) in [("shift_0", 0.0), ("shift_0.1", 0.1), ("shift_0.2", 0.2)] {
        for (n, wanted) in numbers(&set["n"]).into_iter().zip(numbers(&set[name])) {
            let z = shift * n.sqrt();
            assert_eq!((1.0 / (normal_cdf(z - 3.0) + normal_cdf(-z - 3.0))).round(), wanted, "{n} {shift}");
        }
    }
}
