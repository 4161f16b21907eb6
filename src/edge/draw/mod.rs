//! Charts, drawn once: each is a list of shapes ([`Canvas`]), from which mails get PNG and pages SVG.
//!
//! Every chart names its axes with their units, its centre line and its limits, in letters that are read on a phone. A page
//! takes the wide and the narrow layout of a chart and shows the one that fits.

mod axes;
mod bars;
mod canvas;
mod control;
mod course;
mod distribution;
mod pixels;
mod reliability;
mod svg;

pub(in crate::edge) use self::axes::Layout;
pub(in crate::edge) use self::bars::{Bar, Bars};
pub(in crate::edge) use self::canvas::{Canvas, Ink};
pub(in crate::edge) use self::control::{ControlChart, ControlPoint, Mark};
pub(in crate::edge) use self::course::{Course, Line, Reference};
pub(in crate::edge) use self::distribution::{Distribution, Steps};
pub(in crate::edge) use self::reliability::{Bin, ReliabilityChart};
pub(in crate::edge) use self::svg::{Naming, style};
