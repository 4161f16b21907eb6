//! The chart of volume: blocks, falls, stops and rises, what is late, what a baseline lacks.

use super::design::DesignCache;
use super::proportion::Method;
use super::testing::Xorshift;
use super::volume::{NoVolume, VolumeBaseline, VolumeChart, VolumeDesign};
use super::{Day, Direction, MeanDesign, Verdict};
use crate::engine::units::{SampleUnit, Span, Timestamp};

/// A Monday, counted from 1970.
const MONDAY: i64 = 20_461;

/// Counts of an hour about a mean, with more than chance: the root of a count has this standard deviation.
fn count(mean: f64, sd: f64, random: &mut Xorshift) -> u32 {
    (mean.sqrt() + sd * random.normal()).max(0.0).powi(2).round() as u32
}

/// Days with 60 outputs an hour from 8 to 18, nothing at night and at weekends.
fn office(days: i64, (of_day, of_hour): (f64, f64), random: &mut Xorshift) -> Vec<Day> {
    (0..days)
        .map(|day| {
            let level = (7.7 + of_day * random.normal()).max(0.0).powi(2);
            let open = |h: usize| day % 7 < 5 && (8..18).contains(&h);
            std::array::from_fn(|h| if open(h) { count(level, of_hour, random) } else { 0 })
        })
        .collect()
}

fn baseline(noise: (f64, f64)) -> VolumeBaseline {
    VolumeBaseline::of(MONDAY, &office(28, noise, &mut Xorshift::new(5))).unwrap()
}

fn chart(direction: Direction) -> VolumeChart {
    let baseline = baseline((0.0, 0.5));
    let mean = MeanDesign {
        mu: baseline.mean,
        sigma: baseline.sigma,
        buckets: baseline.independent,
        delta: baseline.shift(0.5).abs(),
        direction,
        arl0: 1_000.0,
        guarantee: 0.75,
        method: Method::Cusum,
        known: false,
    };
    let half_way = if direction == Direction::Down { 0.75 } else { 1.25 };
    VolumeChart::new(&VolumeDesign { baseline, mean, half_way }, &mut DesignCache::new())
}

fn hour(hour: i64) -> Timestamp {
    Timestamp::from_millis((MONDAY * 24 + hour) * 3_600_000)
}

/// Feeds outputs of one hour, once the hours before are closed. Returns the blocks that were judged.
fn feed(chart: &mut VolumeChart, at: i64, n: u32) -> usize {
    let judged = std::iter::from_fn(|| chart.close(hour(at))).filter(|(_, judged)| *judged).count();
    (0..n).for_each(|i| chart.count(hour(at).plus(Span::SECOND.times(i.into())), hour(at)));
    judged
}

/// What an office hour brings: 60, a little more and less.
fn usual(at: i64) -> u32 {
    let open = at.rem_euclid(168) < 120 && (8..18).contains(&at.rem_euclid(24));
    if open { 56 + (at * 7 % 9) as u32 } else { 0 }
}

#[test]
fn hours_that_are_independent_are_blocks_and_days_that_differ_make_days() {
    let found = baseline((0.0, 0.5));
    assert_eq!((found.hours, found.per_week, found.blocks), (1, 50, 200));
    assert!(found.mean.abs() < 0.2 && (found.outputs() - 60.0).abs() < 3.0, "{found:?}");
    // Roots vary by 0.5, twice that on Anscombe's scale.
    assert!((0.9..1.35).contains(&found.sigma), "{}", found.sigma);
    let level = found.level();
    assert!(level.value == 1.0 && level.low < 1.0 && 1.0 < level.high && level.high < 1.05);
    // Half of 60 is 2 sqrt(30.375) on that scale, from 2 sqrt(60.375).
    assert!((found.shift(0.5) + 4.52).abs() < 0.1, "{}", found.shift(0.5));
    for share in [0.0, 0.5, 0.85, 1.0, 1.25, 3.0] {
        let back = found.share_at(found.shift(share));
        assert!((back - share).abs() < 0.002, "{back} for {share}");
    }
    let found = baseline((1.0, 0.5));
    assert_eq!((found.hours, found.per_week, found.blocks), (24, 5, 20));
}

#[test]
fn what_a_baseline_lacks_is_told() {
    let days = office(28, (0.0, 0.5), &mut Xorshift::new(6));
    assert_eq!(VolumeBaseline::of(MONDAY, &days[..13]).unwrap_err(), NoVolume::Days(13));
    let few: Vec<Day> = (0..28).map(|_| std::array::from_fn(|h| u32::from(h == 9) * 4)).collect();
    assert_eq!(VolumeBaseline::of(MONDAY, &few).unwrap_err(), NoVolume::Outputs);
    assert!(VolumeBaseline::of(MONDAY, &days[..14]).is_ok());
}

#[test]
fn nights_and_weekends_are_not_judged_and_a_usual_week_is_in_control() {
    for direction in [Direction::Down, Direction::Up] {
        let mut chart = chart(direction);
        let judged: usize = (0..=24 * 14).map(|at| feed(&mut chart, at, usual(at))).sum();
        // The block in which the chart began is left out: it is one of a night.
        assert_eq!((judged, chart.mean().samples_seen()), (100, 100));
        // A few outputs at night change nothing.
        feed(&mut chart, 24 * 14 + 2, 4);
        assert!(!chart.is_out() && chart.verdict() == Verdict::InControl, "{direction:?}");
    }
}

