//! The control chart of an incident as a picture: each point a stretch of time, the band within which it lies while all
//! is well for so many cases, the baseline's level, the rule's bound, the change point with its interval, versions.
//!
//! The panel is white whatever the reader's scheme: a mail program that darkens mails leaves pictures as they are, and a
//! chart on a transparent ground would lose its lines there.

use super::canvas::{Anchor, Canvas, Ink, Letters, Pen};
use super::clean::line;
use super::facts::capital;
use super::figures::{Scale, count, measure_name, moment, moment_after};
use super::page::is_over;
use crate::engine::alert::Crossing;
use crate::engine::around::{Course, CoursePoint, Release};
use crate::engine::rule::Measure;
use crate::engine::units::{Estimate, Span, Timestamp};

/// Width and height of the picture as it is shown, in CSS pixels.
pub const SIZE: (f32, f32) = (600.0, 280.0);

const PAPER: Ink = (255, 255, 255, 255);
const EDGE: Ink = (214, 219, 226, 255);
const TEXT: Ink = (32, 38, 46, 255);
const FAINT: Ink = (98, 106, 118, 255);
const GRID: Ink = (236, 239, 243, 255);
const BAND: Ink = (37, 99, 168, 26);
const LIMIT: Ink = (37, 99, 168, 120);
const CENTRE: Ink = (37, 99, 168, 255);
const BOUND: Ink = (176, 106, 0, 255);
const ALARM: Ink = (198, 40, 40, 255);
const SHADE: Ink = (198, 40, 40, 22);
const OVER: Ink = (46, 125, 50, 255);

/// The plot: left, top, right, bottom.
const PLOT: (f32, f32, f32, f32) = (56.0, 62.0, 514.0, 248.0);

/// Size of all words but the title.
const SMALL: f32 = 10.0;

