//! How long something took, as Prometheus counts it: cases by upper bounds.

use std::time::Duration;

/// Upper bounds in seconds; what took longer is counted in the whole only.
const BOUNDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Cases by how long they took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Waits {
    /// Cases by the bound that is the first they do not exceed.
    counts: [u64; BOUNDS.len()],
    all: u64,
    seconds: f64,
}

impl Waits {
    /// Adds cases that took so long.
    pub fn add(&mut self, cases: u64, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get_mut(at) {
            *count += cases;
        }
        self.all += cases;
        self.seconds += seconds * cases as f64;
    }

    /// The bounds with the cases that took no longer.
    pub fn up_to(&self) -> impl Iterator<Item = (f64, u64)> {
        let so_far = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        BOUNDS.into_iter().zip(so_far)
    }

    /// All cases.
    pub const fn all(&self) -> u64 {
        self.all
    }

    /// What all cases took together.
    pub const fn seconds(&self) -> f64 {
        self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_counts_from_the_first_bound_that_it_does_not_exceed() {
        let mut waits = Waits::default();
        waits.add(3, Duration::from_millis(1));
        waits.add(2, Duration::from_micros(1_001));
        waits.add(1, Duration::from_secs(11));
        let up_to: Vec<(f64, u64)> =
            waits.up_to().filter(|(bound, _)| [0.0005, 0.001, 0.0025, 10.0].contains(bound)).collect();
        assert_eq!(up_to, [(0.0005, 0), (0.001, 3), (0.0025, 5), (10.0, 5)]);
        assert_eq!(waits.all(), 6);
        assert!((waits.seconds() - 11.005_002).abs() < 1e-9);
    }
}
