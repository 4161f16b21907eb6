//! From panes and a baseline to what stands around an alert.
//!
//! **Criterion.** Something else moved where chance alone would show such a difference in fewer than one of a thousand
//! cases (two-sided: z of two shares with a pooled variance, of two means with their own, of a count against a known rate)
//! and the difference is large enough to look at: a percentage point for shares, a tenth for latency and cost, a quarter
//! for the number of outputs, which is compared over a whole day or not at all, for days have their cycles. It is a hint
//! where to look, not an alarm: no promise stands behind it.

use super::alert::Account;
use super::around::{Around, Aspect, Beside, Course, CoursePoint, Kitagawa, Release, Standing};
use super::baseline::{Profile, bad_in};
use super::confidence::{ConfidenceTable, Place};
use super::detect::{CalibrationMap, Dispersion};
use super::rule::{Amount, Bound, Detect, Measure};
use super::sketch::{Moments, Pane};
use super::standing::usual_share;
use super::units::{Counts, Span, Timestamp};
use super::window::Window;

/// Standard errors that chance exceeds in fewer than one of a thousand cases.
const Z_MOVED: f64 = 3.2905;
/// Most things told that moved beside the measure.
const BESIDE_MAX: usize = 4;
/// Fewest values that are compared.
const CASES_MIN: u64 = 30;
/// Most tasks of a decomposition that are kept.
const TASKS_MAX: usize = 8;
/// Most points of a course.
const POINTS_MAX: usize = 48;
/// Fewest hours of which a course is made; below, it is made of stretches of five minutes.
const HOURS_MIN: usize = 6;
/// Cases below which a point of a share is made of more hours.
const SHARE_CASES: u64 = 50;
/// Width of limits in standard deviations.
const SIGMAS: f64 = 3.0;

/// What an alert's surroundings are taken from.
pub(super) struct Scene<'s> {
    pub(super) detect: &'s Detect,
    pub(super) window: &'s Window,
    pub(super) profile: Option<&'s Profile>,
    pub(super) releases: &'s [Release],
}

