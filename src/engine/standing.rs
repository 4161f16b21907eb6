//! How accurate a stream is, as far as verdicts and confidences say: few outputs have a verdict, all have a confidence.
//!
//! **Definition.** Three estimates over one span, all with intervals of Wilson's shape. *Labels*: the share of right ones
//! among the labelled. *Powered*: PPI++ on the bins' middles, its weight fitted; its variance V makes it worth y (1 - y) / V
//! labels, and it gets the interval of so many. *Stratified*: sum W p over strata of escalation and confidence, W a stratum's
//! share of all outputs and p its labelled ones' accuracy (Cochran 1977); V = sum W^2 p' (1 - p') / n with p' one right and one
//! wrong label nearer to the middle, as a stratum without errors has no variance; the interval is that of p' (1 - p') / V labels
//! (Korn & Graubard 1998), the effective number told is Kish's (1965), 1 / sum (W^2 / n).
//!
//! **Which one counts.** Stratified where the labelled differ from the others in mean confidence or in the share handed to a
//! person: by chance in fewer than one of a thousand cases, and by half a point of confidence or a point of escalation.
//! Otherwise powered, which is labels alone where confidence carries nothing. Below thirty labels always labels alone.
//!
//! **Bad at.** Labels picked by what neither confidence nor escalation shows; verdicts that come sooner when they are bad.

use super::around::{Differ, How, Versus};
use super::confidence::{Cell, ConfidenceTable};
use super::detect::Powered;
use super::detect::design::interval::{wilson, wilson_of};
use super::sketch::Pane;
use super::units::{Counts, Estimate, Span};
use super::verdicts::{AGES, Delays};

pub use super::around::Standing;

/// Confidence of every interval.
const LEVEL: f64 = 0.95;
/// Fewest labels with which confidences are used: the weight is fitted to them.
const LABELS_MIN: u64 = 30;
/// Fewest labels of a stratum ...
const STRATUM_MIN: u64 = 10;
/// ... and about how many strata there are at most: five leave a tenth of what picking did, twenty next to nothing (Cochran 1968).
const STRATA: u64 = 20;
/// Standard errors that chance exceeds in fewer than one of a thousand cases.
const Z_DIFFER: f64 = 3.290_5;
/// Difference in mean confidence that matters.
const CONFIDENCE_APART: f64 = 0.005;
/// Difference in the share handed to a person that matters.
const ESCALATION_APART: f64 = 0.01;

impl Standing {
    /// How accurate the outputs of a pane were.
    pub fn of_pane(pane: &Pane) -> Self {
        Self::of(pane.outputs, pane.correct, &pane.by_confidence)
    }

    /// How accurate outputs were, of which `verdicts` came, and of which those with a confidence stand in `table`. Outputs
    /// without a confidence take part as if they had the mean of the others: it says nothing about them.
    pub fn of(outputs: u64, verdicts: Counts, table: &ConfidenceTable) -> Self {
        let outputs = outputs.max(verdicts.n);
        let labels = (verdicts.n > 0).then(|| wilson(verdicts, LEVEL));
        let mut standing = Self { outputs, labelled: verdicts.n, labels, estimate: labels, ..Self::default() };
        standing.effective = verdicts.n as f64;
        if verdicts.n < LABELS_MIN {
            return standing;
        }
        standing.differ = differ(table);
        let found = match standing.differ {
            Some(_) => stratified(outputs, verdicts, table).map(|(estimate, worth)| (estimate, worth, How::Stratified)),
            None => powered(&sums(outputs, verdicts, table))
                .map(|(estimate, worth, lambda)| (estimate, worth, How::Powered { lambda })),
        };
        if let Some((estimate, effective, how)) = found {
            (standing.estimate, standing.effective, standing.how) = (Some(estimate), effective, how);
        }
        standing
    }
}

/// The sums of a table that prediction-powered inference needs, the middle of a bin standing for its confidences.
pub fn table_sums(table: &ConfidenceTable) -> Powered {
    let mut sums = Powered::default();
    for (bin, cell) in table.bins() {
        add(&mut sums, super::confidence::middle(bin), cell);
    }
    sums
}

