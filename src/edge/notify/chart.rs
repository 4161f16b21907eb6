//! The control chart of an incident as a picture for mails: what happened, in the words of the chart that draws it.
//!
//! The panel is white whatever the reader's scheme: a mail program that darkens mails leaves pictures as they are, and a
//! chart on a transparent ground would lose its lines there.

use super::clean::line;
use super::facts::capital;
use super::figures::{Scale, count, measure_name, moment, moment_after};
use super::page::is_over;
use crate::edge::draw::{ControlChart, ControlPoint, Ink, Layout, Mark};
use crate::engine::alert::Crossing;
use crate::engine::around::{Course, CoursePoint, Release};
use crate::engine::rule::Measure;
use crate::engine::units::{Estimate, Span, Timestamp};

/// Width and height of the picture as it is shown, in CSS pixels.
pub const SIZE: (f32, f32) = Layout::MAIL.size;

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// What is plotted of whom.
    title: String,
    measure: Measure,
    course: Course,
    /// When the change probably began, and the interval of that.
    changed: Option<(Timestamp, (Timestamp, Timestamp))>,
    fired_at: Timestamp,
    over_at: Option<Timestamp>,
    /// Up to when it was drawn: the newest stretch is seldom whole.
    until: Timestamp,
    versions: Vec<Release>,
}

impl Picture {
    /// The picture of an alert; nothing where its account has no course.
    pub fn of(crossing: &Crossing) -> Option<Self> {
        let account = crossing.account.as_ref()?;
        let course = account.around.course.clone().filter(|course| course.points.len() >= 2)?;
        let agent = crossing.labels.get("agent").map_or(String::new(), |agent| format!(" of {}", line(agent, 40)));
        let name = capital(&line(&measure_name(&account.measure), 60));
        let versions = account.around.versions.iter();
        Some(Self {
            title: format!("{name}{agent}, every {}, UTC", step(course.width)),
            measure: account.measure.clone(),
            changed: account.changed_at.map(|at| (at, account.changed_between.unwrap_or((at, at)))),
            fired_at: crossing.started_at,
            over_at: is_over(crossing).then_some(crossing.at),
            until: crossing.at,
            versions: versions.map(|r| Release { at: r.at, version: line(&r.version, 24) }).collect(),
            course,
        })
    }

    /// The picture in words, for those who do not see it.
    pub fn words(&self) -> String {
        let scale = self.scale();
        let beyond = self.course.points.iter().filter(|p| is_beyond(p)).count();
        let (first, last) = self.ends();
        let newest = self.course.points.last().map_or(String::new(), |p| scale.value(p.value));
        format!(
            "{}: {} points from {} to {}, {beyond} of them outside the limits about {}; the newest is {newest}.",
            self.title,
            count(self.course.points.len() as u64),
            moment(first),
            moment_after(first, last),
            scale.value(self.course.centre),
        )
    }

    /// What the signs of the picture mean, in one line.
    pub fn legend(&self) -> String {
        let step = step(self.course.width);
        let step = if self.course.width == Span::HOUR { "an hour" } else { &step };
        let bound = if self.course.bound.is_some() { ", dashed line: the rule's bound" } else { "" };
        format!(
            "Each point is {step}; red ones lie outside the limits (band: three sigma for their number of cases). Blue \
             line: the baseline's level{bound}. Shaded: when the change began."
        )
    }

    /// The picture as PNG, at twice the [`SIZE`] in pixels. Nothing where it cannot be drawn.
    pub fn png(&self) -> Option<Vec<u8>> {
        self.chart().draw(Layout::MAIL).png()
    }

    fn chart(&self) -> ControlChart {
        let Course { points, centre, bound, width } = &self.course;
        let points = points.iter().map(|p| {
            let CoursePoint { at, n, value, low, high } = *p;
            ControlPoint { at, end: self.end_of(p), value, low, high, n, run: false }
        });
        ControlChart {
            title: self.title.clone(),
            axes: (String::new(), String::new()),
            scale: self.scale(),
            width: *width,
            points: points.collect(),
            centre: *centre,
            bound: *bound,
            name_limits: false,
            changes: self.changed.into_iter().collect(),
            marks: self.marks(),
            versions: self.versions.clone(),
            until: self.over_at.unwrap_or(self.fired_at),
        }
    }

