//! Which charts of accuracy spoke on a stream, and what that means: the words that an alert of accuracy carries.
//!
//! **Reading.** Labels alone prove a fall. Confidence that fell with them says that inputs got harder and the agent knows;
//! labels that fall short of what confidence says mean that its calibration broke, and that confidence is no guide
//! (Steiner et al. 2000 read a risk-adjusted chart beside a plain one in the same way). Confidence alone is a suspicion.

use serde::{Deserialize, Serialize};

use super::units::{Estimate, Span, Timestamp};

/// What a chart of a stream says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Voice {
    /// No rule watches this.
    #[default]
    Unwatched,
    /// A rule does, but the baseline does not carry a chart.
    Waiting,
    /// It is in control.
    Calm,
    /// It is out of control.
    Spoke,
    /// It may not speak: labels contradict confidence.
    Invalid,
}

/// What the charts of accuracy of a stream say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// The chart of labels.
    pub labels: Voice,
    /// The chart of predicted accuracy.
    pub confidence: Voice,
    /// The chart of labels given confidence.
    pub calibration: Voice,
    /// Where that one spoke: on which side.
    pub side: Option<Side>,
    /// Where labels contradict confidence: what they say.
    pub contradicted: Option<Contradiction>,
    /// Since the change: accuracy found less accuracy said over the labelled outputs with a confidence, with a 95 % interval.
    pub gap: Option<Estimate>,
    /// Since the change: mean accuracy said of all outputs, less that of the baseline.
    pub predicted: Option<f64>,
    /// Where verdicts come at other ages than in the baseline.
    pub pace: Option<PaceChange>,
    /// Where the agent hands over more than in the baseline.
    pub masked: Option<Masked>,
}

/// On which side of what confidence says labels lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// They fall short of it.
    Short,
    /// They exceed it.
    Beyond,
}

/// Verdicts of one kind come at other ages than in the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaceChange {
    /// Whether it is the right ones, or the wrong ones.
    pub right: bool,
    /// The age at which the difference is largest.
    pub age: Span,
    /// Share of the baseline's that had come by then.
    pub before: f64,
    /// Share of the newest.
    pub now: f64,
}

/// What labels say against confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contradiction {
    /// Since when, as far as labels can tell.
    pub since: Timestamp,
    /// Labels since then.
    pub labels: u64,
    /// Accuracy said less accuracy found over them, with a 95 % interval.
    pub shortfall: Estimate,
}

/// How accuracy looks where the agent answers less than in the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Masked {
    /// Share of outputs that were not handed to a person, in the baseline.
    pub coverage_before: f64,
    /// The same now.
    pub coverage: f64,
    /// Accuracy of the labelled among the answered ones, where enough are labelled.
    pub answered: Option<f64>,
    /// Accuracy at the baseline's coverage.
    pub at_coverage: f64,
    /// Share of the outputs behind that which no verdict stands for, only confidence.
    pub predicted: f64,
}

impl Contradiction {
    /// Whether the two still look apart: that they agree again is tested, too, and takes its time.
    fn is_seen(&self) -> bool {
        self.shortfall.low > 0.0 || self.shortfall.high < 0.0
    }

    /// In words, without a time.
    fn line(&self) -> String {
        let Estimate { value, low, high } = self.shortfall.map(|x| 100.0 * x);
        let labels = self.labels;
        let (side, value, low, high) =
            if value >= 0.0 { ("below", value, low, high) } else { ("above", -value, -high, -low) };
        format!("{labels} labels lie {value:.1} points ({low:.1} to {high:.1}) {side} what confidence says")
    }

    /// In words.
    pub fn told(&self) -> String {
        if !self.is_seen() {
            return "labels contradict confidence, by how much is still open".to_owned();
        }
        format!("since about {} {}", self.since, self.line())
    }
}

impl PaceChange {
    fn line(&self) -> String {
        let kind = if self.right { "right" } else { "wrong" };
        let (now, before, age) = (100.0 * self.now, 100.0 * self.before, self.age);
        format!("label delay changed: {now:.0} % of {kind} answers within {age}, usually {before:.0} %")
    }

    fn told(&self) -> String {
        let kind = if self.right { "right" } else { "wrong" };
        let (now, before, age) = (100.0 * self.now, 100.0 * self.before, self.age);
        format!(
            "Label delay changed: {now:.0} % of {kind} answers are reported within {age}, in the baseline {before:.0} %; the share \
             of wrong ones among the labels so far may come from that."
        )
    }
}

