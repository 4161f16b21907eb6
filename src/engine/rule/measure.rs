//! The words for measures, and what each of them can be asked.

use std::fmt;

use super::amount::Unit;
use super::{Bound, Characteristic, ChartKind, Component, Detect, Grade, Measure};

/// How a measure moves and what it is made of: decides which bounds and units it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A share that gets worse by falling.
    FallingShare,
    /// The same where no level stands for itself: only a fall below the baseline says something.
    Fall,
    /// How far labels lie from what confidence says, either way.
    Gap,
    /// A share that gets worse by rising.
    RisingShare,
    /// A share of which only the rule knows what is worse.
    Share,
    /// The share of cases above a quantile of the baseline.
    Exceedance,
    /// A mean that gets worse by rising.
    RisingMean,
    /// A mean of which only the rule knows what is worse.
    Mean,
    /// A whole distribution.
    Shape,
    /// Several means together.
    Joint,
    /// The time without events.
    Absence,
}

/// Words of measures without parameters, as offered by "did you mean".
pub(super) const WORDS: &[&str] = &[
    "accuracy",
    "estimated_accuracy",
    "accuracy_at_coverage",
    "calibration",
    "confidence",
    "confidence_distribution",
    "escalation_rate",
    "override_rate",
    "error_rate",
    "availability",
    "latency",
    "cost",
    "tokens",
    "profile",
    "silence",
    "volume",
];

/// The words for components.
pub(super) const COMPONENTS: &[(&str, Component)] = &[
    ("llm", Component::Llm),
    ("retrieval", Component::Retrieval),
    ("tool", Component::Tool),
    ("orchestration", Component::Orchestration),
];

/// The words for quantiles, in per mille.
pub(super) const QUANTILES: &[(&str, u16)] = &[("p50", 500), ("p95", 950), ("p99", 990)];

impl Component {
    /// The index of the component in an output's latencies.
    pub const fn index(self) -> usize {
        match self {
            Self::Llm => 0,
            Self::Retrieval => 1,
            Self::Tool => 2,
            Self::Orchestration => 3,
        }
    }

    /// The word used in rule files and in events.
    pub fn as_str(self) -> &'static str {
        COMPONENTS.iter().find(|(_, component)| *component == self).map_or("", |(word, _)| word)
    }
}

impl Characteristic {
    /// All of them, in the order of vectors.
    pub const ALL: [Self; 5] = [Self::Confidence, Self::Accuracy, Self::Escalation, Self::Latency, Self::Cost];

    /// The word used in alerts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confidence => "confidence",
            Self::Accuracy => "accuracy",
            Self::Escalation => "escalation",
            Self::Latency => "latency",
            Self::Cost => "cost",
        }
    }
}

impl Detect {
    /// Whether the measure is a share of good cases: charts count the bad ones, people read the good ones.
    pub const fn counts_good(&self) -> bool {
        match self.measure {
            Measure::Accuracy | Measure::AccuracyAtCoverage | Measure::Availability => true,
            Measure::Flag(_) => match self.bound {
                Bound::Drop(_) | Bound::Target(_) => true,
                Bound::Burn(burn) => burn.at_least,
                _ => false,
            },
            _ => false,
        }
    }
}

impl Grade {
    /// The word used in rule files, in the database and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drifting => "drifting",
            Self::Degraded => "degraded",
            Self::Confirmed => "confirmed",
        }
    }
}

impl Measure {
    /// The word used in rule files, without quantile and component.
    pub fn word(&self) -> String {
        match self {
            Self::Accuracy => "accuracy".to_owned(),
            Self::EstimatedAccuracy => "estimated_accuracy".to_owned(),
            Self::AccuracyAtCoverage => "accuracy_at_coverage".to_owned(),
            Self::Calibration => "calibration".to_owned(),
            Self::Confidence => "confidence".to_owned(),
            Self::ConfidenceDistribution => "confidence_distribution".to_owned(),
            Self::EscalationRate => "escalation_rate".to_owned(),
            Self::OverrideRate => "override_rate".to_owned(),
            Self::ErrorRate => "error_rate".to_owned(),
            Self::Availability => "availability".to_owned(),
            Self::Latency { .. } => "latency".to_owned(),
            Self::Cost => "cost".to_owned(),
            Self::Tokens => "tokens".to_owned(),
            Self::Silence => "silence".to_owned(),
            Self::Metric(name) => format!("metrics.{name}"),
            Self::Flag(name) => format!("flags.{name}"),
            Self::Profile => "profile".to_owned(),
            Self::Volume => "volume".to_owned(),
        }
    }

