//! Bars with intervals, one below the other: a level by version.

use super::axes::{Axis, Layout, SMALL, draw_rims, small};
use super::canvas::{Anchor, Canvas, Ink, Pen};
use crate::edge::figures::Scale;
use crate::engine::units::Estimate;

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::edge) struct Bar {
    pub(in crate::edge) name: String,
    pub(in crate::edge) level: Estimate,
}

/// What is drawn. Names are whole lines of clean text.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::edge) struct Bars {
    /// What stands at the bars, and what their length is, with its unit.
    pub(in crate::edge) axes: (String, String),
    pub(in crate::edge) scale: Scale,
    pub(in crate::edge) rows: Vec<Bar>,
    /// A level that bars are compared with, and its name.
    pub(in crate::edge) bound: Option<(f64, String)>,
}

/// Room of one bar: its name, and the bar below.
const ROW: f32 = 34.0;

impl Bars {
    /// The chart in a layout; as high as there are bars.
    pub(in crate::edge) fn draw(&self, layout: Layout) -> Canvas {
        let layout = layout.with_height(ROW * self.rows.len().max(1) as f32 + 6.0);
        let mut canvas = Canvas::new(layout.size);
        layout.name_axes(&mut canvas, &self.axes.0, &self.axes.1);
        let (_, top, right, bottom) = layout.plot;
        // Names stand above their bars, so that bars begin at the very left.
        let plot = (14.0, top, right, bottom);
        let ends = self.rows.iter().flat_map(|bar| [bar.level.value, bar.level.high]);
        let across = Axis::of(
            ends.chain([0.0]).chain(self.bound.as_ref().map(|(at, _)| *at)),
            false,
            self.scale,
            (plot.0, right),
        )
        .begun_at_zero();
        across.draw_below(&mut canvas, plot, true);
        draw_rims(&mut canvas, plot);
        for (at, bar) in self.rows.iter().enumerate() {
            self.draw_bar(&mut canvas, bar, (&across, top + ROW * at as f32), layout.size.0);
        }
        if let Some((level, name)) = &self.bound {
            let x = across.at(*level);
            // Beside the bars alone: words stand above them.
            for at in 0..self.rows.len() {
                let row = top + ROW * at as f32;
                canvas.line(
                    [(x, row + 17.0), (x, row + ROW)],
                    Pen { ink: Ink::Bound, width: 1.3, dash: Some((4.0, 3.0)) },
                );
            }
            canvas.line([(x, top - 6.0), (x, top)], Pen { ink: Ink::Bound, width: 1.3, dash: None });
            let half = canvas.width(name, SMALL) / 2.0;
            let x = x.clamp(6.0 + half, (layout.size.0 - 6.0 - half).max(6.0 + half));
            canvas.words(name, (x, top - 10.0), small(Anchor::Middle, Ink::Bound));
        }
        canvas
    }

    fn draw_bar(&self, canvas: &mut Canvas, bar: &Bar, (across, top): (&Axis, f32), width: f32) {
        let Estimate { value, low, high } = bar.level;
        let (start, end, y) = (across.at(0.0), across.at(value), top + 25.0);
        let room = width - start - 8.0;
        let value = self.scale.value(value);
        let interval = if high > low { format!(" ({})", self.scale.interval(bar.level)) } else { String::new() };
        let told = format!("{value}{interval}");
        let name = canvas.fitted(&bar.name, SMALL, room - canvas.width(&told, SMALL) - 14.0).unwrap_or_default();
        canvas.words(&name, (start + 3.0, top + 13.0), small(Anchor::Start, Ink::Text));
        canvas.words(&told, (width - 8.0, top + 13.0), small(Anchor::End, Ink::Faint));
        canvas.area([(start, y - 6.0), (end, y - 6.0), (end, y + 6.0), (start, y + 6.0)], Ink::Band);
        canvas.line([(end, y - 6.0), (end, y + 6.0)], Pen { ink: Ink::Centre, width: 2.0, dash: None });
        if high > low {
            let pen = Pen { ink: Ink::Text, width: 1.2, dash: None };
            let (low, high) = (across.at(low), across.at(high));
            canvas.line([(low, y), (high, y)], pen);
            canvas.line([(low, y - 3.0), (low, y + 3.0)], pen);
            canvas.line([(high, y - 3.0), (high, y + 3.0)], pen);
        }
    }
}