fn add(sums: &mut Powered, confidence: f64, cell: Cell) {
    let (n, right) = (f64::from(cell.labelled), f64::from(cell.right));
    let free = cell.outputs.saturating_sub(cell.labelled);
    sums.merge(&Powered {
        labelled: u64::from(cell.labelled),
        right: u64::from(cell.right),
        c: n * confidence,
        cc: n * confidence * confidence,
        cy: right * confidence,
        unlabelled: u64::from(free),
        free_c: f64::from(free) * confidence,
        free_cc: f64::from(free) * confidence * confidence,
    });
}

/// Outputs and verdicts that stand in no place of the table.
fn rest(outputs: u64, verdicts: Counts, table: &ConfidenceTable) -> (u64, Counts) {
    let total = table.total();
    let n = verdicts.n.saturating_sub(u64::from(total.labelled));
    let hits = verdicts.hits.saturating_sub(u64::from(total.right)).min(n);
    (outputs.saturating_sub(u64::from(total.outputs)).max(n), Counts { hits, n })
}

/// The sums over all outputs, those without a confidence at the mean of the others.
fn sums(outputs: u64, verdicts: Counts, table: &ConfidenceTable) -> Powered {
    let mut sums = table_sums(table);
    let known = (sums.labelled + sums.unlabelled) as f64;
    let (rest, labelled) = rest(outputs, verdicts, table);
    if known > 0.0 && rest > 0 {
        let mean = (sums.c + sums.free_c) / known;
        let (n, free) = (labelled.n as f64, (rest - labelled.n) as f64);
        sums.merge(&Powered {
            labelled: labelled.n,
            right: labelled.hits,
            c: n * mean,
            cc: n * mean * mean,
            cy: labelled.hits as f64 * mean,
            unlabelled: rest - labelled.n,
            free_c: free * mean,
            free_cc: free * mean * mean,
        });
    }
    sums
}

/// PPI++ with the number of labels that it is worth and its weight; nothing where confidence has none.
fn powered(sums: &Powered) -> Option<(Estimate, f64, f64)> {
    let lambda = sums.tuning();
    if sums.labelled < LABELS_MIN || lambda <= 0.0 {
        return None;
    }
    let (value, variance) = sums.mean_and_variance(lambda)?;
    let y = sums.right as f64 / sums.labelled as f64;
    let worth = y * (1.0 - y) / variance;
    let found = worth.is_finite() && worth > 0.0;
    found.then(|| (wilson_of(value.clamp(0.0, 1.0), worth, LEVEL), worth, lambda))
}

/// Outputs that count as alike.
#[derive(Clone, Copy, Debug, Default)]
struct Stratum {
    outputs: u64,
    labelled: Counts,
}

impl Stratum {
    const fn merge(&mut self, other: Self) {
        self.outputs += other.outputs;
        self.labelled.merge(other.labelled);
    }
}

/// Post-stratified accuracy with Kish's effective number of labels.
fn stratified(outputs: u64, verdicts: Counts, table: &ConfidenceTable) -> Option<(Estimate, f64)> {
    let strata = strata(outputs, verdicts, table);
    let all = strata.iter().map(|stratum| stratum.outputs).sum::<u64>() as f64;
    let (mut value, mut smooth, mut squares) = (0.0, 0.0, 0.0);
    let (mut within, mut kish) = (0.0, 0.0);
    for stratum in &strata {
        let (w, n, right) = (stratum.outputs as f64 / all, stratum.labelled.n as f64, stratum.labelled.hits as f64);
        let p = (right + 1.0) / (n + 2.0);
        value += w * right / n;
        smooth += w * p;
        squares += w * p * p;
        within += w * w * p * (1.0 - p) / n;
        kish += w * w / n;
    }
    let variance = within + (squares - smooth * smooth).max(0.0) / all;
    let worth = smooth * (1.0 - smooth) / variance;
    // Without a labelled output all of this is no number.
    (worth.is_finite() && value.is_finite() && kish > 0.0)
        .then(|| (wilson_of(value.clamp(0.0, 1.0), worth, LEVEL), 1.0 / kish))
}

