//! The accuracy of streams over their last day, as `shewhart status` shows it.

use rusqlite::Connection;
use serde::Serialize;

use super::table::table;
use crate::edge::ledger::last_days;
use crate::engine::account::told_differ;
use crate::engine::around::{How, Standing};
use crate::engine::units::Estimate;

/// Streams that are shown.
const STREAMS_SHOWN: usize = 10;

/// The accuracy of the streams that are shown, and how many more there are.
#[derive(Serialize)]
pub(super) struct Accuracy {
    streams: Vec<Line>,
    more: i64,
}

/// One stream.
#[derive(Serialize)]
struct Line {
    agent: Option<String>,
    task: Option<String>,
    /// Accuracy of the baseline, where that has labels.
    baseline: Option<f64>,
    #[serde(flatten)]
    standing: Standing,
}

impl Accuracy {
    pub(super) fn read(db: &Connection) -> rusqlite::Result<Self> {
        let (days, all) = last_days(db, STREAMS_SHOWN)?;
        let more = all - days.len() as i64;
        let line = |day: crate::edge::ledger::LastDay| Line {
            agent: day.agent,
            task: day.task,
            baseline: day.baseline,
            standing: day.standing.shown(),
        };
        Ok(Self { streams: days.into_iter().map(line).collect(), more })
    }

    /// A table, with a line for what stands out; nothing where no stream has labels.
    pub(super) fn text(&self) -> String {
        if self.streams.is_empty() {
            return String::new();
        }
        let rows: Vec<Vec<String>> = self.streams.iter().map(Line::cells).collect();
        let header = ["stream", "accuracy of 24 h", "by", "labels alone", "verdicts in", "baseline"];
        let mut text = format!("\n{}", table(&header, &rows));
        if self.more > 0 {
            text.extend([format!("... and {} more; v_accuracy_estimates has them\n", self.more)]);
        }
        text
    }
}

impl Line {
    fn cells(&self) -> Vec<String> {
        let stream: Vec<&str> = [&self.agent, &self.task].into_iter().flatten().map(String::as_str).collect();
        let Standing { estimate, labels, labelled, outputs, .. } = &self.standing;
        let share = self.standing.label_share().map_or(String::new(), |share| format!(" ({})", percent(share)));
        vec![
            stream.join(" / "),
            estimate.map_or_else(|| "-".to_owned(), interval),
            self.by(),
            labels.map_or_else(|| "-".to_owned(), interval),
            format!("{labelled} of {outputs}{share}"),
            self.baseline.map_or_else(|| "-".to_owned(), percent),
        ]
    }

    /// What the estimate was made from, or why there is none.
    fn by(&self) -> String {
        match (&self.standing.invalid, self.standing.how) {
            (Some(why), _) => format!("INVALID: {why}"),
            (None, How::LabelsOnly) => "labels".to_owned(),
            (None, How::Powered { .. }) => "labels and confidence".to_owned(),
            (None, How::Stratified) => {
                let differ = self.standing.differ.as_ref().map(told_differ).unwrap_or_default();
                format!("weighted labels, worth {:.0}: {differ}", self.standing.effective)
            }
        }
    }
}

fn interval(e: Estimate) -> String {
    format!("{} ({:.1} to {:.1})", percent(e.value), e.low * 100.0, e.high * 100.0)
}

fn percent(x: f64) -> String {
    format!("{:.1} %", x * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_one_line_and_what_is_invalid_is_no_number() {
        let estimate = |value: f64| Some(Estimate { value, low: value - 0.013, high: value + 0.012 });
        let standing = Standing {
            outputs: 8_120,
            labelled: 412,
            labels: estimate(0.871),
            estimate: estimate(0.894),
            how: How::Powered { lambda: 0.5 },
            ..Standing::default()
        };
        let text = |standing: Standing| {
            let line = Line { agent: Some("a".to_owned()), task: None, baseline: Some(0.92), standing };
            Accuracy { streams: vec![line], more: 2 }.text()
        };
        let told = text(standing.clone());
        for part in ["89.4 % (88.1 to 90.6)", "labels and confidence", "87.1 % (85.8 to 88.3)", "412 of 8120 (5.1 %)"] {
            assert!(told.contains(part), "{part}\n{told}");
        }
        assert!(told.contains("92.0 %") && told.ends_with("... and 2 more; v_accuracy_estimates has them\n"), "{told}");
        let told = text(Standing { invalid: Some("confidence lies".to_owned()), ..standing }.shown());
        assert!(
            told.contains("INVALID: confidence lies") && told.contains("87.1 %") && !told.contains("89.4"),
            "{told}"
        );
    }
}
