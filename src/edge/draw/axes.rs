//! Where charts lie: layouts, axes, round levels and moments, names beside the plot that keep apart.

use super::canvas::{Anchor, Canvas, Corners, Ink, Letters, Pen};
use crate::edge::figures::Scale;
use crate::engine::around::Release;
use crate::engine::units::{Span, Timestamp};

/// Size of all words but titles.
pub(super) const SMALL: f32 = 10.0;

/// Words of the usual size.
pub(super) const fn small(anchor: Anchor, ink: Ink) -> Letters {
    Letters { size: SMALL, anchor, ink }
}

/// A thin line.
pub(super) const fn hair(ink: Ink) -> Pen {
    Pen { ink, width: 1.0, dash: None }
}

/// How a chart is laid out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::edge) struct Layout {
    /// Width and height of the picture as it is shown, in CSS pixels.
    pub(in crate::edge) size: (f32, f32),
    /// The plot.
    pub(super) plot: Corners,
    /// Whether the picture has a white panel and a title of its own, and no names at its axes: mails have the words beside it.
    pub(super) alone: bool,
    /// The most ticks of an axis of time.
    pub(super) moments: i64,
}

impl Layout {
    /// In a mail.
    pub(in crate::edge) const MAIL: Self =
        Self { size: (600.0, 280.0), plot: (56.0, 62.0, 514.0, 248.0), alone: true, moments: 8 };
    /// The whole width of a page.
    pub(in crate::edge) const WIDE: Self =
        Self { size: (760.0, 270.0), plot: (50.0, 56.0, 654.0, 226.0), alone: false, moments: 9 };
    /// A phone, or half of a page.
    pub(in crate::edge) const NARROW: Self =
        Self { size: (360.0, 260.0), plot: (46.0, 56.0, 278.0, 216.0), alone: false, moments: 4 };

    /// The same with a plot of another height: as many rows as there are.
    pub(super) const fn with_height(self, plot: f32) -> Self {
        let (left, top, right, bottom) = self.plot;
        let more = top + plot - bottom;
        Self { size: (self.size.0, self.size.1 + more), plot: (left, top, right, bottom + more), ..self }
    }

    /// The names of the axes: what is plotted above the plot, what it is plotted over below.
    pub(super) fn name_axes(self, canvas: &mut Canvas, y: &str, x: &str) {
        let (left, _, right, bottom) = self.plot;
        let room = self.size.0 - 12.0;
        if let Some(text) = canvas.fitted(y, SMALL, room) {
            canvas.words(&text, (6.0, 14.0), small(Anchor::Start, Ink::Text));
        }
        let middle = f32::midpoint(left, right);
        if let Some(text) = canvas.fitted(x, SMALL, 2.0 * middle.min(self.size.0 - middle)) {
            canvas.words(&text, (middle, bottom + 34.0), small(Anchor::Middle, Ink::Text));
        }
    }
}

/// A straight axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// The value at its beginning and at its end.
    pub(super) low: f64,
    pub(super) high: f64,
    /// Where it begins and ends.
    pub(super) from: f32,
    pub(super) to: f32,
    pub(super) scale: Scale,
}