impl Scene<'_> {
    /// What stands around an account, all but its course.
    pub(super) fn around(&self, account: &Account) -> Around {
        let mut around = Around { versions: self.releases.to_vec(), ..Around::default() };
        let counted = account.changed_at.and_then(|at| self.window.since(at));
        let Some((since, from)) = counted else { return around };
        around.outputs = since.outputs;
        around.labels_missing = since.outputs.saturating_sub(since.correct.n);
        around.counted_from = Some(from);
        if account.measure.is_of_verdicts() {
            around.standing = Some(Standing { usual: self.usual(from), ..Standing::of_pane(&since) });
        }
        let Some(profile) = self.profile else { return around };
        // A profile tells by itself what moved.
        if account.measure != Measure::Profile {
            let lasted = self.window.newest().map_or(Span::ZERO, |newest| newest.plus(Span::MINUTE).since(from));
            (around.beside, around.steady) = beside(&account.measure, profile, &since, lasted);
        }
        if account.measure == Measure::Accuracy {
            around.tasks = Kitagawa::of(&profile.pane.tasks, &since.tasks);
            if let Some(found) = &mut around.tasks {
                found.tasks.truncate(TASKS_MAX);
            }
        }
        around
    }

    /// The share of outputs since `from` whose verdict would be in by now if verdicts came as in the baseline.
    fn usual(&self, from: Timestamp) -> Option<f64> {
        let (profile, newest) = (self.profile?, self.window.newest()?);
        let panes = self.window.panes(newest, newest.plus(Span::MINUTE).since(from));
        let ages = panes.map(|(start, pane)| {
            let age = newest.since(start);
            // What is older than an hour stands in panes of an hour, whose outputs are younger than its beginning.
            let middle = start.plus(Span::MINUTE.times(30));
            (if age < Span::HOUR { age } else { newest.since(middle) }, pane.outputs)
        });
        usual_share(&profile.delays, profile.pane.outputs, ages)
    }

    /// How the measure of an account went, up to now.
    pub(super) fn course(&self, account: &Account) -> Option<Course> {
        let yardstick = Yardstick::of(self.detect, self.profile);
        let reference = self.profile.and_then(|p| taken(self.detect, &p.pane, &yardstick));
        let centre = match reference {
            Some(Taken::Mean(moments)) => moments.mean,
            _ => account.baseline?.value,
        };
        let spread = self.spread(reference.as_ref(), centre);
        let draw = |width| {
            let buckets = self.window.buckets(width).into_iter();
            let points = buckets.filter_map(|(at, pane)| {
                let (value, n) = taken(self.detect, &pane, &yardstick)?.level(self.detect.counts_good())?;
                let half = SIGMAS * (spread.within / n as f64 + spread.between).sqrt();
                let (mut low, mut high) = (centre - half, centre + half);
                if spread.is_share {
                    (low, high) = (low.max(0.0), high.min(1.0));
                }
                let finite = [value, low, high].iter().all(|x| x.is_finite());
                finite.then_some(CoursePoint { at, n, value, low, high })
            });
            points.collect::<Vec<_>>()
        };
        let (mut width, mut points) = (Span::HOUR, draw(Span::HOUR));
        if points.len() < HOURS_MIN {
            let fine = draw(FIVE_MINUTES);
            if fine.len() > points.len() {
                (width, points) = (FIVE_MINUTES, fine);
            }
        }
        // A share of few cases says little: longer stretches, while there are enough of them.
        for hours in [2, 3] {
            let few = spread.is_share && width >= Span::HOUR && usual_cases(&points) < SHARE_CASES;
            if few && points.len() / 2 >= HOURS_MIN {
                width = Span::HOUR.times(hours);
                points = draw(width);
            }
        }
        points.drain(..points.len().saturating_sub(POINTS_MAX));
        let enough = points.len() >= 2 && centre.is_finite();
        enough.then(|| Course { width, centre, bound: bound(self.detect, centre), points })
    }

    /// How single values and whole stretches of the baseline vary.
    fn spread(&self, reference: Option<&Taken>, centre: f64) -> Spread {
        let measure = &self.detect.measure;
        match reference {
            Some(Taken::Mean(moments)) => {
                let within = moments.sd().map_or(0.0, |sd| sd * sd);
                // Means of hours wander; where the baseline knows by how much, limits allow for it.
                let means = self.profile.and_then(|p| p.series(measure)).map(|series| series.means);
                let same_scale = !matches!(measure, Measure::Cost | Measure::Tokens);
                let between = means.filter(|m| same_scale && m.n >= 10).and_then(|m| m.sd());
                Spread {
                    within,
                    between: between.map_or(0.0, |sd| sd * sd),
                    is_share: matches!(measure, Measure::Confidence | Measure::EstimatedAccuracy),
                }
            }
            _ => Spread { within: centre * (1.0 - centre), between: self.wander(), is_share: true },
        }
    }

    /// The variance of a share from hour to hour beyond chance, where the baseline shows any: Pearson's phi over batches
    /// says how many times the variance of chance theirs is.
    fn wander(&self) -> f64 {
        let Some(batches) = self.profile.and_then(|p| p.batches(self.detect)) else { return 0.0 };
        let batches = batches.grouped(batches.hours(), 1);
        let Some(found) = Dispersion::estimate(&batches).filter(Dispersion::is_significant) else { return 0.0 };
        let mean = batches.iter().map(|b| b.n).sum::<u64>() as f64 / batches.len() as f64;
        ((found.pearson - 1.0) * found.centre * (1.0 - found.centre) / mean).max(0.0)
    }
}

const FIVE_MINUTES: Span = Span::from_millis(300_000);

/// The median of the points' cases.
fn usual_cases(points: &[CoursePoint]) -> u64 {
    let mut cases: Vec<u64> = points.iter().map(|p| p.n).collect();
    cases.sort_unstable();
    cases.get(cases.len() / 2).copied().unwrap_or_default()
}

/// Variances about the centre of a course.
struct Spread {
    /// Of a single value.
    within: f64,
    /// Of stretches of time, however many values they hold.
    between: f64,
    is_share: bool,
}

/// What a pane says of a measure.
enum Taken {
    /// Bad cases of all.
    Share(Counts),
    Mean(Moments),
}

impl Taken {
    /// The level as people read it, and the number of cases.
    fn level(self, counts_good: bool) -> Option<(f64, u64)> {
        match self {
            Self::Share(counts) => {
                let counts = if counts_good { counts.complement() } else { counts };
                Some((counts.share()?, counts.n))
            }
            Self::Mean(moments) => (moments.n > 0).then_some((moments.mean, moments.n)),
        }
    }
}

/// What of a baseline a pane is measured with.
#[derive(Default)]
struct Yardstick {
    /// The bin above which an output is slow.
    bar: Option<u16>,
    /// What confidences stand for.
    map: Option<CalibrationMap>,
    /// The share of outputs that the agent answered.
    coverage: Option<f64>,
}