    /// Moments that are named; the most recent one has its place first.
    fn marks(&self) -> Vec<Mark> {
        let (first, _) = self.ends();
        let clock = |at: Timestamp| moment(at).split(' ').nth(1).unwrap_or_default().to_owned();
        let mark = |name: &str, at: Timestamp, ink: Ink, line: bool| {
            let when = if at < first { "earlier".to_owned() } else { clock(at) };
            Mark { at, name: format!("{name} {when}"), ink, line: line && at >= first }
        };
        let over = self.over_at.map(|over| mark("over", over, Ink::Over, true));
        let change = self.changed.map(|(began, _)| mark("change", began, Ink::Alarm, false));
        over.into_iter().chain([mark("alert", self.fired_at, Ink::Text, true)]).chain(change).collect()
    }

    fn scale(&self) -> Scale {
        let Course { points, centre, bound, .. } = &self.course;
        let (low, high) = (median(points.iter().map(|p| p.low)), median(points.iter().map(|p| p.high)));
        let levels = [Some(*centre), *bound].into_iter().flatten().map(|value| Estimate { value, low, high });
        Scale::of(&self.measure, &levels.collect::<Vec<_>>())
    }

    /// Beginning and end of what is shown.
    fn ends(&self) -> (Timestamp, Timestamp) {
        let points = &self.course.points;
        let first = points.first().map_or(self.fired_at, |p| p.at);
        let last = points.last().map_or(self.fired_at, |p| self.end_of(p));
        (first, last)
    }

    /// The end of a point's stretch of time.
    fn end_of(&self, point: &CoursePoint) -> Timestamp {
        let end = point.at.plus(self.course.width);
        if point.at < self.until { end.min(self.until) } else { end }
    }
}

/// A stretch of time in words: `hour`, `3 hours`, `5 minutes`.
fn step(width: Span) -> String {
    let hours = width.as_millis() / Span::HOUR.as_millis();
    match hours {
        0 => format!("{} minutes", width.as_millis() / Span::MINUTE.as_millis()),
        1 => "hour".to_owned(),
        n => format!("{n} hours"),
    }
}

fn is_beyond(point: &CoursePoint) -> bool {
    point.value < point.low || point.value > point.high
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(
        measure: Measure,
        points: &[(i64, f64, u64)],
        (centre, half): (f64, f64),
        bound: Option<f64>,
    ) -> Picture {
        let at = |hours: i64| Timestamp::from_millis(1_790_863_200_000).plus(Span::HOUR.times(hours));
        let points = points.iter().map(|(hour, value, n)| {
            let (low, high) = (centre - half, centre + half);
            CoursePoint { at: at(*hour), n: *n, value: *value, low, high }
        });
        Picture {
            title: "A title that is much longer than what there is room for in any picture of this size, ".repeat(3),
            measure,
            course: Course { width: Span::HOUR, centre, bound, points: points.collect() },
            changed: Some((at(2), (at(-900), at(900)))),
            fired_at: at(3),
            over_at: None,
            until: at(3),
            versions: vec![
                Release { at: at(1), version: "x".repeat(24) },
                Release { at: at(-5), version: String::new() },
            ],
        }
    }

    fn steps(values: &[f64]) -> Vec<(i64, f64, u64)> {
        values.iter().enumerate().map(|(hour, value)| (hour as i64, *value, 100)).collect()
    }

    #[test]
    fn every_course_is_drawn_whatever_its_numbers() {
        for (measure, values, centre, half, bound) in [
            (Measure::Accuracy, vec![1.0, 1.0, 1.0], 1.0, 0.0, Some(0.98)),
            (Measure::EscalationRate, vec![0.0, 0.0], 0.0, 0.0, None),
            (Measure::Cost, vec![0.0125, 0.0131, 1e-9], 0.0125, 0.001, Some(0.014)),
            (Measure::Tokens, vec![1e6, 2e6, 1.5e6], 1e6, 1e5, None),
            (Measure::Metric("m".to_owned()), vec![1e300, 1e300], 1e300, 0.0, None),
            (Measure::Metric("m".to_owned()), vec![-1e12, 1e12, 0.0], 0.0, 1.0, Some(-5.0)),
        ] {
            let picture = picture(measure, &steps(&values), (centre, half), bound);
            let png = picture.png().unwrap();
            assert_eq!(png.get(..8), Some(&b"\x89PNG\r\n\x1a\n"[..]), "{values:?}");
            assert!(picture.words().contains("points from"), "{}", picture.words());
        }
    }

    #[test]
    fn a_point_beyond_its_limits_is_counted_in_words() {
        let told = picture(Measure::Accuracy, &steps(&[0.94, 0.95, 0.85]), (0.94, 0.03), None).words();
        assert!(told.ends_with("3 points from 2026-10-01 14:00 UTC to 17:00 UTC, 1 of them outside the limits about 94.0 %; the newest is 85.0 %."), "{told}");
    }
}
