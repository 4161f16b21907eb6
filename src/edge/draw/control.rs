//! A control chart: each point a stretch of time, the band within which it lies while all is well for so many cases, the level it
//! is compared with, a bound, when changes began, alerts, phases by version.

use super::axes::{Axis, Beside, Layout, SMALL, Times, draw_rims, name_lines, small};
use super::canvas::{Anchor, Canvas, Ink, Letters, Pen};
use crate::edge::figures::Scale;
use crate::engine::around::Release;
use crate::engine::units::{Span, Timestamp};

/// One point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::edge) struct ControlPoint {
    /// Its stretch of time.
    pub(in crate::edge) at: Timestamp,
    pub(in crate::edge) end: Timestamp,
    /// What is plotted.
    pub(in crate::edge) value: f64,
    /// Its limits.
    pub(in crate::edge) low: f64,
    pub(in crate::edge) high: f64,
    /// Cases.
    pub(in crate::edge) n: u64,
    /// Whether a run rule fires at it; a point beyond its limits is marked by itself.
    pub(in crate::edge) run: bool,
}

impl ControlPoint {
    /// Whether it lies outside its limits.
    pub(in crate::edge) fn is_beyond(&self) -> bool {
        self.value < self.low || self.value > self.high
    }
}

/// A moment with a name above the plot.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::edge) struct Mark {
    pub(in crate::edge) at: Timestamp,
    pub(in crate::edge) name: String,
    pub(in crate::edge) ink: Ink,
    /// Whether a line stands at it.
    pub(in crate::edge) line: bool,
}

/// What is drawn. Names are whole lines of clean text.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::edge) struct ControlChart {
    /// The picture's own title, where it stands alone.
    pub(in crate::edge) title: String,
    /// What is plotted, and over what, with units.
    pub(in crate::edge) axes: (String, String),
    pub(in crate::edge) scale: Scale,
    /// How long one point is: a longer distance between two is a hole.
    pub(in crate::edge) width: Span,
    pub(in crate::edge) points: Vec<ControlPoint>,
    /// The level points are compared with.
    pub(in crate::edge) centre: f64,
    pub(in crate::edge) bound: Option<f64>,
    /// Whether the limits are named beside the plot.
    pub(in crate::edge) name_limits: bool,
    /// When changes began, with the interval of that.
    pub(in crate::edge) changes: Vec<(Timestamp, (Timestamp, Timestamp))>,
    /// Moments; where two would touch, the earlier in this list has its place.
    pub(in crate::edge) marks: Vec<Mark>,
    pub(in crate::edge) versions: Vec<Release>,
    /// Up to when the picture reaches, at least.
    pub(in crate::edge) until: Timestamp,
}

impl ControlChart {
    /// The chart in a layout.
    pub(in crate::edge) fn draw(&self, layout: Layout) -> Canvas {
        let mut canvas = Canvas::new(layout.size);
        let (width, height) = layout.size;
        if layout.alone {
            canvas.panel((0.0, 0.0, width, height), 8.0, Ink::Edge);
            canvas.panel((1.0, 1.0, width - 1.0, height - 1.0), 7.0, Ink::Paper);
            self.draw_title(&mut canvas, width);
        } else {
            layout.name_axes(&mut canvas, &self.axes.0, &self.axes.1);
        }
        let (first, last) = self.ends();
        let times = Times::of(layout, (first, last.max(self.until)));
        let levels = self.levels(layout);
        levels.draw(&mut canvas, layout.plot);
        times.draw(&mut canvas, layout.plot.3);
        draw_rims(&mut canvas, layout.plot);
        self.draw_changes(&mut canvas, layout, &times);
        self.draw_limits(&mut canvas, layout, (&times, &levels));
        times.draw_versions(&mut canvas, layout.plot, &self.versions, (first, last));
        self.draw_points(&mut canvas, layout, (&times, &levels));
        self.draw_marks(&mut canvas, layout, &times);
        canvas
    }

    /// The title, cut where it is too long.
    fn draw_title(&self, canvas: &mut Canvas, width: f32) {
        const HEIGHT: f32 = 13.0;
        let title = canvas.fitted(&self.title, HEIGHT, width - 32.0).unwrap_or_default();
        canvas.words(&title, (16.0, 24.0), Letters { size: HEIGHT, anchor: Anchor::Start, ink: Ink::Text });
    }

    /// Cases of a usual point.
    fn usual(&self) -> f64 {
        median(self.points.iter().map(|p| p.n as f64))
    }

    /// Beginning and end of what is shown.
    fn ends(&self) -> (Timestamp, Timestamp) {
        let first = self.points.first().map_or(self.until, |p| p.at);
        (first, self.points.last().map_or(self.until, |p| p.end))
    }