/// Neighbours in confidence, pooled until they hold enough labels: first outputs handed to a person, then the others, then
/// those without a confidence. What is left of a kind joins the stratum before it.
fn strata(outputs: u64, verdicts: Counts, table: &ConfidenceTable) -> Vec<Stratum> {
    let enough = STRATUM_MIN.max(verdicts.n.div_ceil(STRATA));
    let mut strata: Vec<Stratum> = Vec::new();
    let (rest, labelled) = rest(outputs, verdicts, table);
    let cells = table.cells();
    let kinds = [true, false].map(|escalated| {
        let cells = cells.iter().filter(move |(place, _)| place.escalated() == escalated);
        cells.map(|(_, cell)| stratum(*cell)).collect::<Vec<_>>()
    });
    let rest = (rest > 0).then_some(Stratum { outputs: rest, labelled });
    let mut open = Stratum::default();
    for kind in kinds.into_iter().chain([rest.into_iter().collect()]) {
        let first = strata.len();
        for stratum in kind {
            open.merge(stratum);
            if open.labelled.n >= enough {
                strata.push(std::mem::take(&mut open));
            }
        }
        // A kind with too few labels for one stratum is judged together with the next.
        if strata.len() > first
            && let Some(last) = strata.last_mut()
        {
            last.merge(std::mem::take(&mut open));
        }
    }
    match strata.last_mut() {
        Some(last) => last.merge(open),
        None => strata.push(open),
    }
    strata
}

fn stratum(cell: Cell) -> Stratum {
    Stratum {
        outputs: u64::from(cell.outputs.max(cell.labelled)),
        labelled: Counts { hits: u64::from(cell.right), n: u64::from(cell.labelled) },
    }
}

/// In what the labelled outputs with a confidence differ from the others.
fn differ(table: &ConfidenceTable) -> Option<Differ> {
    let confidence = confidences_differ(&table_sums(table));
    let [all, labelled] = table.escalated();
    let free = Counts { hits: all.hits.saturating_sub(labelled.hits), n: all.n.saturating_sub(labelled.n) };
    let escalated = shares_differ(labelled, free);
    (confidence.is_some() || escalated.is_some()).then_some(Differ { confidence, escalated })
}

/// Mean confidence of the labelled and of all, where it differs (Welch).
fn confidences_differ(sums: &Powered) -> Option<Versus> {
    if sums.labelled < LABELS_MIN || sums.unlabelled < LABELS_MIN {
        return None;
    }
    let (n, free) = (sums.labelled as f64, sums.unlabelled as f64);
    let (mean, free_mean) = (sums.c / n, sums.free_c / free);
    let variance = |squares: f64, n: f64, mean: f64| (squares / n - mean * mean).max(0.0) / (n - 1.0);
    let error = (variance(sums.cc, n, mean) + variance(sums.free_cc, free, free_mean)).sqrt();
    let versus = Versus { labelled: mean, all: (sums.c + sums.free_c) / (n + free) };
    apart((mean - free_mean, error), versus, CONFIDENCE_APART)
}

fn shares_differ(labelled: Counts, free: Counts) -> Option<Versus> {
    if labelled.n < LABELS_MIN || free.n < LABELS_MIN {
        return None;
    }
    let mut both = labelled;
    both.merge(free);
    let (share, free_share, all) = (labelled.share()?, free.share()?, both.share()?);
    let error = (all * (1.0 - all) * (1.0 / labelled.n as f64 + 1.0 / free.n as f64)).sqrt();
    apart((share - free_share, error), Versus { labelled: share, all }, ESCALATION_APART)
}

fn apart((difference, error): (f64, f64), versus: Versus, matters: f64) -> Option<Versus> {
    let is_apart = difference.abs() > Z_DIFFER * error && (versus.labelled - versus.all).abs() >= matters;
    is_apart.then_some(versus)
}

/// The share of outputs of such ages that would have a verdict if verdicts came as in a baseline of `outputs` outputs: ages with
/// their numbers. Between the ages that are told apart, verdicts count as spread evenly. Nothing without outputs.
pub fn usual_share(delays: &Delays, outputs: u64, ages: impl Iterator<Item = (Span, u64)>) -> Option<f64> {
    if outputs == 0 {
        return None;
    }
    let mut limits = vec![(0.0, delays.within(Span::ZERO).n as f64)];
    limits.extend(AGES.iter().skip(1).map(|age| (age.as_days_f64(), delays.within(*age).n as f64)));
    let share_at = |age: f64| {
        let above = limits.partition_point(|(limit, _)| *limit <= age);
        let (from, n) = above.checked_sub(1).and_then(|at| limits.get(at)).copied().unwrap_or_default();
        let part = limits.get(above).map_or(0.0, |(to, more)| (more - n) * (age - from) / (to - from));
        ((n + part) / outputs as f64).min(1.0)
    };
    let (mut all, mut labelled) = (0.0, 0.0);
    for (age, n) in ages {
        all += n as f64;
        labelled += n as f64 * share_at(age.as_days_f64());
    }
    let share = labelled / all;
    share.is_finite().then_some(share)
}

