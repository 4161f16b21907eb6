//! How a share of outputs is spread over stated confidence, then and now.

use super::axes::{Axis, Beside, Layout, draw_rims, name_lines};
use super::canvas::{Canvas, Ink, Pen};
use crate::edge::figures::Scale;

/// One distribution: shares of neighbouring bins of equal width over [0, 1].
#[derive(Clone, Debug, PartialEq)]
pub(in crate::edge) struct Steps {
    pub(in crate::edge) name: String,
    pub(in crate::edge) ink: Ink,
    /// Whether the area below is filled.
    pub(in crate::edge) filled: Option<Ink>,
    pub(in crate::edge) shares: Vec<f64>,
    /// The mean of what is spread.
    pub(in crate::edge) mean: f64,
}

/// What is drawn. Names are whole lines of clean text.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::edge) struct Distribution {
    /// What is plotted, and over what, with units.
    pub(in crate::edge) axes: (String, String),
    pub(in crate::edge) steps: Vec<Steps>,
}

impl Distribution {
    /// The chart in a layout.
    pub(in crate::edge) fn draw(&self, layout: Layout) -> Canvas {
        let mut canvas = Canvas::new(layout.size);
        layout.name_axes(&mut canvas, &self.axes.0, &self.axes.1);
        let (left, top, right, bottom) = layout.plot;
        let scale = Scale::percent(1);
        let highest = self.steps.iter().flat_map(|steps| steps.shares.iter().copied());
        let levels = Axis::of(highest.chain([0.0]), false, scale, (bottom, top)).begun_at_zero();
        let (low, high) = self.shown();
        let across = Axis { low, high, from: left, to: right, scale };
        levels.draw(&mut canvas, layout.plot);
        across.draw_below(&mut canvas, layout.plot, false);
        draw_rims(&mut canvas, layout.plot);
        canvas.clip(Some(layout.plot));
        for steps in &self.steps {
            draw_steps(&mut canvas, steps, (&across, &levels));
            let x = across.at(steps.mean);
            canvas.line([(x, top), (x, bottom)], Pen { ink: steps.ink, width: 1.0, dash: Some((4.0, 3.0)) });
        }
        canvas.clip(None);
        let names = self.steps.iter().enumerate().map(|(at, steps)| Beside {
            name: steps.name.clone(),
            value: format!("mean {}", scale.value(steps.mean)),
            y: top + 12.0 + 30.0 * at as f32,
            ink: steps.ink,
        });
        name_lines(&mut canvas, layout, names.collect());
        canvas
    }

    /// From the lowest bin that holds anything to 1.
    fn shown(&self) -> (f64, f64) {
        let first = self.steps.iter().filter_map(|steps| {
            let bin = steps.shares.iter().position(|share| *share > 0.004)?;
            Some(bin as f64 / steps.shares.len() as f64)
        });
        (first.fold(0.95, f64::min), 1.0)
    }
}

fn draw_steps(canvas: &mut Canvas, steps: &Steps, (across, levels): (&Axis, &Axis)) {
    let bins = steps.shares.len().max(1) as f64;
    let edges = steps.shares.iter().enumerate().flat_map(|(at, share)| {
        let y = levels.row(*share);
        [(across.at(at as f64 / bins), y), (across.at((at + 1) as f64 / bins), y)]
    });
    let edges: Vec<_> = edges.collect();
    if let Some(ink) = steps.filled {
        let ground = levels.row(0.0);
        let first = edges.first().map(|(x, _)| (*x, ground));
        let last = edges.last().map(|(x, _)| (*x, ground));
        canvas.area(first.into_iter().chain(edges.iter().copied()).chain(last), ink);
    }
    canvas.line(edges, Pen { ink: steps.ink, width: 1.4, dash: None });
}
