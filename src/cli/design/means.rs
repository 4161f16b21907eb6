//! Charts of means, of several together, and of shapes; run rules.

use super::args::{EwmaArgs, Limits, MewmaArgs, NormalArgs, PsiArgs, RuleSetName, RulesArgs, Sides};
use super::sheet::{Sheet, number_text};
use crate::cli::Invalid;
use crate::engine::detect::design::ewma::{EwmaLimits, NormalEwma, UpperEwma, solve_upper_limit, solve_width};
use crate::engine::detect::design::interval::psi_limit;
use crate::engine::detect::design::mewma::{Mewma, estimated, solve_limit, t2_limit};
use crate::engine::detect::design::normal::{NormalCusum, TwoSidedCusum, solve_h, solve_two_sided_h};
use crate::engine::detect::design::runs::{nelson_arl, western_electric_arl};

/// Shifts, in standard deviations, whose run lengths are told.
const SHIFTS: [f64; 7] = [0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0];
/// Points on one side that make rule 4 of Western Electric.
const RUN_LENGTH: u8 = 8;

fn shifts(own: f64) -> Vec<f64> {
    let mut shifts: Vec<f64> = SHIFTS.into_iter().chain([own]).collect();
    shifts.sort_by(f64::total_cmp);
    shifts.dedup();
    shifts
}

pub(super) fn normal(args: &NormalArgs) -> Sheet {
    let NormalArgs { shift, arl0, sides, .. } = *args;
    let k = shift / 2.0;
    let h = match sides {
        Sides::One => solve_h(k, arl0),
        Sides::Two => solve_two_sided_h(k, arl0),
    };
    let (one, two) = (NormalCusum { k, h }, TwoSidedCusum { k, h });
    let arl = |shift: f64, start: f64| match sides {
        Sides::One => one.arl_from(shift, start),
        Sides::Two => two.arl_from(shift, start),
    };
    let side = if sides == Sides::One { "one-sided" } else { "two-sided" };
    let mut sheet = Sheet::new(format!("Normal CUSUM, {side}, in standard deviations of a value (Page 1954)"));
    sheet.fact("k", k, "k", number_text(k));
    sheet.fact("h", h, "limit h", number_text(h));
    sheet.fact("arl0_promised", arl0, "", String::new());
    sheet.fact("arl0", arl(0.0, 0.0), "ARL0", number_text(arl(0.0, 0.0)));
    sheet.columns(&[
        ("shift", "values to the alarm after a shift of"),
        ("zero_state", "from 0"),
        ("head_start", "from h/2"),
        ("steady_state", "after long control"),
    ]);
    for shift in shifts(shift) {
        // The steady state of two sums together has no equation in one dimension.
        let steady = (sides == Sides::One).then(|| one.steady_state_arl(shift));
        sheet.row(format!("{shift}sd"), &[Some(arl(shift, 0.0)), Some(arl(shift, h / 2.0)), steady]);
    }
    sheet
}

pub(super) fn ewma(args: &EwmaArgs) -> Result<Sheet, Invalid> {
    let EwmaArgs { lambda, arl0, sides, .. } = *args;
    let limits = match args.limits {
        Limits::Fixed => EwmaLimits::Fixed,
        Limits::TimeVarying => EwmaLimits::TimeVarying,
    };
    let deviation = (lambda / (2.0 - lambda)).sqrt();
    let width = match (sides, limits) {
        (Sides::Two, _) => solve_width(lambda, arl0, limits),
        (Sides::One, EwmaLimits::Fixed) => solve_upper_limit(lambda, arl0) / deviation,
        (Sides::One, EwmaLimits::TimeVarying) => {
            return Err(Invalid("limits that vary are computed for both sides only; leave out --sides one".to_owned()));
        }
    };
    let arl = |shift: f64| match sides {
        Sides::Two => NormalEwma { lambda, width, limits }.arl(shift),
        Sides::One => UpperEwma { lambda, width }.arl(shift),
    };
    let side = if sides == Sides::One { "one-sided" } else { "two-sided" };
    let kind = if limits == EwmaLimits::Fixed { "fixed limits" } else { "limits that vary with time" };
    let mut sheet = Sheet::new(format!("EWMA, {side}, {kind} (Roberts 1959; Lucas & Saccucci 1990)"));
    sheet.fact("lambda", lambda, "lambda", number_text(lambda));
    sheet.fact("width", width, "L", format!("{} standard deviations of the statistic", number_text(width)));
    sheet.fact(
        "limit",
        width * deviation,
        "limit",
        format!("{} of a value, in the long run", number_text(width * deviation)),
    );
    sheet.fact("arl0_promised", arl0, "", String::new());
    sheet.fact("arl0", arl(0.0), "ARL0", number_text(arl(0.0)));
    sheet.columns(&[("shift", "values to the alarm after a shift of"), ("zero_state", "from the target")]);
    for shift in SHIFTS {
        sheet.row(format!("{shift}sd"), &[Some(arl(shift))]);
    }
    Ok(sheet)
}