#[cfg(test)]
mod tests {
    use super::super::confidence::Place;
    use super::super::detect::testing::Xorshift;
    use super::*;

    /// Outputs with confidence 1 - 0.6 u v, of which a part is labelled.
    struct World {
        /// Whether an output of that confidence is right, by the second of two draws.
        right: fn(f64, f64) -> bool,
        /// The accuracy that follows.
        truth: f64,
        /// The chance of a label.
        picked: fn(f64) -> f64,
    }

    const EVENLY: fn(f64) -> f64 = |_| 0.1;
    /// As many, but the doubtful ones.
    const DOUBTFUL: fn(f64) -> f64 = |c| 0.1 * (1.02 - c) / 0.17;
    const CALIBRATED: World = World { right: |c, u| u < c, truth: 0.85, picked: EVENLY };
    const USELESS: World = World { right: |_, u| u < 0.85, truth: 0.85, picked: EVENLY };
    /// The surer, the more often wrong: accuracy 1.6 - c.
    const LYING: World = World { right: |c, u| u < 1.6 - c, truth: 0.75, picked: EVENLY };

    /// How often each of labels, powered and stratified covers the truth, in 400 repetitions; how often stratified is chosen; the
    /// mean widths.
    fn repeat(world: &World, outputs: u32) -> ([u32; 3], u32, [f64; 3]) {
        let mut random = Xorshift::new(77);
        let (mut covered, mut chosen, mut widths) = ([0; 3], 0, [0.0; 3]);
        for _ in 0..400 {
            let (mut table, mut verdicts) = (ConfidenceTable::default(), Counts::default());
            for _ in 0..outputs {
                let c = 1.0 - 0.6 * random.uniform() * random.uniform();
                let place = Place::of(Some(c), Some(c < 0.6));
                table.output(place);
                if random.uniform() < (world.picked)(c) {
                    let right = (world.right)(c, random.uniform());
                    table.verdict(place, right);
                    verdicts.add(right);
                }
            }
            let n = u64::from(outputs);
            let standing = Standing::of(n, verdicts, &table);
            chosen += u32::from(standing.how == How::Stratified);
            let labels = standing.labels.unwrap();
            let powered = powered(&sums(n, verdicts, &table)).map_or(labels, |(estimate, ..)| estimate);
            let stratified = stratified(n, verdicts, &table).unwrap().0;
            for (at, found) in [labels, powered, stratified].into_iter().enumerate() {
                covered[at] += u32::from((found.low..=found.high).contains(&world.truth));
                widths[at] += (found.high - found.low) / 400.0;
            }
        }
        (covered, chosen, widths)
    }

    /// 95 % of 400 are 380, with a standard error of 4.4.
    #[track_caller]
    fn covers(found: u32) {
        assert!((366..=396).contains(&found), "{found} of 400");
    }

    #[test]
    fn all_three_cover_where_labels_are_picked_evenly_and_confidence_helps_where_it_can() {
        for (world, gain) in [(CALIBRATED, 0.96), (USELESS, 1.0), (LYING, 1.0)] {
            let (covered, chosen, [labels, powered, stratified]) = repeat(&world, 3_000);
            covered.into_iter().for_each(covers);
            assert!(chosen <= 8, "{chosen} of 400 take the labelled for picked");
            assert!(powered <= gain * labels + 1e-9, "{powered} {labels}");
            assert!(stratified < 1.06 * labels, "{stratified} {labels}");
        }
        // Few labels: about 60.
        repeat(&CALIBRATED, 600).0.into_iter().for_each(covers);
    }

    #[test]
    fn labels_on_doubtful_outputs_mislead_and_strata_put_that_right() {
        for world in [CALIBRATED, LYING] {
            let world = World { picked: DOUBTFUL, ..world };
            let (covered, chosen, _) = repeat(&world, 3_000);
            let [labels, _, stratified] = covered;
            assert!(labels < 40, "{labels} of 400");
            assert!((364..=399).contains(&stratified), "{stratified} of 400");
            assert_eq!(chosen, 400);
        }
    }

