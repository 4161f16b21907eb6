//! Lines over time: a level with its interval, percentiles, a share; beside them levels that they are compared with.

use super::axes::{Axis, Beside, Layout, Times, draw_rims, name_lines};
use super::canvas::{Canvas, Ink, Pen};
use crate::edge::figures::Scale;
use crate::engine::around::Release;
use crate::engine::units::{Estimate, Span, Timestamp};

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::edge) struct Line {
    pub(in crate::edge) name: String,
    pub(in crate::edge) ink: Ink,
    /// The beginning of each stretch of time, and its level with an interval; one without width has no band.
    pub(in crate::edge) points: Vec<(Timestamp, Estimate)>,
    pub(in crate::edge) band: bool,
    /// The level over all of it, told beside the plot.
    pub(in crate::edge) whole: Option<f64>,
}

/// A level that lines are compared with.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::edge) struct Reference {
    pub(in crate::edge) name: String,
    pub(in crate::edge) level: f64,
    pub(in crate::edge) ink: Ink,
}

/// What is drawn. Names are whole lines of clean text.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::edge) struct Course {
    /// What is plotted, and over what, with units.
    pub(in crate::edge) axes: (String, String),
    pub(in crate::edge) scale: Scale,
    /// How long one stretch of time is: a longer distance between two is a hole.
    pub(in crate::edge) width: Span,
    pub(in crate::edge) lines: Vec<Line>,
    pub(in crate::edge) references: Vec<Reference>,
    pub(in crate::edge) versions: Vec<Release>,
    /// What time is shown.
    pub(in crate::edge) ends: (Timestamp, Timestamp),
    /// Whether the axis begins at 0.
    pub(in crate::edge) from_zero: bool,
}

impl Course {
    /// The chart in a layout.
    pub(in crate::edge) fn draw(&self, layout: Layout) -> Canvas {
        let mut canvas = Canvas::new(layout.size);
        layout.name_axes(&mut canvas, &self.axes.0, &self.axes.1);
        let times = Times::of(layout, self.ends);
        let levels = self.levels(layout);
        levels.draw(&mut canvas, layout.plot);
        times.draw(&mut canvas, layout.plot.3);
        draw_rims(&mut canvas, layout.plot);
        canvas.clip(Some(layout.plot));
        for line in self.lines.iter().filter(|line| line.band) {
            self.draw_band(&mut canvas, line, (&times, &levels));
        }
        let (left, _, right, _) = layout.plot;
        for reference in &self.references {
            let y = levels.row(reference.level);
            let dash = (reference.ink == Ink::Bound).then_some((6.0, 4.0));
            canvas.line([(left, y), (right, y)], Pen { ink: reference.ink, width: 1.3, dash });
        }
        for line in &self.lines {
            self.draw_line(&mut canvas, line, (&times, &levels));
        }
        canvas.clip(None);
        times.draw_versions(&mut canvas, layout.plot, &self.versions, self.ends);
        self.name(&mut canvas, layout, &levels);
        canvas
    }

    fn levels(&self, layout: Layout) -> Axis {
        let all = || self.lines.iter().flat_map(|line| &line.points);
        // Stretches of few cases have wide intervals, which may leave the plot.
        let half = super::control::median(all().map(|(_, e)| (e.high - e.value).max(e.value - e.low)));
        let ends = all().flat_map(|(_, e)| [e.value, e.high.min(e.value + half), e.low.max(e.value - half)]);
        let others = self.references.iter().map(|r| r.level).chain(self.from_zero.then_some(0.0));
        let axis = Axis::of(ends.chain(others), false, self.scale, (layout.plot.3, layout.plot.1));
        if self.from_zero { axis.begun_at_zero() } else { axis }
    }

    /// The middle of a stretch of time.
    fn column(&self, times: &Times, at: Timestamp) -> f32 {
        times.x(at.plus(Span::from_millis(self.width.as_millis() / 2)))
    }

    fn runs<'l>(&self, line: &'l Line) -> impl Iterator<Item = &'l [(Timestamp, Estimate)]> + use<'l> {
        let width = self.width;
        line.points.chunk_by(move |(a, _), (b, _)| b.since(*a) <= width)
    }

    fn draw_band(&self, canvas: &mut Canvas, line: &Line, (times, levels): (&Times, &Axis)) {
        for part in self.runs(line) {
            let edge = |level: fn(&Estimate) -> f64| {
                part.iter().map(move |(at, e)| (self.column(times, *at), levels.row(level(e))))
            };
            match part {
                // One stretch alone has a whisker.
                [_] => canvas
                    .line(edge(|e| e.low).chain(edge(|e| e.high)), Pen { ink: Ink::Limit, width: 1.0, dash: None }),
                _ => canvas.area(edge(|e| e.high).chain(edge(|e| e.low).rev()), Ink::Band),
            }
        }
    }

    fn draw_line(&self, canvas: &mut Canvas, line: &Line, (times, levels): (&Times, &Axis)) {
        for part in self.runs(line) {
            let points: Vec<_> = part.iter().map(|(at, e)| (self.column(times, *at), levels.row(e.value))).collect();
            // A stretch alone makes no line.
            if let [alone] = points.as_slice() {
                canvas.disc(*alone, 2.2, line.ink);
            }
            canvas.line(points, Pen { ink: line.ink, width: 1.6, dash: None });
        }
    }

    /// Names of lines and levels right of the plot, a line's with its level over all of it.
    fn name(&self, canvas: &mut Canvas, layout: Layout, levels: &Axis) {
        let lines = self.lines.iter().filter_map(|line| {
            let (_, last) = line.points.last()?;
            Some((line.name.clone(), line.whole.unwrap_or(last.value), line.ink))
        });
        let references = self.references.iter().map(|r| (r.name.clone(), r.level, r.ink));
        let beside = |(name, level, ink)| Beside { name, value: self.scale.value(level), y: levels.row(level), ink };
        name_lines(canvas, layout, lines.chain(references).map(beside).collect());
    }
}