    fn levels(&self, layout: Layout) -> Axis {
        // The usual width of the band; stretches of few cases have wide ones, which may leave the plot.
        let half = median(self.points.iter().map(|p| (p.high - self.centre).max(self.centre - p.low)));
        let usual = self.usual();
        let values = self.points.iter().filter(|p| !is_thin(p, usual)).map(|p| p.value);
        let all = values.chain([self.centre - half, self.centre + half, self.centre]).chain(self.bound);
        let negative = self.points.iter().any(|p| p.value < 0.0);
        Axis::of(all, negative, self.scale, (layout.plot.3, layout.plot.1))
    }

    /// The intervals in which changes began, and their likeliest moments.
    fn draw_changes(&self, canvas: &mut Canvas, layout: Layout, times: &Times) {
        let (_, top, _, bottom) = layout.plot;
        for (at, (earliest, latest)) in &self.changes {
            canvas.clip(Some(layout.plot));
            let (a, b) = (times.x(*earliest), times.x(*latest));
            // On a page several changes may lie over one another: their intervals stand at the foot of the plot.
            let top = if layout.alone { top } else { bottom - 9.0 };
            canvas.area([(a, top), (b, top), (b, bottom), (a, bottom)], Ink::Shade);
            let (x, top) = (times.x(*at), layout.plot.1);
            canvas.line([(x, top), (x, bottom)], Pen { ink: Ink::Alarm, width: 1.2, dash: Some((5.0, 3.0)) });
            canvas.clip(None);
        }
    }

    fn draw_limits(&self, canvas: &mut Canvas, layout: Layout, (times, levels): (&Times, &Axis)) {
        canvas.clip(Some(layout.plot));
        let (left, _, right, _) = layout.plot;
        for part in self.runs() {
            let step = |p: &ControlPoint, level: f64| {
                let y = levels.row(level);
                [(times.x(p.at), y), (times.x(p.end), y)]
            };
            let low: Vec<_> = part.iter().flat_map(|p| step(p, p.low)).collect();
            let high: Vec<_> = part.iter().flat_map(|p| step(p, p.high)).collect();
            canvas.area(high.iter().copied().chain(low.iter().copied().rev()), Ink::Band);
            let pen = Pen { ink: Ink::Limit, width: 1.0, dash: None };
            canvas.line(low, pen);
            canvas.line(high, pen);
        }
        let y = levels.row(self.centre);
        canvas.line([(left, y), (right, y)], Pen { ink: Ink::Centre, width: 1.4, dash: None });
        if let Some(bound) = self.bound {
            let y = levels.row(bound);
            canvas.line([(left, y), (right, y)], Pen { ink: Ink::Bound, width: 1.2, dash: Some((6.0, 4.0)) });
        }
        canvas.clip(None);
        let beside = |name: &str, level: f64, ink: Ink| {
            let value = self.scale.value(level).trim_end_matches(" tokens").to_owned();
            Beside { name: name.to_owned(), value, y: levels.row(level), ink }
        };
        let mut names = vec![beside("baseline", self.centre, Ink::Centre)];
        names.extend(self.bound.map(|bound| beside("bound", bound, Ink::Bound)));
        let usual = self.usual();
        let last = self.points.iter().rfind(|point| !is_thin(point, usual));
        if let Some(last) = last.filter(|_| self.name_limits) {
            names.push(beside("upper limit", last.high, Ink::Faint));
            names.push(beside("lower limit", last.low, Ink::Faint));
        }
        name_lines(canvas, layout, names);
    }

    fn draw_points(&self, canvas: &mut Canvas, layout: Layout, (times, levels): (&Times, &Axis)) {
        let middle = |p: &ControlPoint| (f32::midpoint(times.x(p.at), times.x(p.end)), levels.row(p.value));
        canvas.clip(Some(layout.plot));
        for part in self.runs() {
            canvas.line(part.iter().map(middle), Pen { ink: Ink::Faint, width: 1.2, dash: None });
        }
        canvas.clip(None);
        let (left, top, right, bottom) = layout.plot;
        let usual = self.usual();
        // Many points on little room are drawn small.
        let crowded = !layout.alone && (right - left) / (self.points.len() as f32) < 7.0;
        let size = if crowded { 0.6 } else { 1.0 };
        for point in &self.points {
            let (x, y) = middle(point);
            let at = (x, y.clamp(top, bottom));
            let ink = match (point.is_beyond(), point.run) {
                (true, _) => Ink::Alarm,
                (false, true) => Ink::Bound,
                (false, false) => Ink::Text,
            };
            let radius = if point.is_beyond() { 4.0 } else { 3.2 } * size;
            canvas.disc(at, radius + 1.0 * size, Ink::Paper);
            canvas.disc(at, radius, ink);
            // Points of few cases are hollow.
            if is_thin(point, usual) {
                canvas.disc(at, radius - 1.3 * size, Ink::Paper);
            }
        }
    }