    fn table(cells: &[(u16, bool, u32, u32, u32)]) -> (u64, Counts, ConfidenceTable) {
        let mut table = ConfidenceTable::default();
        for (bin, escalated, outputs, labelled, right) in cells.iter().copied() {
            table.add(Place::at(bin, escalated), Cell { outputs, labelled, right });
        }
        let Cell { outputs, labelled, right } = table.total();
        (u64::from(outputs), Counts { hits: u64::from(right), n: u64::from(labelled) }, table)
    }

    #[test]
    fn strata_are_the_textbooks_by_hand() {
        // A tenth of the outputs are doubtful, and half of the labels: 50 % right there, 90 % elsewhere.
        let (outputs, verdicts, table) = table(&[(20, false, 1_000, 100, 50), (95, false, 9_000, 100, 90)]);
        let standing = Standing::of(outputs, verdicts, &table);
        let estimate = standing.estimate.unwrap();
        assert!((estimate.value - (0.1 * 0.5 + 0.9 * 0.9)).abs() < 1e-12);
        assert!((standing.labels.unwrap().value - 0.7).abs() < 1e-12);
        assert_eq!(standing.how, How::Stratified);
        assert!((standing.effective - 1.0 / (0.01 / 100.0 + 0.81 / 100.0)).abs() < 1e-9);
        let (p, q): (f64, f64) = (51.0 / 102.0, 91.0 / 102.0);
        let smooth = 0.1 * p + 0.9 * q;
        let between = (0.1 * p * p + 0.9 * q * q - smooth * smooth) / 10_000.0;
        let variance = 0.01 * p * (1.0 - p) / 100.0 + 0.81 * q * (1.0 - q) / 100.0 + between;
        let hand = wilson_of(0.86, smooth * (1.0 - smooth) / variance, 0.95);
        assert!((estimate.low - hand.low).abs() < 1e-12 && (estimate.high - hand.high).abs() < 1e-12);
        let all = standing.differ.unwrap().confidence.unwrap();
        assert!((all.labelled - f64::midpoint(0.205, 0.9055)).abs() < 1e-9 && all.all > 0.83);
    }

    #[test]
    fn escalation_alone_tells_picked_labels() {
        let cells = [(95, true, 1_000, 100, 50), (95, false, 9_000, 100, 90)];
        let (outputs, verdicts, table) = table(&cells);
        let standing = Standing::of(outputs, verdicts, &table);
        let differ = standing.differ.unwrap();
        assert_eq!(differ.confidence, None);
        assert_eq!(differ.escalated, Some(Versus { labelled: 0.5, all: 0.1 }));
        assert!((standing.estimate.unwrap().value - 0.86).abs() < 1e-12);
    }

    #[test]
    fn a_difference_too_small_to_matter_is_none_however_certain() {
        // A million outputs, the labelled 0.4 points of confidence above the others.
        let cells = [(90, false, 1_000_000, 100_000, 90_000), (99, false, 1_000_000, 180_000, 170_000)];
        let (.., table) = table(&cells);
        let sums = table_sums(&table);
        let means = (sums.c / sums.labelled as f64, (sums.c + sums.free_c) / 2_000_000.0);
        assert!(means.0 - means.1 > 0.001 && means.0 - means.1 < 0.005, "{means:?}");
        assert_eq!(differ(&table), None);
    }

    #[test]
    fn labels_alone_where_confidence_says_nothing() {
        let alone = |cells: &[(u16, bool, u32, u32, u32)]| {
            let (outputs, verdicts, table) = table(cells);
            let standing = Standing::of(outputs, verdicts, &table);
            assert_eq!((standing.how, standing.estimate), (How::LabelsOnly, standing.labels), "{cells:?}");
            assert!((standing.effective - verdicts.n as f64).abs() < 1e-12);
            standing
        };
        alone(&[(95, false, 1_000, 100, 90)]);
        // All labelled; too few; the surer, the worse; no errors.
        alone(&[(20, false, 100, 100, 20), (95, false, 100, 100, 90)]);
        alone(&[(20, false, 1_000, 14, 3), (95, false, 1_000, 15, 14)]);
        alone(&[(20, false, 1_000, 100, 90), (95, false, 1_000, 100, 20)]);
        alone(&[(20, false, 1_000, 100, 100), (95, false, 1_000, 100, 100)]);
        let none = alone(&[(20, false, 1_000, 0, 0)]);
        assert_eq!((none.labels, none.label_share()), (None, Some(0.0)));
        assert_eq!(Standing::of(0, Counts::default(), &ConfidenceTable::default()).label_share(), None);
        // Without any confidence.
        let bare = Standing::of(500, Counts { hits: 45, n: 50 }, &ConfidenceTable::default());
        assert_eq!((bare.how, bare.estimate, bare.label_share()), (How::LabelsOnly, bare.labels, Some(0.1)));
    }

