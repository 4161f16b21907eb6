//! Rules that cannot do what they are there for: whether a chart could see a change of its rule's own size in time, by formulas
//! alone, so that every rule can be looked at on every stream.
//!
//! **Definition.** The mean delay is at least about h / D, h the limit of the CUSUM from the level that the promise is made for
//! to the one that it becomes, D its drift there (Wald 1947; Siegmund 1985): no chart with the same promise is faster
//! (Moustakides 1986). A rule is out of reach where that level is no worse than the promise allows for, where the delay
//! exceeds the time between false alarms, or where it exceeds 90 days.
//!
//! **Bad at.** Precision: the chart in use is slower than that CUSUM, by a tenth where the baseline is large. `explain`
//! simulates the chart itself.

use super::baseline::Baseline;
use super::burn::needed_share;
use super::chart::Chart;
use super::detect::design::bernoulli::{scaled_limit, weights};
use super::detect::{Alarm, BAD_LEAST, DesignCache, Form, MeanDesign, ProportionDesign};
use super::plan::{Design, Plan, plan};
use super::rule::{Burn, Rule};

/// A change that takes longer than this to find, in days, is found too late to matter.
pub const TOO_LATE_DAYS: f64 = 90.0;
/// A level of always, short of which likelihood ratios are finite.
const ALWAYS: f64 = 0.999;

/// Why a change of the rule's own size cannot be seen in time on a stream with that baseline; `live` is the chart as it runs,
/// where it does. Nothing where it can, where there is no chart, and for measures without a size.
pub fn out_of_reach(
    rule: &Rule,
    baseline: Option<&Baseline>,
    live: Option<&Chart>,
    cache: &mut DesignCache,
) -> Option<String> {
    if let Some(burn) = rule.detect.burn() {
        return burned_out(&burn, rule, baseline);
    }
    let mut plan = plan(&rule.detect, baseline)?;
    plan.take_promise(live.and_then(Chart::arl0));
    let samples = match &plan.design {
        Design::Proportion(design) => of_share(design, cache),
        Design::Mean(design) => of_mean(design, cache),
        Design::Volume(design) => of_mean(&design.mean, cache),
        Design::Estimate(design) if matches!(design.form, Form::Hourly) => of_mean(&design.mean, cache),
        Design::Distance(_) | Design::Vector(..) | Design::Estimate(_) | Design::Adjusted(_) => return None,
    };
    let per_day = live.and_then(Chart::per_day).or(plan.per_day);
    too_late(&plan, samples, per_day)
}

/// What is said of a mean delay in samples that is too long.
pub(super) fn too_late(plan: &Plan, samples: Option<f64>, per_day: Option<f64>) -> Option<String> {
    let Some(samples) = samples else {
        return Some("a change of the rule's own size is hardly ever seen".to_owned());
    };
    if samples > plan.arl0() {
        return Some("a change of the rule's own size takes longer to see than false alarms are apart".to_owned());
    }
    let days = samples / per_day?;
    (days > TOO_LATE_DAYS)
        .then(|| format!("a change of the rule's own size takes {days:.0} days to see at this traffic"))
}

/// Why a burn rate can never fire at the baseline's traffic.
pub(super) fn burned_out(burn: &Burn, rule: &Rule, baseline: Option<&Baseline>) -> Option<String> {
    let needed = needed_share(burn, &rule.detect, baseline)?;
    let what = format!("its long window holds fewer than the {BAD_LEAST} bad cases that it takes, even if all are bad");
    (needed > 1.0).then_some(what)
}

/// Samples to see a rise of delta; nothing where the statistic does not even move up.
fn of_share(design: &ProportionDesign, cache: &mut DesignCache) -> Option<f64> {
    if let Alarm::Batches(_) = design.alarm {
        let k = design.reference();
        return wald(cache.normal_limit(k, design.arl0), design.shift() - k);
    }
    let (null, now) = (design.null(), (design.plug_in() + design.delta).min(ALWAYS));
    if now <= null {
        return None;
    }
    let (up, down) = weights(null, now);
    wald(scaled_limit(null, now, design.arl0, design.spread.phi), up * now - down * (1.0 - now))
}

fn of_mean(design: &MeanDesign, cache: &mut DesignCache) -> Option<f64> {
    let k = design.reference();
    let shift = design.delta / design.working_sigma() - design.margin();
    wald(cache.normal_limit(k, design.arl0), shift - k)
}

fn wald(limit: f64, drift: f64) -> Option<f64> {
    (drift > 0.0 && limit.is_finite()).then(|| (limit / drift).max(1.0))
}