    /// The measure of a word; latency without its quantile and component, which the caller fills in.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "accuracy" => Self::Accuracy,
            "estimated_accuracy" => Self::EstimatedAccuracy,
            "accuracy_at_coverage" => Self::AccuracyAtCoverage,
            "calibration" => Self::Calibration,
            "confidence" => Self::Confidence,
            "confidence_distribution" => Self::ConfidenceDistribution,
            "escalation_rate" => Self::EscalationRate,
            "override_rate" => Self::OverrideRate,
            "error_rate" => Self::ErrorRate,
            "availability" => Self::Availability,
            "latency" => Self::Latency { per_mille: 950, component: None },
            "cost" => Self::Cost,
            "tokens" => Self::Tokens,
            "silence" => Self::Silence,
            "profile" => Self::Profile,
            "volume" => Self::Volume,
            _ => match word.split_once('.') {
                Some(("metrics", name)) if !name.is_empty() => Self::Metric(name.to_owned()),
                Some(("flags", name)) if !name.is_empty() => Self::Flag(name.to_owned()),
                _ => return None,
            },
        })
    }

    /// Whether it is learnt from the verdicts on outputs, which are waited for.
    pub const fn is_of_verdicts(&self) -> bool {
        matches!(self, Self::Accuracy | Self::AccuracyAtCoverage | Self::Calibration | Self::EstimatedAccuracy)
    }

    /// Whether verdicts are what its chart counts, and no mere check of what confidence predicts.
    pub const fn counts_verdicts(&self) -> bool {
        self.is_of_verdicts() && !matches!(self, Self::EstimatedAccuracy)
    }

    /// The charts that can watch it, where there is a choice.
    pub(super) const fn charts(&self) -> &'static [ChartKind] {
        match self {
            Self::Accuracy
            | Self::AccuracyAtCoverage
            | Self::EscalationRate
            | Self::OverrideRate
            | Self::ErrorRate
            | Self::Availability
            | Self::Latency { .. }
            | Self::Flag(_) => &[
                ChartKind::Esr,
                ChartKind::Cusum,
                ChartKind::Bank,
                ChartKind::Laney,
                ChartKind::Ewma,
                ChartKind::Shewhart,
            ],
            Self::Confidence | Self::Cost | Self::Tokens | Self::Metric(_) => {
                &[ChartKind::Cusum, ChartKind::Ewma, ChartKind::Shewhart]
            }
            Self::EstimatedAccuracy => &[ChartKind::Cusum, ChartKind::Cases],
            Self::Calibration | Self::ConfidenceDistribution | Self::Profile | Self::Silence | Self::Volume => &[],
        }
    }

    /// Whether `drop` and `rise` may have that unit.
    pub(super) fn takes(&self, unit: Unit) -> bool {
        let share = self.kind().is_share();
        match unit {
            Unit::Points => share,
            Unit::Percent => !share,
            Unit::Deviations => !share || *self == Self::Confidence,
            Unit::None => !share && !matches!(self, Self::Tokens | Self::Volume),
            Unit::Time => false,
        }
    }

    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Accuracy | Self::Confidence | Self::Availability => Kind::FallingShare,
            Self::EstimatedAccuracy | Self::AccuracyAtCoverage => Kind::Fall,
            Self::Calibration => Kind::Gap,
            Self::EscalationRate | Self::OverrideRate | Self::ErrorRate => Kind::RisingShare,
            Self::Flag(_) => Kind::Share,
            Self::Latency { .. } => Kind::Exceedance,
            Self::Cost => Kind::RisingMean,
            Self::Tokens | Self::Metric(_) | Self::Volume => Kind::Mean,
            Self::ConfidenceDistribution => Kind::Shape,
            Self::Profile => Kind::Joint,
            Self::Silence => Kind::Absence,
        }
    }
}

impl fmt::Display for Measure {
    /// For people: `accuracy`, `latency p95`, `latency p99 of llm`, `metrics.recall`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.word())?;
        if let Self::Latency { per_mille, component } = self {
            let quantile = QUANTILES.iter().find(|(_, q)| q == per_mille).map_or("", |(word, _)| word);
            write!(f, " {quantile}")?;
            if let Some(component) = component {
                write!(f, " of {}", component.as_str())?;
            }
        }
        Ok(())
    }
}

impl Kind {
    /// The keys that say what matters to such a measure, the usual one first.
    pub(super) const fn bounds(self) -> &'static [&'static str] {
        match self {
            Self::FallingShare => &["drop", "target"],
            Self::Fall => &["drop"],
            Self::Gap => &["drop", "rise"],
            Self::RisingShare => &["rise", "limit"],
            Self::Share => &["rise", "drop", "limit", "target"],
            Self::Exceedance | Self::RisingMean => &["rise"],
            Self::Mean => &["rise", "drop"],
            Self::Shape | Self::Joint => &[],
            Self::Absence => &["absent"],
        }
    }

    /// What to write when in doubt.
    pub(super) const fn example(self) -> &'static str {
        match self {
            Self::FallingShare | Self::Fall | Self::Gap => "drop: 2pp",
            Self::RisingShare | Self::Exceedance | Self::Share => "rise: 5pp",
            Self::RisingMean => "rise: 20%",
            Self::Mean => "rise: 20%` or `drop: 20%",
            Self::Shape | Self::Joint => "",
            Self::Absence => "absent: 6h",
        }
    }

    /// Whether the amounts are shares of cases.
    pub(super) const fn is_share(self) -> bool {
        matches!(self, Self::FallingShare | Self::Fall | Self::Gap | Self::RisingShare | Self::Share | Self::Exceedance)
    }
}
