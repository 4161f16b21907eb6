//! Charts of shares, the error of a baseline, intervals.

use super::args::{BaselineErrorArgs, CusumArgs, EsrArgs, IntervalArgs};
use super::sheet::{Sheet, number_text};
use crate::cli::Invalid;
use crate::engine::detect::design::bernoulli::{
    LATTICE, Walk, lattice_weights, patient_limit, scaled_limit, start_limit, weights,
};
use crate::engine::detect::design::interval::{
    clopper_pearson, clopper_pearson_upper, confidence_sequence, wilson, wilson_corrected,
};
use crate::engine::detect::design::sequences::{Tuning, sub_bernoulli};
use crate::engine::detect::design::sr::MixtureDesign;
use crate::engine::detect::{DesignCache, Mixture, labels_needed, run_length};
use crate::engine::units::Counts;

/// Drops of accuracy whose delays are told, besides the one that matters.
const DROPS: [f64; 5] = [0.01, 0.02, 0.03, 0.05, 0.10];
/// Cases that a simulated delay takes: a standard error of about 1 %.
const SIMULATED: f64 = 4e6;
/// A baseline this many times as large as the least honest one is a comfortable one.
const COMFORTABLE: f64 = 25.0 / 9.0;
/// What intervals read at any time are tuned to.
const TUNING: Tuning = Tuning { cases: 1_000.0, alpha: 0.05 };

/// Above so many times the promise a limit is not one that was searched for exactly.
const CLOSED: f64 = 1.001;
/// The longest promise, as in rules.
const LONGEST_PROMISE: f64 = 1e9;

fn promised(arl0: f64) -> Result<(), Invalid> {
    if arl0 <= LONGEST_PROMISE {
        return Ok(());
    }
    Err(Invalid(format!("--arl0 {arl0} is longer than any chart runs; give at most {LONGEST_PROMISE}")))
}

/// The level after the drop, which must be one.
fn after(p0: f64, drop: f64) -> Result<f64, Invalid> {
    let p1 = p0 + drop;
    if p1 < 1.0 {
        return Ok(p1);
    }
    let most = 100.0 * (1.0 - p0);
    Err(Invalid(format!(
        "{p0} errors and a drop of {} points leave nothing right; choose a drop below {most:.1}pp",
        points(drop)
    )))
}

fn points(share: f64) -> String {
    let rounded = (share * 1e10).round() / 1e8;
    rounded.to_string()
}

/// The drops to tell, in order, the one that matters among them.
fn drops(p0: f64, own: f64) -> Vec<f64> {
    let mut drops: Vec<f64> = DROPS.into_iter().chain([own]).filter(|drop| p0 + drop < 1.0).collect();
    drops.sort_by(f64::total_cmp);
    drops.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
    drops
}

/// The chart as it runs: whole multiples of 2^-20 nats.
struct Lattice {
    walk: Walk,
    p0: f64,
}

impl Lattice {
    fn new(p0: f64, p1: f64, arl0: f64) -> Result<Self, Invalid> {
        let limit = patient_limit(p0, p1, arl0);
        if limit == i64::MAX {
            return Err(Invalid(format!("{p0} and {p1} are alike in 2^-20 nats; choose a larger drop")));
        }
        let (up, down) = lattice_weights(p0, p1);
        Ok(Self { walk: Walk { up: up as f64, down: down as f64, limit: limit as f64 }, p0 })
    }

    fn limit(&self) -> f64 {
        self.walk.limit / LATTICE
    }

    fn arl(&self, p: f64) -> Option<f64> {
        self.walk.patient_arl(p, 0.0)
    }

    fn with_head_start(&self, p: f64) -> Option<f64> {
        self.walk.patient_arl(p, self.walk.limit / 2.0)
    }

    fn in_steady_state(&self, p: f64) -> Option<f64> {
        self.walk.steady_state(self.p0, p)
    }
}

fn said(number: Option<f64>) -> String {
    number.map_or_else(|| "too many states to tell".to_owned(), number_text)
}

