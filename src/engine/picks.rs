//! Which cases were picked to be judged: the part of them that was picked as all cases are.
//!
//! **Why.** Where doubtful cases are picked more often, the share of errors among the labelled says nothing of all, and a chart
//! of it finds confident failures three times later (STATISTICS section 6). Feedback may say with which probability its
//! case was picked; kept with the lowest of these over its own, cases are again as if all had been picked alike (rejection
//! sampling: von Neumann 1951). The others count in reports, where they are weighted.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::alert::Id;
use super::confidence::draw;

/// Probabilities that are remembered.
const REMEMBERED: usize = 64;

/// The newest probabilities with which cases of a stream were picked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Picks {
    newest: VecDeque<f32>,
}

impl Picks {
    /// Takes a case that was picked with this probability, in (0, 1]. Returns whether it counts as picked like all others;
    /// `draw` in [0, 1) decides.
    pub fn takes(&mut self, probability: f64, draw: f64) -> bool {
        if self.newest.len() >= REMEMBERED {
            self.newest.pop_front();
        }
        self.newest.push_back(probability as f32);
        draw < self.floor() / probability.max(f64::MIN_POSITIVE)
    }

    /// The lowest probability but one: a single wrong number must not throw everything away. The only one where there is no
    /// other.
    fn floor(&self) -> f64 {
        let (mut lowest, mut second) = (f32::INFINITY, f32::INFINITY);
        for probability in &self.newest {
            if *probability < lowest {
                (lowest, second) = (*probability, lowest);
            } else if *probability < second {
                second = *probability;
            }
        }
        f64::from(if second.is_finite() { second } else { lowest })
    }
}

/// The number in [0, 1) that decides about the output of that key. Hashed anew: both halves of the key have decided before,
/// one about coverage, the other whether the output was kept as a case, so among cases it is far from uniform.
pub fn draw_of(key: u128) -> f64 {
    draw(Id::of(&[b"picked", &key.to_be_bytes()]).0 as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::asking::is_kept;
    use crate::engine::detect::testing::Xorshift;

    #[test]
    fn what_is_kept_is_picked_alike() {
        // Doubtful cases, a fifth of all, are picked with 0.5 and wrong half of the time; others with 0.05 and 2 %.
        let mut random = Xorshift::new(5);
        let (mut picks, mut kept, mut doubtful, mut all) = (Picks::default(), 0.0, 0.0, 0.0);
        for _ in 0..400_000 {
            let is_doubtful = random.hit(0.2);
            let probability = if is_doubtful { 0.5 } else { 0.05 };
            if random.hit(probability) {
                all += 1.0;
                if picks.takes(probability, random.uniform()) {
                    kept += 1.0;
                    doubtful += f64::from(u8::from(is_doubtful));
                }
            }
        }
        assert!((doubtful / kept - 0.2_f64).abs() < 0.01, "{} of {kept}", doubtful / kept);
        assert!(kept < 0.5 * all, "{kept} of {all}");
    }

    #[test]
    fn equal_chances_keep_everything_and_one_wrong_number_throws_little_away() {
        let mut picks = Picks::default();
        assert!((0..100).all(|_| picks.takes(0.05, 0.999)));
        assert!(picks.takes(1e-9, 0.5));
        assert!((0..100).all(|_| picks.takes(0.05, 0.999)));
    }

    #[test]
    fn of_outputs_that_were_kept_as_cases_no_more_count_than_of_others() {
        // One output in fifty is kept; of these the doubtful half is asked for ten times as often.
        let (mut picks, mut doubtful, mut taken) = (Picks::default(), 0_u32, 0_u32);
        let keys = (0..200_000).map(|nth| crate::engine::recent::key("agent", &format!("case-{nth}")));
        for (nth, key) in keys.filter(|key| is_kept(*key, 0.02)).enumerate() {
            let is_doubtful = nth % 2 == 0;
            let kept = picks.takes(if is_doubtful { 0.01 } else { 0.001 }, draw_of(key));
            doubtful += u32::from(is_doubtful);
            taken += u32::from(is_doubtful && kept);
        }
        // A tenth; four standard errors are 2.7 points.
        assert!((f64::from(taken) / f64::from(doubtful) - 0.1).abs() < 0.03, "{taken} of {doubtful}");
    }
}