const fn small(anchor: Anchor, ink: Ink) -> Letters {
    Letters { size: SMALL, anchor, ink }
}

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
        let mut canvas = Canvas::new(SIZE.0, SIZE.1)?;
        canvas.panel((0.0, 0.0, SIZE.0, SIZE.1), 8.0, EDGE);
        canvas.panel((1.0, 1.0, SIZE.0 - 1.0, SIZE.1 - 1.0), 7.0, PAPER);
        self.draw_title(&mut canvas);
        let axes = Axes::of(self);
        axes.draw(&mut canvas);
        self.draw_change(&mut canvas, &axes);
        self.draw_limits(&mut canvas, &axes);
        self.draw_versions(&mut canvas, &axes);
        self.draw_points(&mut canvas, &axes);
        self.draw_marks(&mut canvas, &axes);
        canvas.png()
    }

    /// The title, cut where it is too long.
    fn draw_title(&self, canvas: &mut Canvas<'_>) {
        const HEIGHT: f32 = 13.0;
        let mut title = self.title.clone();
        let mut room = title.chars().count();
        while canvas.width(&title, HEIGHT) > SIZE.0 - 32.0 && room > 1 {
            room -= 1;
            title = line(&self.title, room);
        }
        canvas.words(&title, (16.0, 24.0), Letters { size: HEIGHT, anchor: Anchor::Start, ink: TEXT });
    }

    fn scale(&self) -> Scale {
        let Course { points, centre, bound, .. } = &self.course;
        let (low, high) = (median(points.iter().map(|p| p.low)), median(points.iter().map(|p| p.high)));
        let levels = [Some(*centre), *bound].into_iter().flatten().map(|value| Estimate { value, low, high });
        Scale::of(&self.measure, &levels.collect::<Vec<_>>())
    }

    /// Cases of a usual point.
    fn usual(&self) -> f64 {
        median(self.course.points.iter().map(|p| p.n as f64))
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

    /// The interval in which the change began, and its likeliest moment.
    fn draw_change(&self, canvas: &mut Canvas<'_>, axes: &Axes) {
        let Some((at, (earliest, latest))) = self.changed else { return };
        let (_, top, _, bottom) = PLOT;
        canvas.clip(Some(PLOT));
        let (a, b) = (axes.x(earliest), axes.x(latest));
        canvas.area([(a, top), (b, top), (b, bottom), (a, bottom)], SHADE);
        let x = axes.x(at);
        canvas.line([(x, top), (x, bottom)], Pen { ink: ALARM, width: 1.2, dash: Some((5.0, 3.0)) });
        canvas.clip(None);
    }

    fn draw_limits(&self, canvas: &mut Canvas<'_>, axes: &Axes) {
        canvas.clip(Some(PLOT));
        let (left, _, right, _) = PLOT;
        for part in runs(&self.course) {
            let step = |p: &CoursePoint, level: f64| {
                let y = axes.y(level);
                [(axes.x(p.at), y), (axes.x(self.end_of(p)), y)]
            };
            let low: Vec<_> = part.iter().flat_map(|p| step(p, p.low)).collect();
            let high: Vec<_> = part.iter().flat_map(|p| step(p, p.high)).collect();
            canvas.area(high.iter().copied().chain(low.iter().copied().rev()), BAND);
            let pen = Pen { ink: LIMIT, width: 1.0, dash: None };
            canvas.line(low, pen);
            canvas.line(high, pen);
        }
        let y = axes.y(self.course.centre);
        canvas.line([(left, y), (right, y)], Pen { ink: CENTRE, width: 1.4, dash: None });
        if let Some(bound) = self.course.bound {
            let y = axes.y(bound);
            canvas.line([(left, y), (right, y)], Pen { ink: BOUND, width: 1.2, dash: Some((6.0, 4.0)) });
        }
        canvas.clip(None);
        self.name_levels(canvas, axes);
    }

    /// Names of the two lines, right of the plot, moved apart where they would touch.
    fn name_levels(&self, canvas: &mut Canvas<'_>, axes: &Axes) {
        const APART: f32 = 25.0;
        let (_, top, right, bottom) = PLOT;
        let within = |y: f32| y.clamp(top + 4.0, bottom - 14.0);
        let mut centre = within(axes.y(self.course.centre));
        let scale = self.scale();
        let told = |level: f64| scale.value(level).trim_end_matches(" tokens").to_owned();
        if let Some(bound) = self.course.bound {
            let mut y = within(axes.y(bound));
            let gap = y - centre;
            if gap.abs() < APART {
                let push = (APART - gap.abs()) / 2.0 * if gap < 0.0 { -1.0 } else { 1.0 };
                (centre, y) = (within(centre - push), within(y + push));
            }
            canvas.words("bound", (right + 8.0, y), small(Anchor::Start, BOUND));
            canvas.words(&told(bound), (right + 8.0, y + 12.0), small(Anchor::Start, BOUND));
        }
        canvas.words("baseline", (right + 8.0, centre), small(Anchor::Start, CENTRE));
        canvas.words(&told(self.course.centre), (right + 8.0, centre + 12.0), small(Anchor::Start, CENTRE));
    }

    /// Phases by version: a line where one began and its name above the plot, where there is room for it.
    fn draw_versions(&self, canvas: &mut Canvas<'_>, axes: &Axes) {
        let (left, top, right, bottom) = PLOT;
        let (first, last) = self.ends();
        let mut shown: Vec<(f32, &str)> = Vec::new();
        for release in self.versions.iter().filter(|r| r.at < last) {
            if release.at <= first {
                // The one that ran when the picture begins.
                shown.clear();
                shown.push((left, &release.version));
            } else {
                let x = axes.x(release.at);
                canvas.line([(x, top - 14.0), (x, bottom)], Pen { ink: FAINT, width: 0.8, dash: Some((2.0, 3.0)) });
                shown.push((x, &release.version));
            }
        }
        let ends: Vec<f32> = shown.iter().skip(1).map(|(x, _)| *x).chain([right]).collect();
        for ((x, version), end) in shown.into_iter().zip(ends) {
            if canvas.width(version, SMALL) + 8.0 <= end - x {
                canvas.words(version, (x + 4.0, top - 5.0), small(Anchor::Start, FAINT));
            }
        }
    }

    fn draw_points(&self, canvas: &mut Canvas<'_>, axes: &Axes) {
        let middle = |p: &CoursePoint| (f32::midpoint(axes.x(p.at), axes.x(self.end_of(p))), axes.y(p.value));
        canvas.clip(Some(PLOT));
        for part in runs(&self.course) {
            canvas.line(part.iter().map(middle), Pen { ink: FAINT, width: 1.2, dash: None });
        }
        canvas.clip(None);
        let (_, top, _, bottom) = PLOT;
        let usual = self.usual();
        for point in &self.course.points {
            let (x, y) = middle(point);
            let at = (x, y.clamp(top, bottom));
            let ink = if is_beyond(point) { ALARM } else { TEXT };
            let radius = if is_beyond(point) { 4.0 } else { 3.2 };
            canvas.disc(at, radius + 1.0, PAPER);
            canvas.disc(at, radius, ink);
            // Points of few cases are hollow.
            if is_thin(point, usual) {
                canvas.disc(at, radius - 1.3, PAPER);
            }
        }
    }

    /// Names of moments, above the plot.
    fn draw_marks(&self, canvas: &mut Canvas<'_>, axes: &Axes) {
        let (left, top, right, bottom) = PLOT;
        let (first, _) = self.ends();
        let y = top - 20.0;
        let mut taken: Vec<(f32, f32)> = Vec::new();
        // Names are moved aside where they would touch, the most recent moment first.
        let mut mark = |canvas: &mut Canvas<'_>, x: f32, text: &str, ink: Ink| {
            let width = canvas.width(text, SMALL);
            let mut start = (x - width / 2.0).clamp(left, right + 70.0 - width);
            let meets = |start: f32| taken.iter().find(|(a, b)| start < b + 8.0 && start + width > a - 8.0).copied();
            if let Some((from, to)) = meets(start) {
                let aside = [from - 8.0 - width, to + 8.0].into_iter().find(|s| *s >= 16.0 && meets(*s).is_none());
                start = aside.unwrap_or(start);
            }
            canvas.words(text, (start, y), small(Anchor::Start, ink));
            taken.push((start, start + width));
        };
        let clock = |at: Timestamp| moment(at).split(' ').nth(1).unwrap_or_default().to_owned();
        let over = self.over_at.map(|over| ("over", over, OVER));
        for (name, at, ink) in over.into_iter().chain([("alert", self.fired_at, TEXT)]) {
            let x = axes.x(at).clamp(left, right);
            if at < first {
                mark(canvas, x, &format!("{name} earlier"), ink);
                continue;
            }
            canvas.line([(x, top - 14.0), (x, bottom)], Pen { ink, width: 1.2, dash: None });
            mark(canvas, x, &format!("{name} {}", clock(at)), ink);
        }
        if let Some((began, _)) = self.changed {
            let text = if began < first { "change earlier".to_owned() } else { format!("change {}", clock(began)) };
            mark(canvas, axes.x(began).clamp(left, right), &text, ALARM);
        }
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

/// Whether a point rests on so few cases, compared with the others, that it says little: it is drawn hollow, and may lie at
/// the edge of the plot.
fn is_thin(point: &CoursePoint, usual: f64) -> bool {
    (point.n as f64) * 3.0 < usual
}

/// The course cut where stretches of time are missing.
fn runs(course: &Course) -> impl Iterator<Item = &[CoursePoint]> {
    course.points.chunk_by(|a, b| b.at.since(a.at) <= course.width)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Where a moment and a level lie.
struct Axes {
    from: Timestamp,
    to: Timestamp,
    low: f64,
    high: f64,
    scale: Scale,
}

impl Axes {
    fn of(picture: &Picture) -> Self {
        let course = &picture.course;
        let (from, end) = picture.ends();
        let to = end.max(picture.over_at.unwrap_or(picture.fired_at));
        // The usual width of the band; stretches of few cases have wide ones, which may leave the plot.
        let half = median(course.points.iter().map(|p| (p.high - course.centre).max(course.centre - p.low)));
        let usual = picture.usual();
        let values = course.points.iter().filter(|p| !is_thin(p, usual)).map(|p| p.value);
        let all = values.chain([course.centre - half, course.centre + half, course.centre]).chain(course.bound);
        let (mut low, mut high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
        let room = ((high - low) * 0.06).max(low.abs().max(high.abs()) * 1e-6).max(1e-9);
        (low, high) = (low - room, high + room);
        if picture.scale().is_percent() {
            (low, high) = (low.max(0.0), high.min(1.0));
            if high >= 1.0 {
                high += room / 2.0;
            }
        } else if low < 0.0 && course.points.iter().all(|p| p.value >= 0.0) {
            low = 0.0;
        }
        Self { from, to, low, high: high.max(low + 1e-9), scale: picture.scale() }
    }

    /// Grid, ticks and their names.
    fn draw(&self, canvas: &mut Canvas<'_>) {
        let (left, top, right, bottom) = PLOT;
        let hair = |ink| Pen { ink, width: 1.0, dash: None };
        for (value, text) in self.levels() {
            let y = self.y(value);
            canvas.line([(left, y), (right, y)], hair(GRID));
            canvas.words(&text, (left - 8.0, y + 3.5), small(Anchor::End, FAINT));
        }
        for (at, text) in self.times() {
            let x = self.x(at);
            canvas.line([(x, bottom), (x, bottom + 4.0)], hair(EDGE));
            canvas.words(&text, (x, bottom + 17.0), small(Anchor::Middle, FAINT));
        }
        canvas.line([(left, bottom), (right, bottom)], hair(EDGE));
        canvas.line([(left, top), (left, bottom)], hair(EDGE));
    }

    /// The column of a moment; may lie outside the plot, never further than the picture is wide.
    fn x(&self, at: Timestamp) -> f32 {
        let (left, _, right, _) = PLOT;
        let whole = self.to.since(self.from).as_secs_f64().max(1.0);
        let share = (at.since(self.from).as_secs_f64() / whole).clamp(-1.0, 2.0);
        left + (right - left) * share as f32
    }

    fn y(&self, level: f64) -> f32 {
        let (_, top, _, bottom) = PLOT;
        let share = ((level - self.low) / (self.high - self.low)).clamp(-1.0, 2.0);
        bottom - (bottom - top) * share as f32
    }

    /// Three to six round levels with their names.
    fn levels(&self) -> Vec<(f64, String)> {
        let factor = if self.scale.is_percent() { 100.0 } else { 1.0 };
        let span = (self.high - self.low) * factor;
        let rough = 10_f64.powf((span / 4.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * rough).into_iter().find(|s| span / s <= 7.0).unwrap_or(span);
        let decimals = (-step.log10().floor()).clamp(0.0, 8.0) as usize;
        let first = (self.low * factor / step).ceil();
        if !first.is_finite() || first.abs() > 1e15 {
            return Vec::new();
        }
        let first = first as i64;
        let ticks = (first..first + 12).map(|k| k as f64 * step);
        let most = if self.scale.is_percent() { 100.0 } else { f64::INFINITY };
        let shown = ticks.take_while(|t| *t <= self.high * factor && *t <= most + 1e-9);
        shown.map(|t| (t / factor, self.scale.tick(t, decimals))).collect()
    }

    /// Round hours or minutes, at most nine, with their names; a day by its date.
    fn times(&self) -> Vec<(Timestamp, String)> {
        let whole = self.to.since(self.from);
        let minutes = [5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440].map(|m| Span::MINUTE.times(m));
        let step = minutes.into_iter().find(|step| whole.as_millis() / step.as_millis() <= 8).unwrap_or(Span::DAY);
        let first = self.from.floor(step);
        let all = (0..=9).map(|k| first.plus(step.times(k))).filter(|at| *at >= self.from && *at <= self.to);
        let name = |at: Timestamp| {
            let form = if at.floor(Span::DAY) == at { "%b %-d" } else { "%H:%M" };
            let at = jiff::Timestamp::from_millisecond(at.as_millis());
            at.map_or_else(|_| String::new(), |at| at.strftime(form).to_string())
        };
        all.map(|at| (at, name(at))).collect()
    }
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
    fn axes_have_round_levels_and_points_of_few_cases_do_not_stretch_them() {
        let mut points = steps(&[0.94, 0.95, 0.93, 0.89]);
        points.push((4, 0.0, 2));
        let axes = Axes::of(&picture(Measure::Accuracy, &points, (0.94, 0.03), Some(0.92)));
        assert!(axes.low > 0.85 && axes.high < 1.0, "{} {}", axes.low, axes.high);
        let names: Vec<_> = axes.levels().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["90 %", "92 %", "94 %", "96 %"]);
        let times: Vec<_> = axes.times().into_iter().map(|(_, name)| name).collect();
        assert_eq!(times, ["14:00", "15:00", "16:00", "17:00", "18:00", "19:00"]);
    }

    #[test]
    fn a_point_beyond_its_limits_is_counted_in_words() {
        let told = picture(Measure::Accuracy, &steps(&[0.94, 0.95, 0.85]), (0.94, 0.03), None).words();
        assert!(told.ends_with("3 points from 2026-10-01 14:00 UTC to 17:00 UTC, 1 of them outside the limits about 94.0 %; the newest is 85.0 %."), "{told}");
    }
}