pub(super) fn mewma(args: &MewmaArgs) -> Result<Sheet, Invalid> {
    let MewmaArgs { characteristics, weight: r, arl0, baseline, .. } = *args;
    let p = usize::from(characteristics);
    if r < 0.01 {
        return Err(Invalid(format!("a weight of {r} is below 0.01, where the equation needs too many nodes")));
    }
    let h = solve_limit(p, r, arl0);
    let found = Mewma { p, r, h }.arl();
    let mut sheet =
        Sheet::new(format!("MEWMA of {p} characteristics with weight {r} (Lowry et al. 1992; Rigdon 1995)"));
    sheet.fact("h", h, "limit h", format!("{} for T2, mean and covariance known", number_text(h)));
    sheet.fact("arl0_promised", arl0, "", String::new());
    sheet.fact("arl0", found, "ARL0", number_text(found));
    if let Some(m) = baseline {
        if m <= p as u64 {
            return Err(Invalid(format!("{m} vectors do not make a covariance of {p} characteristics; give more")));
        }
        let wider = estimated(h, p, r, m);
        sheet.fact("h_estimated", wider, "estimated", format!("{} with both from {m} vectors", number_text(wider)));
        let single = t2_limit(p, m, 1.0 / arl0);
        let words = format!("{}: T2 of a single vector (Hotelling 1947)", number_text(single));
        sheet.fact("t2_limit", single, "single", words);
    }
    Ok(sheet)
}

pub(super) fn psi(args: &PsiArgs) -> Sheet {
    let PsiArgs { bins, window, baseline, arl0, .. } = *args;
    let limit = psi_limit(1.0 / arl0, bins as usize, window, baseline);
    let mean = f64::from(bins - 1) * (1.0 / window as f64 + 1.0 / baseline as f64);
    let mut sheet = Sheet::new(format!("PSI of windows of {window} against {baseline} in {bins} bins (Yurdakul 2018)"));
    sheet.fact("limit", limit, "limit", number_text(limit));
    sheet.fact("mean", mean, "mean", format!("{} without a change", number_text(mean)));
    sheet.fact("arl0_promised", arl0, "promise", format!("one false alarm in {} windows", number_text(arl0)));
    let expected = window as f64 / f64::from(bins);
    let enough = if expected < 25.0 { "; the limit needs 25 and more, use fewer bins" } else { "" };
    sheet.fact("expected", expected, "in a bin", format!("{} expected{enough}", number_text(expected)));
    sheet
}

pub(super) fn rules(args: &RulesArgs) -> Result<Sheet, Invalid> {
    let (name, last) = match args.set {
        RuleSetName::WesternElectric => ("Western Electric", 4),
        RuleSetName::Nelson => ("Nelson", 8),
    };
    let rules: Vec<u8> = if args.rules.is_empty() { (1..=last).collect() } else { args.rules.clone() };
    if let Some(rule) = rules.iter().find(|rule| **rule > last) {
        return Err(Invalid(format!("{name} has no rule {rule}; its rules are 1 to {last}")));
    }
    let arl = |shift: f64| match args.set {
        RuleSetName::WesternElectric => western_electric_arl(&rules, RUN_LENGTH, shift),
        RuleSetName::Nelson => nelson_arl(&rules, shift),
    };
    let numbers: Vec<String> = rules.iter().map(u8::to_string).collect();
    let mut sheet = Sheet::new(format!("Rules {} of {name} (Champ & Woodall 1987)", numbers.join(", ")));
    sheet.fact("rules", rules.clone(), "", String::new());
    sheet.columns(&[("shift", "points to the alarm after a shift of"), ("zero_state", "exact")]);
    for shift in SHIFTS {
        sheet.row(format!("{shift}sd"), &[Some(arl(shift))]);
    }
    Ok(sheet)
}