#[test]
fn half_the_outputs_are_told_as_half_of_the_usual_number() {
    let mut chart = chart(Direction::Down);
    let change = 24 * 7 + 10;
    let found = (0..24 * 14).find(|at| {
        let at = *at;
        let n = usual(at);
        feed(&mut chart, at, if at >= change { n / 2 } else { n });
        matches!(chart.verdict(), Verdict::OutOfControl(_))
    });
    assert!(found.is_some_and(|at| (change + 1..change + 4).contains(&at)), "{found:?}");
    let Verdict::OutOfControl(evidence) = chart.verdict() else { panic!("{:?}", chart.verdict()) };
    let estimate = evidence.estimate.unwrap();
    assert!(estimate.low < 0.5 && 0.5 < estimate.high && (estimate.value - 0.5).abs() < 0.1, "{estimate:?}");
    assert_eq!((evidence.changed_at, evidence.unit, evidence.baseline_n), (hour(change), SampleUnit::Block, 200));
    assert_eq!((evidence.baseline.value, evidence.method.as_str()), (1.0, "CUSUM of outputs in blocks of 1 h"));
}

#[test]
fn a_small_change_is_not_told_however_sure() {
    let mut chart = chart(Direction::Down);
    for at in 0..24 * 28 {
        feed(&mut chart, at, if at > 24 * 7 { usual(at) * 6 / 7 } else { usual(at) });
        assert!(!chart.is_out() && chart.verdict() == Verdict::InControl);
    }
    assert!(chart.mean().is_out(), "a seventh is plain to see, but half was asked for");
    (24 * 28..24 * 29).for_each(|at| _ = feed(&mut chart, at, usual(at) / 3));
    assert!(chart.is_out());
}

#[test]
fn a_stop_is_a_fall_to_nothing_and_is_seen_as_time_passes() {
    let mut chart = chart(Direction::Down);
    (0..24 * 7 + 12).for_each(|at| _ = feed(&mut chart, at, usual(at)));
    // The hour from 11 to 12 is closed a quarter of an hour after its end; from then on nothing comes.
    let mut looked = 0;
    while let Some(due) = chart.deadline() {
        assert!(chart.close(due.minus(Span::from_millis(1))).is_none());
        assert!(chart.close(due).is_some());
        looked += 1;
        assert!(looked < 10);
    }
    assert!(chart.is_out());
    let Verdict::OutOfControl(evidence) = chart.verdict() else { panic!("{:?}", chart.verdict()) };
    assert_eq!((evidence.estimate.unwrap().value, evidence.changed_at), (0.0, hour(24 * 7 + 12)));
    // Usual weeks end it, and the blocks of the stop are judged with the next output.
    (24 * 8..24 * 15).for_each(|at| _ = feed(&mut chart, at, usual(at)));
    assert!(!chart.is_out());
}

#[test]
fn no_look_is_planned_for_what_is_not_judged() {
    let mut chart = chart(Direction::Down);
    assert_eq!(chart.deadline(), None);
    // On Friday evening the next judged block is the first hour of Monday.
    chart.begin(hour(4 * 24 + 18));
    assert_eq!(chart.deadline(), Some(hour(7 * 24 + 9).plus(Span::MINUTE.times(15))));
    let judged: Vec<bool> =
        std::iter::from_fn(|| chart.close(chart.deadline()?)).map(|(_, judged)| judged).take(62).collect();
    assert_eq!(judged.iter().position(|judged| *judged), Some(61));
}

#[test]
fn a_rise_wants_no_look_while_nothing_comes_and_ends_when_nothing_comes() {
    let mut chart = chart(Direction::Up);
    (0..24 * 7 + 9).for_each(|at| _ = feed(&mut chart, at, usual(at)));
    assert_eq!(chart.deadline(), None);
    let mut at = 24 * 7 + 9;
    while !chart.is_out() {
        feed(&mut chart, at, 3 * usual(at));
        at += 1;
    }
    assert!(at < 24 * 7 + 14, "{at}");
    let mut looks = 0;
    while let Some(due) = chart.deadline() {
        assert!(chart.close(due).is_some());
        looks += 1;
        assert!(looks < 24);
    }
    assert!(!chart.is_out());
}

#[test]
fn what_comes_for_a_closed_block_is_not_counted_and_what_is_a_little_late_is() {
    let run = |late: Span| {
        let mut chart = chart(Direction::Down);
        (0..24 * 7 + 9).for_each(|at| _ = feed(&mut chart, at, usual(at)));
        for at in 24 * 7 + 9..24 * 7 + 18 {
            // All outputs of an hour come after its end, when stream time is so far on.
            while chart.close(hour(at + 1).plus(late)).is_some() {}
            (0..usual(at)).for_each(|_| chart.count(hour(at), hour(at + 1).plus(late)));
        }
        while chart.close(hour(24 * 8)).is_some() {}
        chart.is_out()
    };
    assert!(!run(Span::MINUTE.times(14)) && run(Span::MINUTE.times(16)));
}