    #[test]
    fn outputs_without_a_confidence_count_with_their_verdicts() {
        let cells = [(20, false, 500, 50, 10), (95, false, 500, 50, 48)];
        let (outputs, verdicts, table) = table(&cells);
        let with = Standing::of(outputs + 1_000, Counts { hits: verdicts.hits + 80, n: verdicts.n + 100 }, &table);
        assert_eq!((with.outputs, with.labelled), (2_000, 200));
        assert!((with.labels.unwrap().value - 138.0 / 200.0).abs() < 1e-12);
        assert!(matches!(with.how, How::Powered { .. }));
        // Evenly picked to the last output, so confidence moves nothing.
        assert!((with.estimate.unwrap().value - 138.0 / 200.0).abs() < 1e-12);
    }

    /// `ppi_python` 0.2.3, `ppi_mean_ci(y, c, c_unlabelled, alpha=0.05)` and `ppi_mean_pointestimate` on the same outputs.
    #[test]
    fn powered_equals_the_authors_program() {
        let cells = [
            (20, false, 800, 80, 30),
            (60, false, 1_000, 60, 41),
            (95, false, 3_000, 150, 139),
            (270, false, 200, 40, 39),
        ];
        let sums = table_sums(&table(&cells).2);
        assert!((sums.tuning() - 0.965_086_880_082_550_4).abs() < 1e-9, "{}", sums.tuning());
        let found = sums.estimate(sums.tuning(), 0.95).unwrap();
        assert!((found.value - 0.800_671_860_571_176_7).abs() < 1e-9, "{found:?}");
        assert!((found.low - 0.760_643_229_050_576_2).abs() < 1e-9, "{found:?}");
        assert!((found.high - 0.840_700_492_091_777_1).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn the_usual_share_follows_the_baselines_delays() {
        let mut delays = Delays::default();
        // Of 100 outputs, 4 verdicts come at once, 6 within the first quarter of an hour, 10 more between 12 and 24 h.
        for (minutes, n) in [(0, 4), (10, 6), (20 * 60, 10)] {
            (0..n).for_each(|i| delays.add(Span::MINUTE.times(minutes), Place::NONE, i % 3 > 0));
        }
        let share = |ages: &[(i64, u64)]| {
            usual_share(&delays, 100, ages.iter().map(|(minutes, n)| (Span::MINUTE.times(*minutes), *n)))
        };
        let is = |found: Option<f64>, wanted: f64| assert!((found.unwrap() - wanted).abs() < 1e-12, "{found:?}");
        is(share(&[(0, 7)]), 0.04);
        is(share(&[(5, 7)]), 0.06);
        is(share(&[(60, 7)]), 0.10);
        is(share(&[(18 * 60, 1)]), 0.15);
        is(share(&[(60, 30), (48 * 60, 10)]), 0.125);
        is(share(&[(900_000, 1)]), 0.20);
        assert_eq!(share(&[]), None);
        assert_eq!(usual_share(&delays, 0, std::iter::once((Span::HOUR, 1))), None);
    }

    #[test]
    fn what_is_invalid_is_not_a_number() {
        let (outputs, verdicts, table) = table(&[(20, false, 500, 50, 10), (95, false, 500, 50, 48)]);
        let standing = Standing::of(outputs, verdicts, &table);
        let labels = standing.labels;
        let invalid = standing.without_estimate("confidence lies".to_owned());
        assert_eq!((invalid.estimate, invalid.how, invalid.labels), (None, How::LabelsOnly, labels));
        assert!((invalid.effective - 100.0).abs() < 1e-12);
    }
}