impl Masked {
    fn line(&self) -> String {
        let percent = |x: f64| format!("{:.1} %", 100.0 * x);
        let (now, then, at) = (percent(self.coverage), percent(self.coverage_before), percent(self.at_coverage));
        format!("answers {now} instead of {then}: at the old coverage {at} would be right")
    }

    fn told(&self) -> String {
        let percent = |x: f64| format!("{:.1} %", 100.0 * x);
        let (now, then, at) = (percent(self.coverage), percent(self.coverage_before), percent(self.at_coverage));
        let answered =
            self.answered.map_or_else(String::new, |share| format!("those are right in {}, and ", percent(share)));
        let by = if self.predicted > 0.0 { ", partly by what its confidence says" } else { "" };
        format!(
            "It answers {now} of its outputs instead of {then}; {answered}at the coverage of the baseline it would be {at}{by}."
        )
    }
}

impl Cause {
    /// What it means, in sentences; empty where there is nothing to say.
    pub fn told(&self) -> String {
        let mut told: Vec<String> = Vec::new();
        told.extend(self.meaning().map(str::to_owned));
        told.extend(self.so_far());
        if let (Some(contradiction), Voice::Invalid) = (self.contradicted, self.confidence) {
            let why = contradiction.told();
            told.push(format!("Accuracy is not estimated from confidence: {why}. Have cases judged until they agree."));
        }
        told.extend(self.masked.as_ref().map(Masked::told));
        if let Some(pace) = &self.pace {
            told.push(pace.told());
        }
        told.join(" ")
    }

    /// The same in a line, as far as a line goes; what confidence cannot say and what handing over hides come behind it.
    pub fn line(&self) -> String {
        let short = self.calibration == Voice::Spoke && self.side == Some(Side::Short);
        let long = self.calibration == Voice::Spoke && self.side == Some(Side::Beyond);
        let gap = self.gap.filter(|_| self.labels == Voice::Spoke && self.calibration != Voice::Spoke);
        let line = match (self.labels, self.confidence) {
            (Voice::Spoke, Voice::Spoke) if short => "inputs got harder, and it is surer than it is right",
            (Voice::Spoke, Voice::Spoke) => "inputs got harder: its confidence fell with the labels",
            (Voice::Spoke, _) if short => "calibration broke: it is surer than it is right",
            (Voice::Spoke, Voice::Invalid) => "labels alone count: they contradict confidence",
            (Voice::Spoke, Voice::Calm) if gap.is_some_and(|gap| gap.high < 0.0) => {
                "probably calibration broke: confidence stayed"
            }
            (_, Voice::Spoke) => "a suspicion: confidence alone says so, no label confirms it",
            _ if short => "surer than it is right",
            _ if long => "right more often than its confidence says",
            _ => "",
        };
        let mut told: Vec<String> = Vec::new();
        told.extend((!line.is_empty()).then(|| line.to_owned()));
        if let (Some(contradiction), Voice::Invalid) = (self.contradicted, self.confidence) {
            told.extend(contradiction.is_seen().then(|| contradiction.line()));
        }
        told.extend(self.masked.as_ref().map(Masked::line));
        told.extend(self.pace.as_ref().map(PaceChange::line));
        told.join("; ")
    }

    /// What can be said before the charts of confidence have spoken.
    fn so_far(&self) -> Option<String> {
        let silent = self.calibration != Voice::Spoke && self.confidence != Voice::Spoke;
        let (Voice::Spoke, true, Some(gap)) = (self.labels, silent, self.gap) else { return None };
        let points = |x: f64| format!("{:+.1}", 100.0 * x);
        let far = format!("{} points ({} to {})", points(gap.value), points(gap.low), points(gap.high));
        let predicted = self.predicted.unwrap_or_default();
        Some(if gap.high < 0.0 {
            format!("So far labels differ by {far} from what confidence says: probably its calibration broke.")
        } else if predicted < -0.005 && predicted < gap.value {
            let fell = points(predicted);
            format!(
                "So far confidence moved by {fell} points as well, and labels differ by {far} from it: probably inputs got harder."
            )
        } else {
            format!("So far labels differ by {far} from what confidence says, which does not tell.")
        })
    }