impl Axis {
    /// An axis that holds all of these values with some room about them; shares stay within 0 and 1, and what is never negative
    /// begins at 0 at the lowest.
    pub(super) fn of(values: impl Iterator<Item = f64>, negative: bool, scale: Scale, ends: (f32, f32)) -> Self {
        let finite = values.filter(|x| x.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
        let (mut low, mut high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let room = ((high - low) * 0.06).max(low.abs().max(high.abs()) * 1e-6).max(1e-9);
        (low, high) = (low - room, high + room);
        if scale.is_percent() {
            (low, high) = (low.max(0.0), high.min(1.0));
            if high >= 1.0 {
                high += room / 2.0;
            }
        } else if low < 0.0 && !negative {
            low = 0.0;
        }
        Self { low, high: high.max(low + 1e-9), from: ends.0, to: ends.1, scale }
    }

    /// The same axis from 0 on; what is 0 throughout has an axis that is read, too.
    pub(super) fn begun_at_zero(self) -> Self {
        let least = if self.scale.is_percent() { 0.01 } else { 1e-3 };
        Self { low: 0.0, high: if self.high < 1e-6 { least } else { self.high }, ..self }
    }

    /// Where a value lies; may lie outside, never further than the axis is long.
    pub(super) fn at(&self, value: f64) -> f32 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(-1.0, 2.0);
        self.from + (self.to - self.from) * share as f32
    }

    /// The row of a level on an upright axis.
    pub(super) fn row(&self, level: f64) -> f32 {
        let share = ((level - self.low) / (self.high - self.low)).clamp(-1.0, 2.0);
        self.from - (self.from - self.to) * share as f32
    }

    /// Three to six round levels with their names.
    pub(super) fn levels(&self) -> Vec<(f64, String)> {
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

    /// The grid of an upright axis, its ticks and the two axes.
    pub(super) fn draw(&self, canvas: &mut Canvas, (left, _, right, _): Corners) {
        for (value, text) in self.levels() {
            let y = self.row(value);
            canvas.line([(left, y), (right, y)], hair(Ink::Grid));
            canvas.words(&text, (left - 8.0, y + 3.5), small(Anchor::End, Ink::Faint));
        }
    }

    /// The ticks of a level axis, those left out that would touch their neighbour.
    pub(super) fn draw_below(&self, canvas: &mut Canvas, (_, top, _, bottom): Corners, grid: bool) {
        let mut free = f32::NEG_INFINITY;
        for (value, text) in self.levels() {
            let (x, half) = (self.at(value), canvas.width(&text, SMALL) / 2.0);
            let middle = x.max(half + 2.0);
            canvas.line(
                [(x, if grid { top } else { bottom }), (x, bottom + 4.0)],
                hair(if grid { Ink::Grid } else { Ink::Edge }),
            );
            if middle - half > free {
                canvas.words(&text, (middle, bottom + 17.0), small(Anchor::Middle, Ink::Faint));
                free = middle + half + 6.0;
            }
        }
    }
}

/// The lines left of and below a plot.
pub(super) fn draw_rims(canvas: &mut Canvas, (left, top, right, bottom): Corners) {
    canvas.line([(left, bottom), (right, bottom)], hair(Ink::Edge));
    canvas.line([(left, top), (left, bottom)], hair(Ink::Edge));
}

/// An axis of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) left: f32,
    pub(super) right: f32,
    /// The most ticks.
    pub(super) most: i64,
}

impl Times {
    /// From left to right of a layout's plot.
    pub(super) const fn of(layout: Layout, (from, to): (Timestamp, Timestamp)) -> Self {
        Self { from, to, left: layout.plot.0, right: layout.plot.2, most: layout.moments }
    }

    /// The column of a moment; may lie outside the plot, never further than the picture is wide.
    pub(super) fn x(&self, at: Timestamp) -> f32 {
        let whole = self.to.since(self.from).as_secs_f64().max(1.0);
        let share = (at.since(self.from).as_secs_f64() / whole).clamp(-1.0, 2.0);
        self.left + (self.right - self.left) * share as f32
    }

    /// Round days, hours or minutes with their names; a day by its date.
    pub(super) fn ticks(&self) -> Vec<(Timestamp, String)> {
        const MINUTES: [i64; 19] = [
            5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440, 2_880, 5_760, 7_200, 10_080, 20_160, 40_320, 80_640, 161_280,
            322_560,
        ];
        let whole = self.to.since(self.from);
        let fits = |step: &Span| whole.as_millis() / step.as_millis() <= self.most;
        let steps = MINUTES.map(|m| Span::MINUTE.times(m));
        let step = steps.into_iter().find(fits).unwrap_or(Span::DAY.times(896));
        let first = self.from.floor(step);
        let all =
            (0..=self.most + 1).map(|k| first.plus(step.times(k))).filter(|at| *at >= self.from && *at <= self.to);
        all.map(|at| (at, tick_name(at))).collect()
    }

    /// The ticks below a plot.
    pub(super) fn draw(&self, canvas: &mut Canvas, bottom: f32) {
        for (at, text) in self.ticks() {
            let x = self.x(at);
            canvas.line([(x, bottom), (x, bottom + 4.0)], hair(Ink::Edge));
            canvas.words(&text, (x, bottom + 17.0), small(Anchor::Middle, Ink::Faint));
        }
    }

