//! Run rules: patterns in a row of standardised points that a Shewhart chart alone does not see.
//!
//! **Definition.** In Nelson's numbering (1984): 1, a point beyond 3 sigma; 2, nine in a row on one side of the centre;
//! 3, six in a row steadily rising or falling; 4, fourteen in a row alternating up and down; 5, two of three beyond
//! 2 sigma on one side; 6, four of five beyond 1 sigma on one side; 7, fifteen in a row within 1 sigma; 8, eight in a
//! row beyond 1 sigma, on both sides. Western Electric (1956): 1, 5, 6 and eight in a row on one side, as 1 to 4.
//!
//! **Conventions.** Those of R's `qcc`: *beyond* is strict, a point on the centre is on no side, equal neighbours end a
//! trend; rules 5 and 6 fire only at a point that is itself beyond, and only once three or five points are there; a
//! rule fires anew at every point of its pattern. Rule 8 asks for points on both sides, as Nelson words it; tables of
//! run lengths take points on either side ([`Sides`]).
//!
//! **Classical constants.** Mean run lengths in control (`design::runs`): rule 1 alone 370.4, Western Electric 91.75,
//! all eight of Nelson 73.6.
//!
//! **Bad at.** Alarms. Every rule adds false ones, so they are for display: what to look at on a chart that is drawn.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// Nelson's numbers of the Western Electric rules 1 to 4.
const WESTERN_ELECTRIC: [u8; 4] = [1, 5, 6, 2];
/// Points in a row on one side: Western Electric.
const WESTERN_ELECTRIC_RUN: u8 = 8;
/// Points in a row on one side: Nelson.
const NELSON_RUN: u8 = 9;
/// Steps in a row in the same direction: six points.
const TREND: i8 = 5;
/// Steps in a row that each turn back: fourteen points.
const TURNS: u8 = 12;
/// Points in a row within 1 sigma.
const WITHIN: u8 = 15;
/// Points in a row beyond 1 sigma.
const BEYOND: i8 = 8;

/// Rules by Nelson's numbers, as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleNumbers(u8);

impl RuleNumbers {
    /// From Nelson's numbers; what is not one of 1 to 8 is left out.
    pub fn nelson(numbers: &[u8]) -> Self {
        numbers.iter().fold(Self(0), |rules, number| rules.with(*number))
    }

    /// From the numbers of Western Electric; what is not one of 1 to 4 is left out.
    pub fn western_electric(numbers: &[u8]) -> Self {
        (1..).zip(WESTERN_ELECTRIC).filter(|(number, _)| numbers.contains(number)).fold(Self(0), |r, (_, n)| r.with(n))
    }

    const fn with(self, number: u8) -> Self {
        if number >= 1 && number <= 8 { Self(self.0 | 1 << (number - 1)) } else { self }
    }

    /// Whether the rule with Nelson's number is among them.
    pub const fn contains(self, number: u8) -> bool {
        number >= 1 && number <= 8 && self.0 & 1 << (number - 1) != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Nelson's numbers, ascending.
    pub fn nelson_numbers(self) -> impl Iterator<Item = u8> {
        (1..=8).filter(move |number| self.contains(*number))
    }

    /// The numbers of Western Electric, ascending; the rules that only Nelson has are left out.
    pub fn western_electric_numbers(self) -> impl Iterator<Item = u8> {
        (1..).zip(WESTERN_ELECTRIC).filter(move |(_, nelson)| self.contains(*nelson)).map(|(number, _)| number)
    }
}

/// What rule 8 asks of eight points beyond 1 sigma.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sides {
    /// Each on either side, all on one side included: what tables of run lengths count.
    Either,
    /// Some above and some below: Nelson's words.
    Both,
}

/// Which rules, and the two things in which their users differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRuleSet {
    /// The rules.
    pub rules: RuleNumbers,
    /// Points in a row on one side of the centre for rule 2, at least 1.
    pub run_length: u8,
    /// What rule 8 asks for.
    pub sides: Sides,
}

impl RunRuleSet {
    /// Rules of Western Electric by their numbers, 1 to 4; eight points on one side.
    pub fn western_electric(numbers: &[u8]) -> Self {
        Self { rules: RuleNumbers::western_electric(numbers), run_length: WESTERN_ELECTRIC_RUN, sides: Sides::Both }
    }