impl Yardstick {
    fn of(detect: &Detect, profile: Option<&Profile>) -> Self {
        let Some(profile) = profile else { return Self::default() };
        Self {
            bar: profile.latency_bar(&detect.measure),
            map: detect.measure.is_of_verdicts().then(|| profile.calibration()).flatten(),
            coverage: profile.coverage(),
        }
    }
}

/// A measure in a pane; nothing for measures that panes do not hold, and where there are no cases.
fn taken(detect: &Detect, pane: &Pane, yardstick: &Yardstick) -> Option<Taken> {
    let table = &pane.by_confidence;
    let taken = match &detect.measure {
        Measure::Latency { component: None, .. } => {
            let bins = &pane.latency_bins;
            Taken::Share(Counts { hits: bins.above(yardstick.bar?), n: bins.n() })
        }
        Measure::EstimatedAccuracy => Taken::Mean(said_of_all(table, yardstick.map.as_ref()?)),
        Measure::Calibration => {
            let map = yardstick.map.as_ref()?;
            let mut gaps = Moments::default();
            for (place, cell) in table.cells() {
                let said = said(map, place);
                gaps.add_equal(1.0 - said, cell.right.into());
                gaps.add_equal(-said, (cell.labelled - cell.right).into());
            }
            Taken::Mean(gaps)
        }
        Measure::AccuracyAtCoverage => {
            let cells = table.cells();
            let verdicts = cells.iter().map(|(place, cell)| {
                (*place, Counts { hits: (cell.labelled - cell.right).into(), n: cell.labelled.into() })
            });
            Taken::Share(table.surest(yardstick.coverage?)?.counts(&verdicts.collect()))
        }
        Measure::Confidence => Taken::Mean(pane.confidence),
        Measure::Cost => Taken::Mean(pane.cost_usd),
        Measure::Tokens => Taken::Mean(pane.tokens),
        Measure::Metric(name) => Taken::Mean(*pane.metrics.get(name)?),
        _ => Taken::Share(bad_in(pane, detect)?),
    };
    let n = match &taken {
        Taken::Share(counts) => counts.n,
        Taken::Mean(moments) => moments.n,
    };
    (n > 0).then_some(taken)
}

/// The accuracy that the confidence of a place stands for.
pub(super) fn said(map: &CalibrationMap, place: Place) -> f64 {
    map.accuracy(place.confidence().unwrap_or(f64::NAN))
}

/// The accuracy that is said of all outputs of a table.
pub(super) fn said_of_all(table: &ConfidenceTable, map: &CalibrationMap) -> Moments {
    let mut all = Moments::default();
    table.cells().iter().for_each(|(place, cell)| all.add_equal(said(map, *place), cell.outputs.into()));
    all
}

/// The level beyond which the rule wants to be told.
fn bound(detect: &Detect, centre: f64) -> Option<f64> {
    let away = |amount: Amount| match amount {
        Amount::Points(x) => Some(x),
        Amount::Relative(share) => Some(share * centre.abs()),
        Amount::Absolute(x) if !matches!(detect.measure, Measure::Latency { .. }) => Some(x),
        Amount::Absolute(_) | Amount::Deviations(_) => None,
    };
    let bound = match detect.bound {
        Bound::Drop(amount) => centre - away(amount)?,
        Bound::Rise(amount) => centre + away(amount)?,
        Bound::Target(x) | Bound::Limit(x) => x,
        Bound::Burn(burn) if burn.at_least => 1.0 - burn.allowed,
        Bound::Burn(burn) => burn.allowed,
        _ => return None,
    };
    (bound.is_finite() && bound != centre).then_some(bound)
}

