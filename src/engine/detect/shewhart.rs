//! Shewhart's charts: limits from a Phase I, and which points lie beyond them.
//!
//! **Definition.** Centre and limits, `width` standard deviations of the point away (Shewhart 1931; the charts of
//! Montgomery, chapters 6 and 7). Shares p: sqrt(p (1-p) / n); counts of n: n times that; defects per unit u: sqrt(u /
//! n); defects c: sqrt(c). Means of subgroups: sigma / sqrt(n), with sigma the mean range / d2 or the mean standard
//! deviation / c4; ranges: d3 sigma about d2 sigma; standard deviations: sqrt(1 - c4^2) sigma about c4 sigma.
//! Individual values: sigma is the mean moving range of two / 1.128. A limit that a point cannot pass ends at what is
//! possible.
//!
//! **Classical constants.** 3 standard deviations; d2 with three decimals, as in the tables behind published limits.
//!
//! **Bad at.** Small changes (2 points of accuracy take a day's batch many days), and promises: 3 sigma is a false
//! alarm every 370 points of a normal, and on counts whatever the skewness makes of it. For display and for Phase I.

use serde::{Deserialize, Serialize};

use super::design::constants::{c4, d2_printed, d3};

/// Centre and limits of a point, in its unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlLimits {
    /// A point below is out of control.
    pub lower: f64,
    /// The level in control.
    pub centre: f64,
    /// A point above is out of control.
    pub upper: f64,
}

impl ControlLimits {
    /// Whether a point lies beyond a limit; on it is within, and what is no number is not beyond.
    pub fn is_beyond(&self, x: f64) -> bool {
        x < self.lower || x > self.upper
    }

    fn about(centre: f64, half: f64) -> Self {
        Self { lower: centre - half, centre, upper: centre + half }
    }

    /// Ends the limits at what is possible; the centre stays.
    fn within(self, lowest: f64, highest: f64) -> Self {
        Self { lower: self.lower.max(lowest), upper: self.upper.min(highest), ..self }
    }
}

/// What a chart of counts shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttributeKind {
    /// p: bad cases as a share of the cases.
    Share,
    /// np: bad cases, of samples that should be of one size.
    Count,
    /// u: defects per unit.
    DefectsPerUnit,
    /// c: defects, in samples of one size.
    Defects,
}

/// A sample of cases or units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttributeSample {
    /// Bad cases, or defects.
    pub count: u64,
    /// Cases, or units; not read for c charts.
    pub size: f64,
}

/// A chart of counts: p, np, u or c.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttributeChart {
    kind: AttributeKind,
    /// Bad share, defects per unit, or, for c charts, defects in a sample.
    level: f64,
    width: f64,
}

impl AttributeChart {
    /// From the samples of Phase I, with limits `width` standard deviations away. Samples whose size is no positive
    /// number are left out; nothing without any other.
    pub fn from_phase_one(kind: AttributeKind, samples: &[AttributeSample], width: f64) -> Option<Self> {
        let sized = samples.iter().map(|sample| AttributeSample { size: size_for(kind, sample.size), ..*sample });
        let (count, size) = sized
            .filter(|sample| sample.size > 0.0 && sample.size.is_finite())
            .fold((0.0, 0.0), |(count, size), sample| (count + sample.count as f64, size + sample.size));
        (size > 0.0).then(|| Self { kind, level: count / size, width })
    }

    /// The level in control: bad share, defects per unit, or defects in a sample.
    pub const fn level(&self) -> f64 {
        self.level
    }

    /// The point that the chart shows for a sample.
    pub fn point(&self, sample: AttributeSample) -> f64 {
        match self.kind {
            AttributeKind::Share | AttributeKind::DefectsPerUnit => sample.count as f64 / sample.size,
            AttributeKind::Count | AttributeKind::Defects => sample.count as f64,
        }
    }

    /// The limits of a sample of that size.
    pub fn limits(&self, size: f64) -> ControlLimits {
        let (level, size) = (self.level, size_for(self.kind, size));
        let binomial = (level * (1.0 - level)).max(0.0);
        let (centre, variance, highest) = match self.kind {
            AttributeKind::Share => (level, binomial / size, 1.0),
            AttributeKind::Count => (level * size, binomial * size, size),
            AttributeKind::DefectsPerUnit => (level, level / size, f64::INFINITY),
            AttributeKind::Defects => (level, level, f64::INFINITY),
        };
        ControlLimits::about(centre, self.width * variance.sqrt()).within(0.0, highest)
    }

    /// Whether a sample is out of control.
    pub fn is_beyond(&self, sample: AttributeSample) -> bool {
        self.limits(sample.size).is_beyond(self.point(sample))
    }
}

/// Samples of c charts are one area of opportunity each.
const fn size_for(kind: AttributeKind, size: f64) -> f64 {
    if matches!(kind, AttributeKind::Defects) { 1.0 } else { size }
}