    /// Rules of Nelson by their numbers, 1 to 8; nine points on one side.
    pub fn nelson(numbers: &[u8]) -> Self {
        Self { rules: RuleNumbers::nelson(numbers), run_length: NELSON_RUN, sides: Sides::Both }
    }

    const fn has(self, number: u8) -> bool {
        self.rules.contains(number)
    }

    /// Whether a rule compares neighbours.
    pub(super) const fn has_order(self) -> bool {
        self.has(3) || self.has(4)
    }

    /// The distances from the centre, in sigma, that the rules compare points with.
    pub(super) fn bounds(self) -> impl Iterator<Item = f64> {
        let wanted = [(0.0, self.has(2)), (1.0, self.has(6) || self.has(7) || self.has(8)), (2.0, self.has(5))];
        let beyond = (3.0, self.has(1));
        wanted.into_iter().chain([beyond]).filter(|(_, wanted)| *wanted).map(|(bound, _)| bound)
    }
}

/// Where a point lies: the side is the sign, the size 1 and the number of sigmas that it is beyond, up to 3; 0 on the
/// centre.
pub(super) fn zone(z: f64) -> i8 {
    let size = 1 + i8::from(z.abs() > 1.0) + i8::from(z.abs() > 2.0) + i8::from(z.abs() > 3.0);
    if z > 0.0 {
        size
    } else if z < 0.0 {
        -size
    } else {
        0
    }
}

/// All that the rules of a set remember of the points so far, and no more: run lengths are computed over its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Points in a row on one side, with its sign.
    side: i16,
    /// The last two points, the newest as the lowest bit: beyond 2 sigma above, below.
    two: [u8; 2],
    /// The last four points: beyond 1 sigma above, below.
    four: [u8; 2],
    /// Points in a row within 1 sigma.
    within: u8,
    /// Points in a row beyond 1 sigma.
    beyond: i8,
    /// Those of them since the side last changed, with its sign.
    beyond_side: i8,
    /// Steps in a row in one direction, with its sign.
    trend: i8,
    /// Steps in a row that each turned back.
    turns: u8,
}

impl Memory {
    /// Takes a point by its zone and its order to the point before, if there is one; says which rules fire.
    pub(super) fn step(&mut self, set: RunRuleSet, zone: i8, order: Option<Ordering>) -> RuleNumbers {
        let mut fired = RuleNumbers(0);
        let mut fire = |number: u8, holds: bool| {
            if holds && set.has(number) {
                fired = fired.with(number);
            }
        };
        let (size, sign) = (zone.abs(), zone.signum());
        fire(1, size > 3);
        if set.has(2) {
            let wanted = i16::from(set.run_length.max(1));
            self.side = run(self.side, i16::from(sign), wanted);
            fire(2, self.side.abs() >= wanted);
        }
        if set.has(5) {
            fire(5, several(&mut self.two, [zone > 2, zone < -2], 2, 3));
        }
        if set.has(6) {
            fire(6, several(&mut self.four, [zone > 1, zone < -1], 4, 5));
        }
        if set.has(7) {
            self.within = if size <= 1 { (self.within + 1).min(WITHIN) } else { 0 };
            fire(7, self.within >= WITHIN);
        }
        if set.has(8) {
            self.outside(if size > 1 { sign } else { 0 }, set.sides);
            fire(8, self.beyond >= BEYOND && self.beyond_side.abs() < BEYOND);
        }
        if let (true, Some(order)) = (set.has_order(), order) {
            self.turn(set, order as i8);
            fire(3, self.trend.abs() >= TREND);
            fire(4, self.turns >= TURNS);
        }
        fired
    }

    fn outside(&mut self, sign: i8, sides: Sides) {
        self.beyond = if sign == 0 { 0 } else { (self.beyond + 1).min(BEYOND) };
        if sides == Sides::Both {
            self.beyond_side = i8::try_from(run(self.beyond_side.into(), sign.into(), BEYOND.into())).unwrap_or(0);
        }
    }