/// What else moved, and what did not.
fn beside(own: &Measure, profile: &Profile, since: &Pane, lasted: Span) -> (Vec<Beside>, Vec<Aspect>) {
    let before = &profile.pane;
    let share = |what, a: Counts, b: Counts| compared(what, share_z(a, b)?, (a.share()?, b.share()?), Size::Points);
    let mean = |what, a: &Moments, b: &Moments, size| compared(what, mean_z(a, b)?, (a.mean, b.mean), size);
    let tested = [
        share(Aspect::Accuracy, before.correct, since.correct).filter(|_| *own != Measure::Accuracy),
        mean(Aspect::Confidence, &before.confidence, &since.confidence, Size::Points)
            .filter(|_| !matches!(own, Measure::Confidence | Measure::ConfidenceDistribution)),
        share(Aspect::Escalation, before.escalated, since.escalated).filter(|_| *own != Measure::EscalationRate),
        share(Aspect::Overrides, before.overridden, since.overridden).filter(|_| *own != Measure::OverrideRate),
        share(Aspect::Errors, before.errors(), since.errors())
            .filter(|_| !matches!(own, Measure::ErrorRate | Measure::Availability)),
        latency(before, since).filter(|_| !matches!(own, Measure::Latency { .. })),
        mean(Aspect::Cost, &before.cost_usd, &since.cost_usd, Size::Share(0.10)).filter(|_| *own != Measure::Cost),
        volume(profile, since, lasted).filter(|_| *own != Measure::Volume),
    ];
    let tested = tested.into_iter().flatten().filter(|(found, _)| found.z.is_finite());
    let (mut moved, steady): (Vec<_>, Vec<_>) = tested.partition(|(_, is_moved)| *is_moved);
    moved.sort_by(|(a, _), (b, _)| b.z.abs().total_cmp(&a.z.abs()));
    moved.truncate(BESIDE_MAX);
    (moved.into_iter().map(|(b, _)| b).collect(), steady.into_iter().map(|(b, _)| b.what).collect())
}

/// How large a difference must be to be worth a look.
#[derive(Clone, Copy)]
enum Size {
    /// A percentage point.
    Points,
    /// This share of the baseline.
    Share(f64),
}

/// A comparison, and whether it counts as moved.
fn compared(what: Aspect, z: f64, (baseline, level): (f64, f64), size: Size) -> Option<(Beside, bool)> {
    let least = match size {
        Size::Points => 0.01,
        Size::Share(share) => share * baseline.abs(),
    };
    let moved = z.abs() >= Z_MOVED && (level - baseline).abs() >= least;
    (z.is_finite() && level.is_finite()).then_some((Beside { what, level, baseline, z }, moved))
}

/// z of two shares, with the variance of both together.
fn share_z(before: Counts, now: Counts) -> Option<f64> {
    if before.n < CASES_MIN || now.n < CASES_MIN {
        return None;
    }
    let mut both = before;
    both.merge(now);
    let (p, a, b) = (both.share()?, before.share()?, now.share()?);
    let se = (p * (1.0 - p) * (1.0 / before.n as f64 + 1.0 / now.n as f64)).sqrt();
    Some(if se > 0.0 { (b - a) / se } else { 0.0 })
}

/// z of two means, each with its own variance (Welch).
fn mean_z(before: &Moments, now: &Moments) -> Option<f64> {
    if before.n < CASES_MIN || now.n < CASES_MIN {
        return None;
    }
    let (a, b) = (before.sd()?, now.sd()?);
    let se = (a * a / before.n as f64 + b * b / now.n as f64).sqrt();
    Some(if se > 0.0 { (now.mean - before.mean) / se } else { 0.0 })
}

/// The 95 % quantile, tested as the share of outputs above the baseline's.
fn latency(before: &Pane, since: &Pane) -> Option<(Beside, bool)> {
    let bar = before.latency_bins.quantile_bin(0.95)?;
    let slow = |pane: &Pane| Counts { hits: pane.latency_bins.above(bar), n: pane.latency_bins.n() };
    let z = share_z(slow(before), slow(since))?;
    let levels = (before.latency_quantile_ms(0.95)?, since.latency_quantile_ms(0.95)?);
    compared(Aspect::Latency, z, levels, Size::Share(0.10))
}

/// Outputs an hour against the baseline's, where both lasted for a day.
fn volume(profile: &Profile, since: &Pane, lasted: Span) -> Option<(Beside, bool)> {
    let hours = |span: Span| span.as_days_f64() * 24.0;
    let whole_day = hours(lasted) >= 23.0 && hours(profile.span()) >= 24.0;
    if !whole_day {
        return None;
    }
    let rate = profile.pane.outputs as f64 / hours(profile.span());
    let expected = rate * hours(lasted);
    let z = (since.outputs as f64 - expected) / expected.sqrt();
    compared(Aspect::Volume, z, (rate, since.outputs as f64 / hours(lasted)), Size::Share(0.25))
}

/// The newest releases with room for one more.
pub(super) fn release(releases: &mut Vec<Release>, at: Timestamp, version: &str) {
    const MOST: usize = 8;
    if releases.len() >= MOST {
        releases.remove(0);
    }
    releases.reserve_exact(1);
    releases.push(Release { at, version: version.to_owned() });
}