/// What measures the spread within a subgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpreadKind {
    /// The range: R chart.
    Range,
    /// The standard deviation with n - 1: S chart.
    Deviation,
}

impl SpreadKind {
    /// Of a subgroup; 0 for fewer than two values.
    pub fn of(self, subgroup: &[f64]) -> f64 {
        if subgroup.len() < 2 {
            return 0.0;
        }
        match self {
            Self::Range => {
                let highest = subgroup.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                highest - subgroup.iter().copied().fold(f64::INFINITY, f64::min)
            }
            Self::Deviation => {
                let centre = mean(subgroup);
                let squares: f64 = subgroup.iter().map(|x| (x - centre) * (x - centre)).sum();
                (squares / (subgroup.len() - 1) as f64).sqrt()
            }
        }
    }

    /// Mean and standard deviation of the spread of n standard normal values.
    fn constants(self, n: u32) -> (f64, f64) {
        match self {
            Self::Range => (d2_printed(n), d3(n)),
            Self::Deviation => (c4(n), (1.0 - c4(n) * c4(n)).max(0.0).sqrt()),
        }
    }
}

/// Mean of a subgroup, which is not empty.
fn mean(subgroup: &[f64]) -> f64 {
    subgroup.iter().sum::<f64>() / subgroup.len() as f64
}

/// The pair of charts of subgroups: X-bar, and R or S.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubgroupChart {
    spread: SpreadKind,
    centre: f64,
    sigma: f64,
    width: f64,
}

impl SubgroupChart {
    /// From the subgroups of Phase I, with limits `width` standard deviations away. Subgroups of fewer than two values,
    /// or with one that is no finite number, are left out; nothing without any other.
    pub fn from_phase_one(spread: SpreadKind, subgroups: &[Vec<f64>], width: f64) -> Option<Self> {
        let good = |subgroup: &&Vec<f64>| subgroup.len() >= 2 && subgroup.iter().all(|x| x.is_finite());
        let (mut sum, mut values, mut sigmas, mut count) = (0.0, 0.0, 0.0, 0.0);
        // Subgroups are mostly of one size: the constant is integrated once for each run of them.
        let mut constant = (0, 0.0);
        for subgroup in subgroups.iter().filter(good) {
            let n = subgroup.len() as u32;
            if constant.0 != n {
                constant = (n, spread.constants(n).0);
            }
            sum += subgroup.iter().sum::<f64>();
            values += subgroup.len() as f64;
            sigmas += spread.of(subgroup) / constant.1;
            count += 1.0;
        }
        (count > 0.0).then(|| Self { spread, centre: sum / values, sigma: sigmas / count, width })
    }

    /// The mean of all values.
    pub const fn centre(&self) -> f64 {
        self.centre
    }

    /// The standard deviation of a single value.
    pub const fn sigma(&self) -> f64 {
        self.sigma
    }

    /// Limits of the mean of a subgroup of `n`.
    pub fn mean_limits(&self, n: u32) -> ControlLimits {
        ControlLimits::about(self.centre, self.width * self.sigma / f64::from(n.max(1)).sqrt())
    }

    /// Limits of the spread of a subgroup of `n`.
    pub fn spread_limits(&self, n: u32) -> ControlLimits {
        let (level, deviation) = self.spread.constants(n);
        ControlLimits::about(level * self.sigma, self.width * deviation * self.sigma).within(0.0, f64::INFINITY)
    }

    /// Whether the mean, and whether the spread, of a subgroup is out of control.
    pub fn is_beyond(&self, subgroup: &[f64]) -> (bool, bool) {
        if subgroup.is_empty() {
            return (false, false);
        }
        let n = subgroup.len() as u32;
        (
            self.mean_limits(n).is_beyond(mean(subgroup)),
            n >= 2 && self.spread_limits(n).is_beyond(self.spread.of(subgroup)),
        )
    }
}

/// The pair of charts of single values: individuals, and moving ranges of two.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndividualsChart {
    centre: f64,
    mean_range: f64,
    width: f64,
}

impl IndividualsChart {
    /// From the values of Phase I, with limits `width` standard deviations away. What is no finite number is left out;
    /// nothing with fewer than two others.
    pub fn from_phase_one(values: &[f64], width: f64) -> Option<Self> {
        let values: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
        let pairs = values.len().checked_sub(1).filter(|pairs| *pairs > 0)?;
        let ranges: f64 = values.iter().zip(values.iter().skip(1)).map(|(a, b)| (b - a).abs()).sum();
        Some(Self { centre: mean(&values), mean_range: ranges / pairs as f64, width })
    }

    /// The mean moving range.
    pub const fn mean_range(&self) -> f64 {
        self.mean_range
    }

    /// The standard deviation of a value, by its moving ranges.
    pub fn sigma(&self) -> f64 {
        self.mean_range / d2_printed(2)
    }

    /// Limits of a value.
    pub fn limits(&self) -> ControlLimits {
        ControlLimits::about(self.centre, self.width * self.sigma())
    }