    fn turn(&mut self, set: RunRuleSet, sign: i8) {
        let turned = sign != 0 && self.trend.signum() == -sign;
        // Without rule 3 only the direction of the last step counts, without rule 4 no turn does.
        let longest = if set.has(3) { TREND } else { 1 };
        self.trend = i8::try_from(run(self.trend.into(), sign.into(), longest.into())).unwrap_or(0);
        self.turns = if turned && set.has(4) { (self.turns + 1).min(TURNS) } else { 0 };
    }
}

/// A run with the sign of its side, one point later; a sign of 0 ends it.
fn run(before: i16, sign: i16, longest: i16) -> i16 {
    if sign == 0 || before.signum() != sign { sign } else { (before + sign).clamp(-longest, longest) }
}

/// Takes a point into the histories of both sides; whether it is one of at least `least` of the last `of` on its side.
fn several(histories: &mut [u8; 2], hits: [bool; 2], least: u32, of: u32) -> bool {
    let mut holds = false;
    for (history, hit) in histories.iter_mut().zip(hits) {
        let window = *history << 1 | u8::from(hit);
        holds |= hit && window.count_ones() >= least;
        *history = useful(window & ((1 << (of - 1)) - 1), least, of);
    }
    holds
}

/// Without the bits that cannot be part of a pattern any more, however many of the next points are beyond.
fn useful(history: u8, least: u32, of: u32) -> u8 {
    // After `more` further points, all beyond at best, the window still reaches these bits.
    let reach = |more: u32| history & ((1 << (of - more)) - 1);
    (1..of)
        .map(reach)
        .zip(1..)
        .filter(|(seen, more)| seen.count_ones() + more >= least)
        .fold(0, |kept, (s, _)| kept | s)
}

/// The rules at work on a sequence of points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRules {
    set: RunRuleSet,
    memory: Memory,
    last: Option<f64>,
    /// Points so far, up to five.
    seen: u8,
}

impl RunRules {
    /// The rules before the first point.
    pub fn new(set: RunRuleSet) -> Self {
        Self { set, memory: Memory::default(), last: None, seen: 0 }
    }

    /// Takes a point in standard deviations from the centre and says which rules fire at it. What is no number says
    /// nothing: it fires no rule and ends no run.
    pub fn update(&mut self, z: f64) -> RuleNumbers {
        if z.is_nan() {
            return RuleNumbers(0);
        }
        let order = self.last.and_then(|last| z.partial_cmp(&last));
        self.last = Some(z);
        self.seen = (self.seen + 1).min(5);
        let fired = self.memory.step(self.set, zone(z), order);
        let complete = if self.seen < 3 {
            RuleNumbers::nelson(&[1, 2, 3, 4, 7, 8])
        } else if self.seen < 5 {
            RuleNumbers::nelson(&[1, 2, 3, 4, 5, 7, 8])
        } else {
            RuleNumbers::nelson(&[1, 2, 3, 4, 5, 6, 7, 8])
        };
        fired.and(complete)
    }

