//! A chart drawn with letters.

use crate::edge::classical::{Chart, Point, Version};

/// Lines of the picture.
const LINES: usize = 15;

/// Points by column: `o`, `x` where a limit is passed, `*` where a run rule fires; `-` the point's own limits, `.` the centre.
/// Versions stand below the column that they begin in.
pub(super) fn picture(chart: &Chart, told: &impl Fn(f64) -> String) -> String {
    let all = chart.points.iter().flat_map(|point| [point.share, point.lower, point.upper]);
    let (lowest, highest) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let step = ((highest - lowest) / (LINES - 1) as f64).max(1e-9);
    let line_of = |x: f64| LINES - 1 - (((x - lowest) / step).round() as usize).min(LINES - 1);
    let levels: Vec<String> = (0..LINES).map(|line| told(highest - step * line as f64)).collect();
    let margin = levels.iter().map(|level| level.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (line, level) in levels.iter().enumerate() {
        let cell = |point: &Point| {
            if line_of(point.share) == line {
                if point.beyond {
                    'x'
                } else if point.western_electric.is_empty() {
                    'o'
                } else {
                    '*'
                }
            } else if line_of(point.lower) == line || line_of(point.upper) == line {
                '-'
            } else if line_of(chart.centre) == line {
                '.'
            } else {
                ' '
            }
        };
        let cells: String = chart.points.iter().map(cell).collect();
        text.push_str(format!("  {level:>margin$} |{cells}").trim_end());
        text.push('\n');
    }
    text.extend([format!("  {:margin$} +{}\n", "", "-".repeat(chart.points.len()))]);
    let mark =
        |version: &Version| format!("  {:margin$}  {:column$}^ {}\n", "", "", version.version, column = version.point);
    text.extend(chart.versions.iter().map(mark));
    text
}