    const fn meaning(&self) -> Option<&'static str> {
        let short = matches!((self.calibration, self.side), (Voice::Spoke, Some(Side::Short)));
        let long = matches!((self.calibration, self.side), (Voice::Spoke, Some(Side::Beyond)));
        let known = !matches!(
            (self.confidence, self.calibration),
            (Voice::Unwatched | Voice::Waiting, Voice::Unwatched | Voice::Waiting)
        );
        Some(match (self.labels, self.confidence) {
            (Voice::Spoke, Voice::Spoke) if short => {
                "Labels and confidence fell, labels further: inputs got harder, and the agent is surer than it is right."
            }
            (Voice::Spoke, Voice::Spoke) => {
                "Labels and confidence fell together: inputs got harder, and the agent's confidence still tells which."
            }
            (Voice::Spoke, _) if short => {
                "Labels fell short of what confidence says: its calibration broke, so confidence is no guide to what is right."
            }
            (Voice::Spoke, Voice::Invalid) => {
                "Labels fell. They contradict confidence already, so it says nothing about the cause."
            }
            (Voice::Spoke, _) if known => "Labels fell; neither chart of confidence has spoken.",
            (_, Voice::Spoke) => {
                "Confidence alone speaks: predicted accuracy fell. No label has confirmed it; it is a suspicion, not a finding."
            }
            _ if short => "Labels fall short of what confidence says: the agent is surer than it is right.",
            _ if long => "Labels are better than confidence says: the agent is right more often than it believes.",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(labels: Voice, confidence: Voice, side: Option<Side>) -> Cause {
        let calibration = if side.is_some() { Voice::Spoke } else { Voice::Calm };
        Cause { labels, confidence, calibration, side, ..Cause::default() }
    }

    #[test]
    fn every_chord_has_its_meaning() {
        let down = Some(Side::Short);
        for (cause, words) in [
            (cause(Voice::Spoke, Voice::Spoke, None), "inputs got harder, and the agent's confidence still tells"),
            (cause(Voice::Spoke, Voice::Spoke, down), "labels further"),
            (cause(Voice::Spoke, Voice::Calm, down), "calibration broke"),
            (cause(Voice::Spoke, Voice::Invalid, down), "calibration broke"),
            (cause(Voice::Spoke, Voice::Calm, None), "neither chart of confidence has spoken"),
            (cause(Voice::Calm, Voice::Spoke, None), "a suspicion, not a finding"),
            (cause(Voice::Calm, Voice::Calm, down), "surer than it is right"),
            (cause(Voice::Calm, Voice::Calm, Some(Side::Beyond)), "more often than it believes"),
        ] {
            assert!(cause.told().contains(words), "{cause:?}: {}", cause.told());
        }
        let alone = Cause { labels: Voice::Spoke, ..Cause::default() };
        assert_eq!(alone.told(), "");
    }

    #[test]
    fn before_they_speak_it_is_said_what_is_likely() {
        let told = |gap: (f64, f64, f64), predicted: f64| {
            let gap = Some(Estimate { value: gap.0, low: gap.1, high: gap.2 });
            Cause { gap, predicted: Some(predicted), ..cause(Voice::Spoke, Voice::Calm, None) }.told()
        };
        assert!(
            told((-0.06, -0.09, -0.03), -0.001)
                .contains("-6.0 points (-9.0 to -3.0) from what confidence says: probably its calibration broke")
        );
        assert!(told((-0.01, -0.03, 0.01), -0.05).contains("moved by -5.0 points as well"));
        assert!(told((-0.02, -0.05, 0.01), -0.001).contains("does not tell"));
    }

    #[test]
    fn a_contradiction_says_how_far_and_asks_for_labels() {
        let shortfall = Estimate { value: 0.061, low: 0.032, high: 0.09 };
        let since = Timestamp::from_millis(1_700_000_000_000);
        let contradicted = Some(Contradiction { since, labels: 212, shortfall });
        let told = Cause { confidence: Voice::Invalid, contradicted, ..Cause::default() }.told();
        assert!(told.contains("212 labels lie 6.1 points (3.2 to 9.0) below what confidence says"), "{told}");
        assert!(told.contains("Have cases judged"), "{told}");
        let above = Contradiction { since, labels: 9, shortfall: Estimate { value: -0.05, low: -0.08, high: -0.02 } };
        assert!(above.told().contains("5.0 points (2.0 to 8.0) above"), "{}", above.told());
    }

    #[test]
    fn another_pace_is_told() {
        let pace = PaceChange { right: false, age: Span::HOUR, before: 0.35, now: 0.8 };
        let told = Cause { pace: Some(pace), ..Cause::default() }.told();
        assert!(told.starts_with("Label delay changed: 80 % of wrong answers"), "{told}");
    }
}