pub(super) fn cusum(args: &CusumArgs) -> Result<Sheet, Invalid> {
    let CusumArgs { p0, drop, arl0, phi, .. } = *args;
    let p1 = after(p0, drop)?;
    promised(arl0)?;
    let mut chart = Lattice::new(p0, p1, arl0)?;
    if phi > 1.0 {
        chart.walk.limit = DesignCache::new().bernoulli_limit(p0, p1, arl0, phi) as f64;
    }
    let (a, b) = weights(p0, p1);
    let mut sheet = Sheet::new(format!(
        "Bernoulli CUSUM of errors, {p0} to {} (Page 1954; Reynolds & Stoumbos 1999)",
        number_text(p1)
    ));
    sheet.fact("p0", p0, "", String::new());
    sheet.fact("p1", p1, "", String::new());
    sheet.fact("weight_error", a, "weights", format!("{a:.7} on an error, {:.7} on a right one, in nats", -b));
    sheet.fact("weight_right", -b, "", String::new());
    let lattice = chart.walk.limit as i64;
    sheet.fact("h", chart.limit(), "limit h", format!("{:.6}, which is {lattice} / 2^20", chart.limit()));
    sheet.fact("h_lattice", lattice, "", String::new());
    let in_control = chart.arl(p0);
    sheet.fact("arl0_promised", arl0, "", String::new());
    sheet.fact(
        "arl0",
        in_control,
        "ARL0",
        format!("{}, exact at that h for binomial labels, for a promise of {}", said(in_control), number_text(arl0)),
    );
    if phi <= 1.0 && in_control.is_none_or(|found| found > CLOSED * arl0) {
        let words = "h is the closed form's for a promise 2 % longer: the exact search would take too many states";
        sheet.fact("h_closed_form", true, "note", words.to_owned());
    }
    let start = if phi > 1.0 { scaled_limit(p0, p1, arl0, phi) } else { start_limit(p0, p1, arl0) };
    let scaled = if phi > 1.0 { " with KL / phi and phi x" } else { "" };
    let formula = format!("x - (a + b)(1 + p0)/3 = {start:.6}, e^x - x - 1 = ARL0 KL{scaled}");
    sheet.fact("h_start", start, "start value", formula);
    if phi > 1.0 {
        sheet.fact("phi", phi, "", String::new());
    }
    sheet.columns(&[
        ("drop", "labels to the alarm after a drop of"),
        ("zero_state", "from 0"),
        ("head_start", "from h/2"),
        ("steady_state", "after long control"),
    ]);
    sheet.row("none", &[in_control, chart.with_head_start(p0), chart.in_steady_state(p0)]);
    for drop in drops(p0, drop) {
        let p = p0 + drop;
        sheet.row(format!("{}pp", points(drop)), &[chart.arl(p), chart.with_head_start(p), chart.in_steady_state(p)]);
    }
    Ok(sheet)
}

pub(super) fn esr(args: &EsrArgs) -> Result<Sheet, Invalid> {
    let EsrArgs { p0, drop, arl0, phi, .. } = *args;
    after(p0, drop)?;
    promised(arl0)?;
    let design = MixtureDesign { p0, delta: drop, phi, arl0 };
    let Some(arms) = design.arms() else {
        return Err(Invalid(format!("at {p0} errors no larger share is left to find; choose a smaller p0")));
    };
    let chart = Mixture::designed(&design, &mut DesignCache::new());
    let title = "Mixture of Shiryaev-Roberts statistics, the default alarm (Shin, Ramdas & Rinaldo 2022)";
    let mut sheet = Sheet::new(title.to_owned());
    sheet.fact("p0", p0, "p0", number_text(p0));
    sheet.fact("delta", drop, "", String::new());
    sheet.fact("phi", phi, "", String::new());
    sheet.fact("arl0_promised", arl0, "promise", format!("one false alarm in {} labels", number_text(arl0)));
    let guaranteed = "uncalibrated it would be the promise itself";
    sheet.fact("limit", chart.limit(), "limit A", format!("{}; {guaranteed}", number_text(chart.limit())));
    let start = chart.statistic();
    sheet.fact("start", start, "starts at", number_text(start));
    let arm = |arm: &crate::engine::detect::design::sr::ArmDesign| {
        serde_json::json!({
            "p1": arm.p1, "weight": arm.weight, "on_error": arm.on_hit, "on_right": arm.on_miss, "head_start": arm.start,
        })
    };
    let words: Vec<String> = arms
        .iter()
        .map(|arm| {
            let (p1, start) = (number_text(arm.p1), crate::engine::account::digits(arm.start, 4));
            format!("{p1} with weight {} from {start}", arm.weight)
        })
        .collect();
    sheet.fact("arms", arms.iter().map(arm).collect::<Vec<_>>(), "arms", words.join(", "));
    // A tempered chart is no martingale at p0.
    let null = (phi <= 1.0).then_some(p0);
    sheet.columns(&[
        ("drop", "labels to the alarm after a drop of"),
        ("mean", "simulated"),
        ("standard_error", "standard error"),
    ]);
    let mut row = |name: String, p: f64| {
        let found = run_length(&chart, null, p, SIMULATED);
        sheet.row(name, &[found.map(|found| found.mean), found.map(|found| found.error)]);
    };
    row("none".to_owned(), p0);
    for drop in drops(p0, drop) {
        row(format!("{}pp", points(drop)), p0 + drop);
    }
    Ok(sheet)
}

fn counted(hits: u64, n: u64, (few, all): (&str, &str)) -> Result<Counts, Invalid> {
    if n == 0 {
        return Err(Invalid(format!("{all} is 0: there is nothing to compute from; give at least one case")));
    }
    if hits > n {
        return Err(Invalid(format!("{few} is {hits} and {all} only {n}; give at most {n}")));
    }
    Ok(Counts { hits, n })
}