    /// Names of moments, above the plot, moved aside where they would touch, and left out where there is no room.
    fn draw_marks(&self, canvas: &mut Canvas, layout: Layout, times: &Times) {
        let (left, top, right, bottom) = layout.plot;
        let (y, last) = (top - 20.0, layout.size.0 - 16.0);
        let mut taken: Vec<(f32, f32)> = Vec::new();
        for Mark { at, name, ink, line } in &self.marks {
            let x = times.x(*at).clamp(left, right);
            if *line {
                canvas.line([(x, top - 14.0), (x, bottom)], Pen { ink: *ink, width: 1.2, dash: None });
            }
            let width = canvas.width(name, SMALL);
            let mut start = (x - width / 2.0).clamp(left, (last - width).max(left));
            let meets = |start: f32| taken.iter().find(|(a, b)| start < b + 8.0 && start + width > a - 8.0).copied();
            if let Some((from, to)) = meets(start) {
                let fits = |s: &f32| *s >= 16.0 && s + width <= last && meets(*s).is_none();
                let mut places = [from - 8.0 - width, to + 8.0];
                if !layout.alone && x >= f32::midpoint(from, to) - 0.5 {
                    places.reverse();
                }
                let Some(aside) = places.into_iter().find(fits) else { continue };
                start = aside;
            }
            canvas.words(name, (start, y), small(Anchor::Start, *ink));
            taken.push((start, start + width));
        }
    }

    /// The points cut where stretches of time are missing.
    fn runs(&self) -> impl Iterator<Item = &[ControlPoint]> {
        self.points.chunk_by(|a, b| b.at.since(a.at) <= self.width)
    }
}

/// Whether a point rests on so few cases, compared with the others, that it says little: it is drawn hollow, and may lie at
/// the edge of the plot.
fn is_thin(point: &ControlPoint, usual: f64) -> bool {
    (point.n as f64) * 3.0 < usual
}

/// The middle one of these values; 0 where there are none.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::svg::Naming;
    use super::*;

    fn chart(values: &[(i64, f64, u64)]) -> ControlChart {
        let at = |hours: i64| Timestamp::from_millis(1_790_863_200_000).plus(Span::HOUR.times(hours));
        let points = values.iter().map(|(hour, value, n)| ControlPoint {
            at: at(*hour),
            end: at(hour + 1),
            value: *value,
            low: 0.91,
            high: 0.97,
            n: *n,
            run: false,
        });
        ControlChart {
            title: String::new(),
            axes: ("accuracy, % of labelled outputs".to_owned(), "hour of the output, UTC".to_owned()),
            scale: Scale::percent(1),
            width: Span::HOUR,
            points: points.collect(),
            centre: 0.94,
            bound: Some(0.92),
            name_limits: true,
            changes: vec![(at(2), (at(1), at(3)))],
            marks: ["A1", "A2", "A3"]
                .map(|name| Mark { at: at(2), name: name.to_owned(), ink: Ink::Text, line: true })
                .to_vec(),
            versions: vec![Release { at: at(1), version: "41".to_owned() }],
            until: at(3),
        }
    }

    #[test]
    fn axes_have_round_levels_and_points_of_few_cases_do_not_stretch_them() {
        let chart = chart(&[(0, 0.94, 100), (1, 0.95, 100), (2, 0.93, 100), (3, 0.89, 100), (4, 0.0, 2)]);
        let axes = chart.levels(Layout::MAIL);
        assert!(axes.low > 0.85 && axes.high < 1.0, "{} {}", axes.low, axes.high);
        let names: Vec<_> = axes.levels().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["90 %", "92 %", "94 %", "96 %"]);
        let times: Vec<_> = Times::of(Layout::MAIL, chart.ends()).ticks().into_iter().map(|(_, name)| name).collect();
        assert_eq!(times, ["14:00", "15:00", "16:00", "17:00", "18:00", "19:00"]);
    }

    #[test]
    fn a_picture_says_what_its_lines_are_and_marks_that_have_no_room_are_left_out() {
        let naming = Naming { id: "c", title: "t", description: "d" };
        let chart = chart(&[(0, 0.94, 100), (1, 0.95, 100), (2, 0.85, 100)]);
        for layout in [Layout::WIDE, Layout::NARROW] {
            let svg = chart.draw(layout).svg(naming);
            for told in
                ["accuracy, %", "hour of the output", "baseline", "94.0 %", "bound", "upper limit", "lower limit", "41"]
            {
                assert!(svg.contains(told), "{told}: {svg}");
            }
            assert_eq!(svg.matches(">A").count(), 3, "{svg}");
            assert_eq!(svg.matches("var(--ink-alarm,#c62828)").count(), 2, "the point and the change: {svg}");
        }
        let mut crowd = chart;
        crowd.marks = (0..90).flat_map(|_| crowd.marks.clone()).take(90).collect();
        assert!(crowd.draw(Layout::NARROW).svg(naming).matches(">A").count() < 10);
    }
}