    /// Phases by version: a line where one began and its name above the plot, where there is room for it.
    pub(super) fn draw_versions(
        &self,
        canvas: &mut Canvas,
        plot: Corners,
        versions: &[Release],
        ends: (Timestamp, Timestamp),
    ) {
        let (left, top, right, bottom) = plot;
        let (first, last) = ends;
        let mut shown: Vec<(f32, &str)> = Vec::new();
        for release in versions.iter().filter(|r| r.at < last) {
            if release.at <= first {
                // The one that ran when the picture begins.
                shown.clear();
                shown.push((left, &release.version));
            } else {
                let x = self.x(release.at);
                let pen = Pen { ink: Ink::Faint, width: 0.8, dash: Some((2.0, 3.0)) };
                canvas.line([(x, top - 14.0), (x, bottom)], pen);
                shown.push((x, &release.version));
            }
        }
        let ends: Vec<f32> = shown.iter().skip(1).map(|(x, _)| *x).chain([right]).collect();
        for ((x, version), end) in shown.into_iter().zip(ends) {
            if canvas.width(version, SMALL) + 8.0 <= end - x {
                canvas.words(version, (x + 4.0, top - 5.0), small(Anchor::Start, Ink::Faint));
            }
        }
    }
}

fn tick_name(at: Timestamp) -> String {
    let form = if at.floor(Span::DAY) == at { "%b %-d" } else { "%H:%M" };
    let at = jiff::Timestamp::from_millisecond(at.as_millis());
    at.map_or_else(|_| String::new(), |at| at.strftime(form).to_string())
}

/// A name right of the plot: what the line there is, and its value.
#[derive(Clone, Debug)]
pub(super) struct Beside {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) y: f32,
    pub(super) ink: Ink,
}

/// Writes names right of the plot, moved apart where they would touch. The first is written last.
pub(super) fn name_lines(canvas: &mut Canvas, layout: Layout, mut names: Vec<Beside>) {
    const APART: f32 = 25.0;
    let (_, top, right, bottom) = layout.plot;
    let within = |y: f32| y.clamp(top + 4.0, bottom - 14.0);
    let y_of = |names: &[Beside], at: &usize| names.get(*at).map_or(0.0, |name| name.y);
    let mut order: Vec<usize> = (0..names.len()).collect();
    if !layout.alone {
        // What is moved to the same edge keeps its order.
        order.sort_by(|a, b| y_of(&names, a).total_cmp(&y_of(&names, b)));
    }
    for name in &mut names {
        name.y = within(name.y);
    }
    order.sort_by(|a, b| y_of(&names, a).total_cmp(&y_of(&names, b)));
    for _ in 0..40 {
        let mut moved = false;
        for pair in order.windows(2) {
            let &[upper, lower] = pair else { continue };
            let gap = y_of(&names, &lower) - y_of(&names, &upper);
            if gap < APART - 0.01 {
                let push = (APART - gap) / 2.0;
                let ys = (within(y_of(&names, &upper) - push), within(y_of(&names, &lower) + push));
                moved |= ys != (y_of(&names, &upper), y_of(&names, &lower));
                for (at, y) in [(upper, ys.0), (lower, ys.1)] {
                    if let Some(name) = names.get_mut(at) {
                        name.y = y;
                    }
                }
            }
        }
        if !moved {
            break;
        }
    }
    let room = layout.size.0 - right - 10.0;
    for Beside { name, value, y, ink } in names.iter().rev() {
        for (text, y) in [(name, *y), (value, y + 12.0)] {
            let text = if layout.alone { Some(text.clone()) } else { canvas.fitted(text, SMALL, room) };
            canvas.words(&text.unwrap_or_default(), (right + 8.0, y), small(Anchor::Start, *ink));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_round_however_long_the_time() {
        let start = Timestamp::from_millis(1_772_409_600_000);
        for (days, most) in [(1, 4), (7, 9), (30, 4), (60, 9), (365, 4), (3_650, 9)] {
            let ends = (start, start.plus(Span::DAY.times(days)));
            let times = Times { from: ends.0, to: ends.1, left: 0.0, right: 300.0, most };
            let ticks = times.ticks();
            assert!(ticks.len() >= 2 && ticks.len() as i64 <= most + 1, "{days}: {ticks:?}");
            assert!(ticks.iter().all(|(at, _)| at.floor(Span::HOUR) == *at), "{ticks:?}");
        }
    }

    #[test]
    fn names_beside_the_plot_keep_apart() {
        let mut canvas = Canvas::new((360.0, 260.0));
        let names = [100.0, 101.0, 99.0, 400.0].map(|y| Beside {
            name: "a".to_owned(),
            value: "b".to_owned(),
            y,
            ink: Ink::Text,
        });
        name_lines(&mut canvas, Layout::NARROW, names.to_vec());
        let mut rows: Vec<f32> = canvas
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                super::super::canvas::Shape::Words { at, .. } => Some(at.1),
                _ => None,
            })
            .collect();
        rows.sort_by(f32::total_cmp);
        assert!(rows.windows(2).all(|pair| pair[1] - pair[0] >= 11.0), "{rows:?}");
    }
}