#[cfg(test)]
mod tests {
    use super::super::rule::{Source, compile};
    use super::*;

    fn pane(outputs: u64, escalated: u64, cost: f64) -> Pane {
        let mut pane = Pane { outputs, escalated: Counts { hits: escalated, n: outputs }, ..Pane::default() };
        for i in 0..outputs {
            pane.cost_usd.add(cost * (1.0 + (i % 5) as f64 / 10.0));
            pane.confidence.add(0.9 + (i % 3) as f64 / 100.0);
            pane.latency_ms.add(1.0);
            pane.latency_bins.add(super::super::sketch::latency::bin((1 + i % 100) * 1_000_000), 1);
        }
        pane
    }

    fn told(own: &Measure, before: Pane, since: &Pane, lasted: Span) -> (Vec<Aspect>, Vec<Aspect>) {
        let last = Some(Timestamp::from_millis(0).plus(Span::DAY.times(10)));
        let profile = Profile { first: Some(Timestamp::from_millis(0)), last, pane: before, ..Profile::default() };
        let (moved, steady) = beside(own, &profile, since, lasted);
        (moved.iter().map(|b| b.what).collect(), steady)
    }

    #[test]
    fn what_moved_is_told_and_what_did_not_is_named() {
        let before = pane(10_000, 1_000, 0.01);
        let (moved, steady) = told(&Measure::Accuracy, before.clone(), &pane(1_000, 200, 0.02), Span::HOUR);
        // A hundredfold standard error of cost, ten of escalation.
        assert_eq!(moved, [Aspect::Cost, Aspect::Escalation]);
        assert_eq!(steady, [Aspect::Confidence, Aspect::Latency]);
        let (moved, _) = told(&Measure::EscalationRate, before.clone(), &pane(1_000, 200, 0.02), Span::HOUR);
        assert_eq!(moved, [Aspect::Cost], "the measure of the alert itself is told elsewhere");
        let (moved, _) = told(&Measure::Accuracy, before.clone(), &pane(1_000, 108, 0.0105), Span::HOUR);
        assert_eq!(moved, [], "far from significant, or too small to matter");
        let (moved, steady) = told(&Measure::Accuracy, before, &pane(29, 29, 0.1), Span::HOUR);
        assert_eq!((moved, steady), (vec![], vec![]), "too few to compare");
    }

    #[test]
    fn traffic_is_compared_over_whole_days_only() {
        let before = pane(24_000, 2_400, 0.01);
        let half = pane(1_200, 120, 0.01);
        let (moved, steady) = told(&Measure::Accuracy, before.clone(), &half, Span::DAY);
        assert!(moved == [Aspect::Volume] && !steady.contains(&Aspect::Volume));
        let (moved, steady) = told(&Measure::Accuracy, before, &half, Span::HOUR.times(12));
        assert!(moved.is_empty() && !steady.contains(&Aspect::Volume));
    }

    #[test]
    fn z_is_the_textbooks() {
        // 40 of 200 against 90 of 300: p = 130/500, se = sqrt(0.26 * 0.74 * (1/200 + 1/300)).
        let z = share_z(Counts { hits: 40, n: 200 }, Counts { hits: 90, n: 300 }).unwrap();
        assert!((z - 0.1 / (0.26_f64 * 0.74 / 120.0).sqrt()).abs() < 1e-12, "{z}");
        assert_eq!(share_z(Counts { hits: 0, n: 200 }, Counts { hits: 0, n: 300 }), Some(0.0));
    }

    #[test]
    fn a_flag_that_should_be_set_is_told_by_the_share_that_is() {
        let share = |bound: &str| {
            let detect = format!("{{ measure: flags.grounded, {bound}: 5pp }}");
            let text = format!("groups: [ {{ name: g, rules: [ {{ alert: A, detect: {detect} }} ] }} ]");
            let rules = compile(&[Source { name: "r".to_owned(), text }]).rules.unwrap().rules;
            let mut pane = Pane::default();
            pane.flags.insert("grounded".to_owned(), Counts { hits: 90, n: 100 });
            taken(&rules[0].detect, &pane, &Yardstick::default()).unwrap().level(rules[0].detect.counts_good())
        };
        assert_eq!((share("drop"), share("rise")), (Some((0.9, 100)), Some((0.9, 100))));
    }
}
