//! What a baseline knows of confidence, as a picture drawn with letters.

use super::table::table;
use crate::engine::baseline::Profile;
use crate::engine::detect::Calibration;
use crate::engine::units::Estimate;

/// Columns of the picture: from 0 to 1.
const COLUMNS: usize = 50;

/// How long verdicts are waited for, how well confidence is calibrated, and the picture: `o` where accuracy lies, dashes for
/// its 95 % interval, `|` where it would lie if confidence meant what it says, `*` where both meet.
pub(super) fn picture(profile: &Profile) -> String {
    let wait = profile.wait;
    let at_once = if wait.at_once { ", those that come with their outputs at once" } else { "" };
    let mut text = format!("verdicts are judged when their outputs are {} old{at_once}\n", wait.age);
    let rungs = profile.rungs();
    let calibration = Calibration::of(&rungs);
    if calibration.n() == 0 {
        text.push_str("no verdict on an output with a confidence\n");
        return text;
    }
    let told = |name: &str, estimate: Option<Estimate>, digits: usize| {
        estimate.map_or(String::new(), |e| {
            format!("; {name} {:.digits$} ({:.digits$} to {:.digits$})", e.value, e.low, e.high)
        })
    };
    text.extend([format!(
        "{} verdicts with a confidence{}{}\n",
        calibration.n(),
        told("expected calibration error", calibration.error_estimate(), 4),
        told("Brier score", calibration.brier_estimate(), 4),
    )]);
    let map = profile.calibration();
    let rows: Vec<Vec<String>> = calibration
        .table()
        .iter()
        .map(|bin| {
            let said = map.as_ref().map_or_else(|| "-".to_owned(), |map| percent(map.accuracy(bin.confidence)));
            vec![
                format!("{:.2} to {:.2}", bin.low, bin.high),
                bin.n.to_string(),
                percent(bin.confidence),
                percent(bin.accuracy.value),
                said,
                bar(bin.confidence, bin.accuracy),
            ]
        })
        .collect();
    text.push_str(&table(&["confidence", "verdicts", "stated", "right", "map says", "0 % to 100 % right"], &rows));
    if map.is_none() {
        text.push_str(
            "no map from confidence to accuracy: too few verdicts, or confidence tells right from wrong in none\n",
        );
    }
    text
}

fn percent(x: f64) -> String {
    format!("{:.1} %", 100.0 * x)
}

fn bar(confidence: f64, accuracy: Estimate) -> String {
    let column = |x: f64| ((x.clamp(0.0, 1.0) * (COLUMNS - 1) as f64).round() as usize).min(COLUMNS - 1);
    let (low, high) = (column(accuracy.low), column(accuracy.high));
    let cell = |at: usize| match (at == column(accuracy.value), at == column(confidence)) {
        (true, true) => '*',
        (true, false) => 'o',
        (false, true) => '|',
        (false, false) if (low..=high).contains(&at) => '-',
        (false, false) => ' ',
    };
    let line: String = (0..COLUMNS).map(cell).collect();
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_what_was_found_and_what_was_said() {
        let accuracy = Estimate { value: 0.5, low: 0.4, high: 0.6 };
        let line = bar(0.9, accuracy);
        assert_eq!((line.find('o'), line.find('|'), line.find('-')), (Some(25), Some(44), Some(20)));
        assert_eq!(bar(0.5, accuracy).find('*'), Some(25));
    }
}
