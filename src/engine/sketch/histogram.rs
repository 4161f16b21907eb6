//! How values lie, by bins: what is asked of the distribution of latencies.

use serde::{Deserialize, Serialize, Serializer};

use crate::engine::bins::Counted;
use crate::engine::units::nearest_rank;

/// A histogram that stores only the bins that were hit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "Stored<Counted<u16, u32>>")]
pub struct Histogram(Counted<u16, u32>);

/// A histogram as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Histogram")]
struct Stored<B> {
    bins: B,
    n: u64,
}

impl From<Stored<Counted<u16, u32>>> for Histogram {
    fn from(Stored { mut bins, n }: Stored<Counted<u16, u32>>) -> Self {
        bins.at_least(n);
        Self(bins)
    }
}

impl PartialEq for Histogram {
    fn eq(&self, other: &Self) -> bool {
        self.n() == other.n() && self.0 == other.0
    }
}

impl Eq for Histogram {}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Stored { bins: &self.0, n: self.n() }.serialize(serializer)
    }
}

impl Histogram {
    /// Adds `count` values to one bin, saturating at 2^32 - 1 a bin.
    pub fn add(&mut self, bin: u16, count: u32) {
        self.0.add(bin, count);
    }

    /// Adds all values of another.
    pub fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }

    /// Makes reading cheap.
    pub fn settle(&mut self) {
        self.0.settle();
    }

    /// How many values.
    pub const fn n(&self) -> u64 {
        self.0.cases()
    }

    /// The bins hit, in order, with their counts.
    pub fn bins(&self) -> Vec<(u16, u32)> {
        self.0.sorted()
    }

    /// How many values lie in bins above `bin`.
    pub fn above(&self, bin: u16) -> u64 {
        let mut above = 0;
        self.0.each_part(|at, count| above += if at > bin { u64::from(count) } else { 0 });
        above
    }

    /// The bin that holds the q-quantile (nearest rank, inverted cdf), or nothing where there are no values.
    pub fn quantile_bin(&self, q: f64) -> Option<u16> {
        self.rank_bin(nearest_rank(q, self.n()))
    }

    /// The bin that holds the value of this rank, the smallest being 1; nothing where there are not so many.
    pub fn rank_bin(&self, rank: u64) -> Option<u16> {
        let mut seen = 0;
        self.0.find(|_, count| {
            seen += u64::from(count);
            seen >= rank
        })
    }
}

/// Latency bins: HdrHistogram's layout with 3 significant digits over nanoseconds. Every value below 2048 ns has a bin of
/// its own; above, each power of two is cut into 1024 bins, so a bin is at most 0.1 % wide.
pub mod latency {
    /// The layout of an HdrHistogram of whole numbers: every value below twice a power of two has a bin of its own; above, each
    /// power of two is cut into as many bins as that power.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Precision {
        /// Logarithm to the base 2 of the bins that a power of two is cut into.
        bits: u32,
    }

    impl Precision {
        /// Three significant digits.
        pub const THREE: Self = Self { bits: 10 };
        /// Two significant digits.
        pub const TWO: Self = Self { bits: 7 };

        const fn half(self) -> u64 {
            1 << self.bits
        }

        /// The bin of a value; the last one for all values that lie beyond it.
        pub fn bin(self, value: u64) -> u16 {
            if value < 2 * self.half() {
                return value as u16;
            }
            let shift = u64::from(value.ilog2() - self.bits);
            let bin = shift * self.half() + (value >> shift);
            u16::try_from(bin).unwrap_or(u16::MAX)
        }

        /// The lowest value of a bin, and how many values it holds.
        pub fn range(self, bin: u16) -> (u64, u64) {
            let bin = u64::from(bin);
            if bin < 2 * self.half() {
                return (bin, 1);
            }
            let shift = bin / self.half() - 1;
            ((bin - shift * self.half()) << shift, 1 << shift)
        }
    }

    /// The bin of a latency.
    pub fn bin(nanos: u64) -> u16 {
        Precision::THREE.bin(nanos)
    }

    /// The middle of a bin, in nanoseconds.
    pub fn middle(bin: u16) -> u64 {
        let (low, width) = Precision::THREE.range(bin);
        low + width / 2
    }

    /// The middle of a bin, in milliseconds.
    pub fn middle_ms(bin: u16) -> f64 {
        middle(bin) as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_bins_are_hdr_histograms_and_at_most_a_thousandth_wide() {
        let around = (0..46).flat_map(|s| [1_u64 << s, (1 << s) + 1, (1 << s) * 3 / 2]);
        for nanos in (0..5_000).chain(around).chain([86_400_000_000_000]) {
            let bin = latency::bin(nanos);
            assert!(latency::middle(bin).abs_diff(nanos) as f64 <= nanos as f64 / 1_024.0, "{nanos}");
            assert_eq!(latency::bin(latency::middle(bin)), bin);
            assert!(latency::bin(nanos + 1) - bin <= 1, "{nanos}");
        }
    }

    #[test]
    fn quantiles_equal_those_of_the_hdrhistogram_crate() {
        let mut reference = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 86_400_000_000_000, 3).unwrap();
        let mut ours = Histogram::default();
        let mut x: u64 = 88_172_645_463_325_252;
        for _ in 0..20_000 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let nanos = 1 + (x % 1_000) * (x % 997) * (x % 89);
            reference.record(nanos).unwrap();
            ours.add(latency::bin(nanos), 1);
        }
        for q in [0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
            let theirs = reference.value_at_quantile(q);
            let mine = latency::middle(ours.quantile_bin(q).unwrap());
            assert_eq!(latency::bin(theirs), latency::bin(mine), "{q}: {theirs} {mine}");
        }
    }

    #[test]
    fn a_histogram_is_written_as_its_bins_and_its_number_of_values() {
        for values in [300_u32, 70_000] {
            let mut histogram = Histogram::default();
            (0..values).for_each(|nth| histogram.add((nth % 9) as u16, 1));
            let written = (histogram.bins(), u64::from(values));
            let bytes = postcard::to_allocvec(&histogram).unwrap();
            assert_eq!(bytes, postcard::to_allocvec(&written).unwrap());
            assert_eq!(postcard::from_bytes::<Histogram>(&bytes).unwrap(), histogram);
            let json = serde_json::to_value(&histogram).unwrap();
            assert_eq!(json, serde_json::json!({ "bins": written.0, "n": values }));
        }
        // A bin ends at its largest number, the whole does not.
        let mut largest = Histogram::default();
        (0..3).for_each(|_| largest.add(9, u32::MAX));
        let bytes = postcard::to_allocvec(&largest).unwrap();
        let back = postcard::from_bytes::<Histogram>(&bytes).unwrap();
        assert_eq!((back.n(), &back), (3 * u64::from(u32::MAX), &largest));
    }

    #[test]
    fn two_digits_are_hdr_histograms_too() {
        use latency::Precision;
        let mut reference = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 2).unwrap();
        for value in [1, 255, 256, 257, 1_000, 99_999, 3_599_999_999] {
            let (low, width) = Precision::TWO.range(Precision::TWO.bin(value));
            assert_eq!(
                (low, low + width - 1),
                (reference.lowest_equivalent(value), reference.highest_equivalent(value))
            );
            reference.record(value).unwrap();
        }
    }
}
