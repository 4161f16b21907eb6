//! What agents said of themselves against what came true: a point for each bin of confidence, and the line on which both agree.

use super::axes::{Axis, Layout, SMALL, draw_rims, small};
use super::canvas::{Anchor, Canvas, Ink, Pen};
use crate::edge::figures::Scale;
use crate::engine::units::Estimate;

/// Outputs of about one confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::edge) struct Bin {
    /// Mean confidence.
    pub(in crate::edge) said: f64,
    /// The share that was right.
    pub(in crate::edge) right: Estimate,
    /// How many were judged.
    pub(in crate::edge) n: u64,
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::edge) struct ReliabilityChart {
    /// What is plotted, and over what, with units.
    pub(in crate::edge) axes: (String, String),
    pub(in crate::edge) bins: Vec<Bin>,
}

impl ReliabilityChart {
    /// The chart in a layout.
    pub(in crate::edge) fn draw(&self, layout: Layout) -> Canvas {
        let mut canvas = Canvas::new(layout.size);
        layout.name_axes(&mut canvas, &self.axes.0, &self.axes.1);
        let (left, top, right, bottom) = layout.plot;
        let plot = (left, top, layout.size.0 - 16.0, bottom);
        let scale = Scale::percent(0);
        // Bins of few verdicts have intervals that say nothing; they may leave the plot.
        let told = self.bins.iter().filter(|bin| bin.n >= 10);
        let lowest = told.flat_map(|bin| [bin.said, bin.right.low]).fold(0.9, f64::min);
        let low = ((lowest - 0.02) * 10.0).floor().max(0.0) / 10.0;
        let levels = Axis { low, high: 1.0, from: bottom, to: top, scale };
        let across = Axis { low, high: 1.0, from: left, to: plot.2, scale };
        levels.draw(&mut canvas, plot);
        across.draw_below(&mut canvas, plot, false);
        draw_rims(&mut canvas, plot);
        canvas.clip(Some((left, top - 5.0, right.max(plot.2) + 5.0, bottom)));
        let diagonal = [(left, levels.row(low)), (plot.2, levels.row(1.0))];
        canvas.line(diagonal, Pen { ink: Ink::Centre, width: 1.4, dash: None });
        let most = self.bins.iter().map(|bin| bin.n).max().unwrap_or(1).max(1) as f32;
        for bin in &self.bins {
            let x = across.at(bin.said);
            let pen = Pen { ink: Ink::Limit, width: 1.4, dash: None };
            canvas.line([(x, levels.row(bin.right.low)), (x, levels.row(bin.right.high))], pen);
            let radius = 2.5 + 4.0 * (bin.n as f32 / most).sqrt();
            let off = bin.said < bin.right.low || bin.said > bin.right.high;
            canvas.disc((x, levels.row(bin.right.value)), radius, if off { Ink::Alarm } else { Ink::Text });
        }
        canvas.clip(None);
        let name = "line: as often right as said";
        let end = plot.2 - canvas.width(name, SMALL);
        canvas.words(name, (end.max(left + 4.0), bottom - 8.0), small(Anchor::Start, Ink::Centre));
        canvas
    }
}