    /// Limits of a moving range.
    pub fn range_limits(&self) -> ControlLimits {
        ControlLimits::about(self.mean_range, self.width * d3(2) * self.sigma()).within(0.0, f64::INFINITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: ControlLimits, lower: f64, centre: f64, upper: f64) {
        let tolerance = 1e-6 * upper.abs();
        let apart = [found.lower - lower, found.centre - centre, found.upper - upper].map(f64::abs);
        assert!(apart.iter().all(|x| *x <= tolerance), "{found:?}, wanted {lower} {centre} {upper}");
    }

    fn chart(kind: AttributeKind, count: u64, size: f64) -> AttributeChart {
        AttributeChart::from_phase_one(kind, &[AttributeSample { count, size }], 3.0).unwrap()
    }

    #[test]
    fn limits_of_counts_equal_montgomery() {
        // Orange juice (347 of 1500, samples of 50), circuit boards (516 defects in 26), computers (193 in 100 units).
        near(chart(AttributeKind::Share, 347, 1_500.0).limits(50.0), 0.052_427_55, 0.231_333_3, 0.410_239_1);
        near(chart(AttributeKind::Count, 347, 1_500.0).limits(50.0), 2.621_377_5, 11.566_667, 20.511_956);
        near(chart(AttributeKind::DefectsPerUnit, 193, 100.0).limits(5.0), 0.066_133_05, 1.93, 3.793_867);
        let boards: Vec<_> = (0..26).map(|i| AttributeSample { count: 19 + u64::from(i < 22), size: 0.0 }).collect();
        let boards = AttributeChart::from_phase_one(AttributeKind::Defects, &boards, 3.0).unwrap();
        near(boards.limits(f64::NAN), 6.481_447, 19.846_15, 33.210_86);
        assert!(boards.is_beyond(AttributeSample { count: 39, size: 1.0 }));
        assert!(!boards.is_beyond(AttributeSample { count: 33, size: 1.0 }));
    }

    #[test]
    fn limits_end_at_what_is_possible() {
        near(chart(AttributeKind::Share, 1, 100.0).limits(10.0), 0.0, 0.01, 0.104_392_8);
        near(chart(AttributeKind::Share, 99, 100.0).limits(10.0), 0.895_607_2, 0.99, 1.0);
        near(chart(AttributeKind::Count, 99, 100.0).limits(10.0), 8.956_072, 9.9, 10.0);
        let nothing = [AttributeSample { count: 3, size: 0.0 }, AttributeSample { count: 3, size: f64::NAN }];
        assert_eq!(AttributeChart::from_phase_one(AttributeKind::Share, &nothing, 3.0), None);
        // A sample of nothing is not beyond any limit.
        assert!(!chart(AttributeKind::Share, 1, 100.0).is_beyond(AttributeSample { count: 0, size: 0.0 }));
    }

    #[test]
    fn individuals_equal_nist() {
        // NIST/SEMATECH e-Handbook 6.3.2.2.
        let flow = [49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1, f64::NAN];
        let chart = IndividualsChart::from_phase_one(&flow, 3.0).unwrap();
        assert!((chart.mean_range() - 1.8778).abs() < 5e-5);
        near(chart.limits(), 45.815_86, 50.81, 55.804_14);
        assert!(!flow.iter().any(|x| chart.limits().is_beyond(*x)));
        // D4(2) = 3.267.
        near(chart.range_limits(), 0.0, chart.mean_range(), chart.mean_range() * 3.267_295);
        assert_eq!(IndividualsChart::from_phase_one(&[1.0, f64::INFINITY], 3.0), None);
    }

    #[test]
    fn subgroups_by_hand() {
        let groups = vec![vec![1.0, 3.0], vec![2.0, 2.0], vec![5.0], vec![f64::NAN, 0.0]];
        let ranges = SubgroupChart::from_phase_one(SpreadKind::Range, &groups, 3.0).unwrap();
        assert_eq!((ranges.centre(), ranges.sigma()), (2.0, 1.0 / 1.128));
        // A2(2) = 1.880, D4(2) = 3.267.
        near(ranges.mean_limits(2), 2.0 - 1.880_603, 2.0, 2.0 + 1.880_603);
        near(ranges.spread_limits(2), 0.0, 1.0, 3.267_295);
        assert_eq!(ranges.is_beyond(&[4.0, 4.0]), (true, false));
        assert_eq!(ranges.is_beyond(&[0.0, 4.0]), (false, true));
        assert_eq!(ranges.is_beyond(&[]), (false, false));
        let deviations = SubgroupChart::from_phase_one(SpreadKind::Deviation, &groups, 3.0).unwrap();
        // B4(2) = 3.267.
        let level = std::f64::consts::SQRT_2 / 2.0;
        near(deviations.spread_limits(2), 0.0, level, level * 3.266_532);
        assert_eq!(SubgroupChart::from_phase_one(SpreadKind::Range, &[vec![1.0]], 3.0), None);
    }
}