pub(super) fn baseline(args: &BaselineErrorArgs) -> Result<Sheet, Invalid> {
    let BaselineErrorArgs { errors, n0, drop, guarantee, arl0, .. } = *args;
    let counts = counted(errors, n0, ("--errors", "--n0"))?;
    if errors == n0 {
        return Err(Invalid(
            "every label is an error: no worse level is left to find; give a baseline with right ones".to_owned(),
        ));
    }
    let share = counts.share().unwrap_or_default();
    let bound = clopper_pearson_upper(counts, guarantee);
    let p1 = after(bound, drop)?;
    let chart = Lattice::new(bound, p1, arl0)?;
    let interval = clopper_pearson(counts, 0.95);
    let mut sheet = Sheet::new(format!("What an error of the baseline costs: {errors} errors in {n0} labels"));
    let words =
        format!("{} ({} to {}, 95 %)", number_text(share), number_text(interval.low), number_text(interval.high));
    sheet.fact("p0_hat", share, "errors", words);
    sheet.fact("p0_low", interval.low, "", String::new());
    sheet.fact("p0_high", interval.high, "", String::new());
    let kept = format!("the promise is kept for {:.0} % of baselines like this", 100.0 * guarantee);
    sheet.fact("p0_star", bound, "p0*", format!("{}: {kept}", number_text(bound)));
    sheet.fact("p1_star", p1, "", String::new());
    sheet.fact("h", chart.limit(), "limit h", format!("{:.6}", chart.limit()));
    sheet.fact("arl0_promised", arl0, "", String::new());
    let in_control = chart.arl(bound);
    sheet.fact("arl_at_p0_star", in_control, "ARL0", format!("{} at p0*", said(in_control)));
    if share <= 0.0 {
        sheet.fact("n0_needed", labels_needed(bound, drop), "labels", needed(bound, drop, n0));
        return Ok(sheet);
    }
    let level = chart.arl(share);
    sheet.fact("arl_at_p0_hat", level, "", format!("{} at the share itself", said(level)));
    // What the same promise costs where the share is known: the price is how much slower the chart is than that one.
    let known = Lattice::new(share, share + drop, arl0)?;
    let (slow, quick) = (chart.arl(share + drop), known.arl(share + drop));
    let price = slow.zip(quick).map(|(slow, quick)| slow / quick);
    sheet.fact("delay", slow, "", String::new());
    sheet.fact("delay_known", quick, "", String::new());
    let words =
        format!("{} labels to see {} points, {} if the share were known", said(slow), points(drop), said(quick));
    sheet.fact("price", price, "price", words);
    sheet.fact("n0_needed", labels_needed(share, drop), "labels", needed(share, drop, n0));
    sheet.columns(&[
        ("drop", "labels to the alarm after a drop of"),
        ("designed", "with this baseline"),
        ("known", "with a known share"),
    ]);
    for drop in drops(share, drop) {
        sheet.row(format!("{}pp", points(drop)), &[chart.arl(share + drop), known.arl(share + drop)]);
    }
    Ok(sheet)
}

fn needed(p: f64, drop: f64, n0: u64) -> String {
    let least = labels_needed(p, drop);
    let comfortable = COMFORTABLE * least as f64;
    let verdict = if n0 < least { format!("{n0} cannot carry this promise") } else { format!("{n0} can carry it") };
    format!("at least {least} for {} points, {comfortable:.0} are comfortable; {verdict}", points(drop))
}

pub(super) fn interval(args: &IntervalArgs) -> Result<Sheet, Invalid> {
    let IntervalArgs { hits, n, confidence, .. } = *args;
    let counts = counted(hits, n, ("--hits", "--n"))?;
    let share = counts.share().unwrap_or_default();
    let mut sheet =
        Sheet::new(format!("{hits} of {n}: {} at {} %", number_text(share), number_text(100.0 * confidence)));
    sheet.fact("share", share, "", String::new());
    sheet.fact("confidence", confidence, "", String::new());
    let upper = clopper_pearson_upper(counts, 0.75);
    let words = format!("{}: the level charts are designed for", number_text(upper));
    sheet.fact("upper_75", upper, "75 % bound", words);
    sheet.columns(&[("method", "interval"), ("low", "from"), ("high", "to")]);
    let alpha = 1.0 - confidence;
    for (name, found) in [
        ("Wilson", wilson(counts, confidence)),
        ("Wilson, corrected", wilson_corrected(counts, confidence)),
        ("Clopper-Pearson", clopper_pearson(counts, confidence)),
        ("at any time, beta mixture", confidence_sequence(counts, alpha)),
        ("at any time, sub-Bernoulli", sub_bernoulli(counts, alpha, TUNING)),
    ] {
        sheet.row(name, &[Some(found.low), Some(found.high)]);
    }
    Ok(sheet)
}