    /// Forgets all points.
    pub fn reset(&mut self) {
        *self = Self::new(self.set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(set: RunRuleSet, rule: u8, z: &[f64]) -> Vec<usize> {
        let mut rules = RunRules::new(set);
        (1..).zip(z).filter(|(_, z)| rules.update(**z).contains(rule)).map(|(i, _)| i).collect()
    }

    #[test]
    fn fires_where_qcc_fires() {
        // Cases of qcc's own tests.
        let western = |rule: u8, z: &[f64]| {
            let set = RunRuleSet::western_electric(&[rule]);
            positions(set, WESTERN_ELECTRIC[usize::from(rule) - 1], z)
        };
        assert_eq!(western(1, &[0.0, 3.2, -3.5, 2.9]), [2, 3]);
        assert_eq!(western(2, &[0.0, 2.5, 1.0, 2.6, 0.0]), [4]);
        assert_eq!(western(3, &[0.0, 1.2, 1.3, 0.2, 1.4, 1.5]), [6]);
        assert_eq!(western(4, &[-1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, 1.0]), [8]);
        let high = [2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 3.2];
        assert_eq!(western(1, &high), [8]);
        assert_eq!(western(2, &high), [3, 4, 5, 6, 7, 8]);
        assert_eq!(western(3, &high), [5, 6, 7, 8]);
        assert_eq!(western(4, &high), [8]);
        let nelson = |rule: u8, z: &[f64]| positions(RunRuleSet::nelson(&[1, 2, 3, 4, 5, 6, 7, 8]), rule, z);
        let sides: Vec<f64> = (0..20).map(|i| if i < 10 { 0.5 } else { -0.5 }).collect();
        assert_eq!(nelson(2, &sides), [9, 10, 19, 20]);
        let trend = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        assert_eq!(nelson(3, &trend), [6, 7, 13, 14]);
        let turns = [1.0, 3.0, 2.0, 4.0, 3.0, 5.0, 4.0, 6.0, 5.0, 7.0, 6.0, 8.0, 7.0, 9.0, 8.0];
        assert_eq!(nelson(4, &turns), [14, 15]);
        assert_eq!(nelson(5, &[0.0, 2.3, 0.4, 2.2, -2.4, -0.2, -2.5]), [4, 7]);
        assert_eq!(nelson(6, &[1.2, 1.3, 0.2, 1.4, 1.5, -1.2, -1.3, -0.1, -1.4, -1.5]), [5, 10]);
        assert_eq!(nelson(7, &[0.3; 16]), [15, 16]);
        assert_eq!(nelson(8, &[1.2, -1.3, 1.1, -1.4, 1.5, -1.2, 1.3, -1.1, 0.2]), [8]);
        assert_eq!(nelson(8, &[1.2; 8]), [0; 0]);
        let either = RunRuleSet { sides: Sides::Either, ..RunRuleSet::nelson(&[8]) };
        assert_eq!(positions(either, 8, &[1.2; 9]), [8, 9]);
    }

    #[test]
    fn sides_of_rule_eight_are_those_of_the_last_eight() {
        let mut z = vec![-1.5];
        z.extend([1.5; 9]);
        z.push(-1.5);
        assert_eq!(positions(RunRuleSet::nelson(&[8]), 8, &z), [8, 11]);
    }

    #[test]
    fn bounds_belong_to_the_inside_and_the_centre_to_no_side() {
        assert_eq!([0.0, -0.0, 1.0, -1.0, 2.0, 3.0, 3.1, -1.1].map(zone), [0, 0, 1, -1, 2, 3, 4, -2]);
        assert_eq!([f64::INFINITY, f64::NEG_INFINITY, 5e-324].map(zone), [4, -4, 1]);
        let mut z = vec![0.5; 8];
        z.extend([0.0, 0.5]);
        assert_eq!(positions(RunRuleSet::nelson(&[2]), 2, &z), [0; 0]);
        assert_eq!(positions(RunRuleSet::nelson(&[1]), 1, &[3.0, -3.0]), [0; 0]);
    }

    #[test]
    fn what_is_no_number_neither_fires_nor_ends_a_run() {
        let mut z = vec![0.5; 8];
        z.extend([f64::NAN, 0.5]);
        assert_eq!(positions(RunRuleSet::nelson(&[2]), 2, &z), [10]);
        assert_eq!(positions(RunRuleSet::nelson(&[1, 3]), 1, &[f64::INFINITY, f64::INFINITY]), [1, 2]);
    }

    #[test]
    fn numbers_go_both_ways() {
        assert_eq!(RuleNumbers::nelson(&[1, 5, 9, 0]).nelson_numbers().collect::<Vec<_>>(), [1, 5]);
        assert_eq!(RuleNumbers::western_electric(&[4, 2, 7]).western_electric_numbers().collect::<Vec<_>>(), [2, 4]);
        assert_eq!(RuleNumbers::western_electric(&[4, 2]), RuleNumbers::nelson(&[2, 5]));
        assert!(RuleNumbers::nelson(&[]).is_empty() && !RuleNumbers::nelson(&[8]).is_empty());
    }

    #[test]
    fn a_history_keeps_only_what_can_still_count() {
        // Of the last four points (newest right), with one more needed: three of them; with two more: those that stay.
        for (history, kept) in [(0b1000, 0), (0b1100, 0), (0b1110, 0b1110), (0b1001, 0b0001), (0b0110, 0b0110)] {
            assert_eq!(useful(history, 4, 5), kept, "{history:04b}");
        }
    }
}
