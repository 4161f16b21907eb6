//! The pictures of docs/statistics.md: drawn by the charts themselves, from draws with a seed.

use shewhart::engine::detect::{DesignCache, ProportionChart, ProportionDesign};
use shewhart::engine::units::{Counts, Timestamp};

use super::docs::read;

const DAYS: usize = 60;
const CHANGE: usize = 30;
const LABELS: u64 = 500;

/// Marsaglia's xorshift64*.
struct Xorshift(u64);

impl Xorshift {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Wrong labels of one day's, at that probability.
    fn day(&mut self, p: f64) -> Vec<bool> {
        (0..LABELS).map(|_| self.uniform() < p).collect()
    }

    /// Near enough to a normal deviate for a picture: twelve uniform ones.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// A line of a picture: what stands left of it, its height, and what it is drawn with where there is no point.
struct Line(String, f64, char);

/// Points by day, each in the nearest line; those beyond the picture in the outermost.
fn picture(lines: &[Line], values: &[f64], marks: &[(usize, &str)]) -> String {
    let nearest = |value: f64| {
        let far = |line: &Line| (line.1 - value).abs();
        lines.iter().enumerate().min_by(|a, b| far(a.1).total_cmp(&far(b.1))).map_or(0, |(at, _)| at)
    };
    let mut rows = Vec::new();
    for (at, Line(label, _, ground)) in lines.iter().enumerate() {
        let cells: String = values.iter().map(|value| if nearest(*value) == at { 'o' } else { *ground }).collect();
        rows.push(format!("{label:>9} |{cells}").trim_end().to_owned());
    }
    rows.push(format!("{:>9} +{}", "", "-".repeat(values.len())));
    rows.extend(marks.iter().map(|(day, mark)| format!("{:width$}^ {mark}", "", width = day + 11)));
    rows.join("\n") + "\n"
}

/// Accuracies by day, in percent, with the limits of a Shewhart chart at three standard deviations.
fn accuracies(days: &[Vec<bool>], marks: &[(usize, &str)]) -> String {
    let lines: Vec<Line> = (0..14)
        .map(|at| {
            let level = 98.5 - f64::from(at);
            // 92 % of 500: three standard deviations are 3.6 points.
            let ground = match at {
                3 | 10 => '-',
                _ => ' ',
            };
            Line(format!("{level} %"), level, ground)
        })
        .collect();
    let share = |day: &Vec<bool>| 100.0 * day.iter().filter(|bad| !**bad).count() as f64 / day.len() as f64;
    picture(&lines, &days.iter().map(share).collect::<Vec<_>>(), marks)
}

fn stands_in_the_document(picture: &str) {
    assert!(read("docs/statistics.md").contains(picture), "docs/statistics.md should show\n{picture}");
}

/// Sixty days at 92 %, the second half of them at 90 %.
fn fall() -> Vec<Vec<bool>> {
    let mut random = Xorshift(20_261_202);
    (0..DAYS).map(|day| random.day(if day < CHANGE { 0.08 } else { 0.10 })).collect()
}

#[test]
fn single_days_hardly_show_a_fall_of_two_points() {
    stands_in_the_document(&accuracies(&fall(), &[(CHANGE, "from here on 2 points lower")]));
}

#[test]
fn a_chart_that_adds_up_shows_it() {
    let design = ProportionDesign::new(Counts { hits: 800, n: 10_000 }, 0.02, 20_000.0);
    let mut chart = ProportionChart::new(&design, &mut DesignCache::new());
    let (mut values, mut alarm) = (Vec::new(), None);
    for (day, labels) in fall().iter().enumerate() {
        for bad in labels {
            chart.update(*bad, Timestamp::from_millis(0));
        }
        values.push(chart.statistic().log10());
        if chart.grade().is_some() {
            alarm = alarm.or(Some(day));
        }
    }
    let limit = chart.limit().log10();
    // Half a power of ten to a line, the limit where it is.
    let lines: Vec<Line> = (0..8)
        .map(|at| {
            let height = limit + 1.0 - 0.5 * f64::from(at);
            let label = if at == 2 { "limit".to_owned() } else { String::new() };
            Line(label, height, if at == 2 { '-' } else { ' ' })
        })
        .collect();
    let alarm = alarm.expect("the fall is found");
    stands_in_the_document(&picture(&lines, &values, &[(CHANGE, "change"), (alarm, "alarm")]));
}

#[test]
fn batches_that_differ_leave_limits_that_chance_would_keep() {
    let mut random = Xorshift(20_261_127);
    let days: Vec<Vec<bool>> = (0..DAYS)
        .map(|day| {
            let wander = if day < CHANGE { 0.0 } else { 0.03 * random.normal() };
            random.day((0.08 + wander).max(0.0))
        })
        .collect();
    let marks = [(0, "cases by chance alone"), (CHANGE, "days that differ by themselves")];
    stands_in_the_document(&accuracies(&days, &marks));
}
