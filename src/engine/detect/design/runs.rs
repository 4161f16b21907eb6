//! Mean run lengths of run rules, exact: of the very automaton that flags points (`detect::runs`).
//!
//! **Definition.** The states of the rules' memory that points can lead to are enumerated; each goes on by the chances
//! of the zones between the rules' bounds for z ~ N(shift, 1) (Champ & Woodall 1987). Rules 3 and 4 compare neighbours,
//! so there a state also has the density of its last point within its zone, by probability instead of value: a
//! polynomial through Gauss-Legendre nodes, integrated up to and from every node (collocation). The distribution of the
//! memory without an alarm is carried on point by point; when the chance of an alarm at the next point stands still,
//! the rest of the run length is its reciprocal. Only positive numbers are added, so 1e12 is found as exactly as 10.
//!
//! **Classical constants.** Western Electric 1 to 4: 91.75; rule 1 of either: 370.40; Nelson's 3 and 4 alone: 421.60
//! and 601.01, whatever the distribution; all eight: 73.6.
//!
//! **Bad at.** Speed with both rules 3 or 4 and rules of zones: thousands of states with a density each. What points
//! before the first did is taken as unremarkable: rule 5 may fire at the second point here, at the third on a chart.

use std::cmp::Ordering;

use indexmap::IndexSet;

use super::super::runs::{Memory, RunRuleSet, Sides, zone};
use super::normal::normal_cdf;
use super::quadrature::{legendre, legendre_nodes};

/// Nodes of a density: this many, and `NODES_OF_ALL` for a zone that holds all points.
const NODES: f64 = 4.0;
/// See [`NODES`].
const NODES_OF_ALL: f64 = 9.0;
/// Relative change of the chance of an alarm at which it counts as standing still.
const SETTLED: f64 = 1e-10;
/// Points in a row for which it must stand still: longer than any rule's memory without a run of its own length.
const SETTLED_FOR: u32 = 16;
/// Chance of no alarm so far below which the rest is nothing.
const NEGLIGIBLE: f64 = 1e-17;
/// Most points that are carried out.
const MAX_POINTS: u32 = 100_000;

/// The mean run length of a set of rules for points of mean `shift`; infinite for no rules.
pub fn arl(set: RunRuleSet, shift: f64) -> f64 {
    if set.rules.is_empty() || shift.is_nan() {
        return f64::INFINITY;
    }
    if set.has_order() { Ordered::new(set, shift).arl() } else { Counted::new(set, shift).arl() }
}

/// The mean run length of Western Electric rules, by their numbers, with `run_length` points on one side for rule 4.
pub fn western_electric_arl(numbers: &[u8], run_length: u8, shift: f64) -> f64 {
    arl(RunRuleSet { run_length, ..RunRuleSet::western_electric(numbers) }, shift)
}

/// The mean run length of Nelson's rules, by their numbers; rule 8 with points on either side, as tables have it.
pub fn nelson_arl(numbers: &[u8], shift: f64) -> f64 {
    arl(RunRuleSet { sides: Sides::Either, ..RunRuleSet::nelson(numbers) }, shift)
}

/// A zone between neighbouring bounds: how the rules see it, and how likely a point in it is.
#[derive(Clone, Copy, Debug)]
struct Zone {
    seen_as: i8,
    chance: f64,
}

/// The zones of a set of rules, from the lowest to the highest.
fn zones(set: RunRuleSet, shift: f64) -> Vec<Zone> {
    let mut bounds: Vec<f64> = set.bounds().flat_map(|b| if b > 0.0 { vec![-b, b] } else { vec![0.0] }).collect();
    bounds.sort_by(f64::total_cmp);
    let low = std::iter::once(f64::NEG_INFINITY).chain(bounds.iter().copied());
    let high = bounds.iter().copied().chain([f64::INFINITY]);
    low.zip(high)
        .map(|(low, high)| {
            let inner = f64::midpoint(low.max(-4.5), high.min(4.5));
            Zone { seen_as: zone(inner), chance: chance_between(low - shift, high - shift) }
        })
        .collect()
}

/// Chance of a standard normal between two values, by the tail that loses no digits.
fn chance_between(low: f64, high: f64) -> f64 {
    if low > 0.0 { normal_cdf(-low) - normal_cdf(-high) } else { normal_cdf(high) - normal_cdf(low) }
}

/// Adds up the run length: told the chance of an alarm at each point after those without one.
struct Survival {
    left: f64,
    length: f64,
    hazard: f64,
    calm: u32,
    points: u32,
}

impl Survival {
    const fn new() -> Self {
        Self { left: 1.0, length: 0.0, hazard: 0.0, calm: 0, points: 0 }
    }

    /// Takes the chance of an alarm at the next point, and of none; returns the run length when it is known.
    fn next(&mut self, alarm: f64, none: f64) -> Option<f64> {
        let hazard = alarm / (alarm + none);
        let still = hazard > 0.0 && (hazard - self.hazard).abs() <= SETTLED * hazard;
        self.calm = if still { self.calm + 1 } else { 0 };
        self.hazard = hazard;
        self.points += 1;
        if self.calm >= SETTLED_FOR || self.points >= MAX_POINTS {
            // No way to an alarm within all points is for ever.
            return Some(self.length + self.left / hazard);
        }
        self.length += self.left;
        self.left *= none / (alarm + none);
        (self.left < NEGLIGIBLE).then_some(self.length)
    }
}

/// Rules of zones only: the memory is all there is.
struct Counted {
    /// From, to, chance.
    links: Vec<(usize, usize, f64)>,
    /// Chance of an alarm from each state.
    alarm: Vec<f64>,
}

impl Counted {
    fn new(set: RunRuleSet, shift: f64) -> Self {
        let zones = zones(set, shift);
        let mut states = IndexSet::from([Memory::default()]);
        let mut chain = Self { links: Vec::new(), alarm: Vec::new() };
        let mut from = 0;
        while let Some(memory) = states.get_index(from).copied() {
            let mut alarm = 0.0;
            for zone in zones.iter().filter(|zone| zone.chance > 0.0) {
                let mut next = memory;
                if next.step(set, zone.seen_as, None).is_empty() {
                    chain.links.push((from, states.insert_full(next).0, zone.chance));
                } else {
                    alarm += zone.chance;
                }
            }
            chain.alarm.push(alarm);
            from += 1;
        }
        chain
    }

    fn arl(&self) -> f64 {
        let mut now = vec![0.0; self.alarm.len()];
        now.iter_mut().take(1).for_each(|first| *first = 1.0);
        let mut survival = Survival::new();
        loop {
            let mut next = vec![0.0; now.len()];
            for (from, to, chance) in &self.links {
                if let (Some(p), Some(sum)) = (now.get(*from), next.get_mut(*to)) {
                    *sum += p * chance;
                }
            }
            let alarm = now.iter().zip(&self.alarm).map(|(p, alarm)| p * alarm).sum();
            let none: f64 = next.iter().sum();
            if let Some(length) = survival.next(alarm, none) {
                return length;
            }
            for p in &mut next {
                *p /= none;
            }
            now = next;
        }
    }
}

/// Where a state goes when the next point falls on one side of its last point, within the same zone.
#[derive(Clone, Copy, Debug)]
enum Within {
    Alarm,
    To(usize),
}

/// Rules that compare neighbours: the memory, the zone of the last point, and the density of that point within it.
struct Ordered {
    /// Of each state: chance of its own zone, then where a higher and a lower point of that zone leads.
    own: Vec<(f64, Within, Within)>,
    /// From, to, chance: the point falls into another zone.
    links: Vec<(usize, usize, f64)>,
    /// Of each state: chance of an alarm by a point of another zone.
    alarm: Vec<f64>,
    /// States after the first point, with its chance; none where that is an alarm.
    first: Vec<(usize, f64)>,
    /// Chance that the first point is an alarm.
    first_alarm: f64,
    /// Nodes and weights on [0, 1].
    nodes: Vec<(f64, f64)>,
    /// Row i: what the values at the nodes count for in the integral from 0 to node i.
    below: Vec<Vec<f64>>,
}

impl Ordered {
    fn new(set: RunRuleSet, shift: f64) -> Self {
        let zones: Vec<(usize, Zone)> = zones(set, shift).into_iter().filter(|z| z.chance > 0.0).enumerate().collect();
        let widest = zones.iter().map(|(_, zone)| zone.chance).fold(0.0, f64::max);
        let nodes = legendre_nodes(NODES_OF_ALL.mul_add(widest, NODES).ceil() as u32);
        let mut chain = Self {
            own: Vec::new(),
            links: Vec::new(),
            alarm: Vec::new(),
            first: Vec::new(),
            first_alarm: 0.0,
            below: integrals(&nodes),
            nodes,
        };
        let mut states: IndexSet<(Memory, usize)> = IndexSet::new();
        for (at, zone) in &zones {
            let mut memory = Memory::default();
            if memory.step(set, zone.seen_as, None).is_empty() {
                chain.first.push((states.insert_full((memory, *at)).0, zone.chance));
            } else {
                chain.first_alarm += zone.chance;
            }
        }
        let mut from = 0;
        while let Some((memory, last)) = states.get_index(from).copied() {
            let mut alarm = 0.0;
            for (at, zone) in &zones {
                let mut go = |order: Ordering| {
                    let mut next = memory;
                    let quiet = next.step(set, zone.seen_as, Some(order)).is_empty();
                    if quiet { Within::To(states.insert_full((next, *at)).0) } else { Within::Alarm }
                };
                if *at == last {
                    chain.own.push((zone.chance, go(Ordering::Greater), go(Ordering::Less)));
                } else {
                    match go(at.cmp(&last)) {
                        Within::Alarm => alarm += zone.chance,
                        Within::To(to) => chain.links.push((from, to, zone.chance)),
                    }
                }
            }
            chain.alarm.push(alarm);
            from += 1;
        }
        chain
    }

    fn arl(&self) -> f64 {
        let mut now = vec![0.0; self.alarm.len() * self.nodes.len()];
        let mut survival = Survival::new();
        let mut none = 1.0 - self.first_alarm;
        if let Some(length) = survival.next(self.first_alarm, none) {
            return length;
        }
        for (state, chance) in &self.first {
            self.density_mut(&mut now, *state).iter_mut().for_each(|f| *f = chance / none);
        }
        loop {
            let mut next = vec![0.0; now.len()];
            let alarm = self.step(&now, &mut next);
            none = next.chunks_exact(self.nodes.len()).map(|density| self.mass(density)).sum();
            if let Some(length) = survival.next(alarm, none) {
                return length;
            }
            for f in &mut next {
                *f /= none;
            }
            now = next;
        }
    }

    fn density_mut<'a>(&self, all: &'a mut [f64], state: usize) -> &'a mut [f64] {
        let size = self.nodes.len();
        all.get_mut(state * size..(state + 1) * size).unwrap_or_default()
    }

    fn mass(&self, density: &[f64]) -> f64 {
        density.iter().zip(&self.nodes).map(|(f, (_, w))| f * w).sum()
    }

    /// One point on: fills in the densities of the states, and returns the chance of an alarm.
    fn step(&self, now: &[f64], next: &mut [f64]) -> f64 {
        let densities = || now.chunks_exact(self.nodes.len());
        let masses: Vec<f64> = densities().map(|density| self.mass(density)).collect();
        let mut alarm: f64 = masses.iter().zip(&self.alarm).map(|(mass, alarm)| mass * alarm).sum();
        // A point in another zone has the same density wherever in its zone the last one was.
        let mut flat = vec![0.0; masses.len()];
        for (from, to, chance) in &self.links {
            if let (Some(mass), Some(sum)) = (masses.get(*from), flat.get_mut(*to)) {
                *sum += mass * chance;
            }
        }
        for (density, sum) in next.chunks_exact_mut(self.nodes.len()).zip(flat) {
            density.fill(sum);
        }
        let mut part = vec![0.0; self.nodes.len()];
        for ((density, mass), (chance, up, down)) in densities().zip(masses).zip(&self.own) {
            if mass <= 0.0 {
                continue;
            }
            for (sum, row) in part.iter_mut().zip(&self.below) {
                *sum = row.iter().zip(density).map(|(weight, f)| weight * f).sum();
            }
            for (to, sign) in [(up, 1.0), (down, -1.0)] {
                // A higher point at a node has the mass below it for a last point, a lower one the rest.
                let offset = if sign > 0.0 { 0.0 } else { mass };
                match to {
                    Within::Alarm => {
                        let chances = part.iter().zip(&self.nodes).map(|(below, (_, w))| w * (offset + sign * below));
                        alarm += chance * chances.sum::<f64>();
                    }
                    Within::To(state) => {
                        let target = self.density_mut(next, *state);
                        target.iter_mut().zip(&part).for_each(|(f, below)| *f += chance * (offset + sign * below));
                    }
                }
            }
        }
        alarm
    }
}

/// Row i: weights of the values at Gauss-Legendre nodes on [0, 1] in the integral, from 0 to node i, of the polynomial
/// through them. By the expansion in Legendre polynomials, whose integrals are differences of their neighbours.
fn integrals(nodes: &[(f64, f64)]) -> Vec<Vec<f64>> {
    let degrees = 1..nodes.len() as u32;
    nodes
        .iter()
        .map(|(end, _)| {
            let x = 2.0 * end - 1.0;
            let weight = |node: f64, w: f64| {
                let terms = degrees.clone().map(|k| {
                    let ((before, _), (_, after)) = (legendre(k, x), legendre(k + 1, x));
                    legendre(k, 2.0 * node - 1.0).1 * (after - before) / 2.0
                });
                w * (end + terms.sum::<f64>())
            };
            nodes.iter().map(|(node, w)| weight(*node, *w)).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::runs::RunRules;
    use super::super::super::testing::Xorshift;
    use super::*;

    fn near(found: f64, wanted: f64, tolerance: f64) {
        assert!((found / wanted - 1.0).abs() < tolerance, "found {found}, wanted {wanted}");
    }

    #[test]
    fn western_electric_equals_champ_and_woodall() {
        // Table 1: 370.40, 225.44, 166.05, 152.73, 132.89, 122.05, 105.78, 91.75 in control.
        for (rules, wanted) in [
            (&[1][..], 370.398_347_344_956),
            (&[1, 2], 225.438_406_741_616),
            (&[1, 3], 166.054_517_130_549),
            (&[1, 4], 152.730_065_339_499),
            (&[1, 2, 3], 132.892_811_391_628_84),
            (&[1, 2, 4], 122.050_772_012_438_02),
            (&[1, 3, 4], 105.783_065_044_684_42),
            (&[1, 2, 3, 4], 91.750_773_128_348_84),
        ] {
            near(western_electric_arl(rules, 8, 0.0), wanted, 1e-9);
        }
        near(western_electric_arl(&[1, 2, 3, 4], 8, 2.0), 3.127_601_372_109_509_7, 1e-9);
        near(western_electric_arl(&[1], 8, 3.0), 2.0, 1e-8);
        // Nine on one side: 2^9 - 1 fair coins; forty: nearly never.
        near(western_electric_arl(&[4], 9, 0.0), 511.0, 1e-9);
        near(western_electric_arl(&[4], 40, 0.0), 2_f64.powi(40) - 1.0, 1e-9);
        near(western_electric_arl(&[4], 1, 0.5), 1.0, 1e-12);
        near(western_electric_arl(&[4], 0, 0.5), 1.0, 1e-12);
    }

    #[test]
    fn nelson_rules_of_zones_equal_runs_of_coins() {
        // A run of n, each of chance p: (1 - p^n) / (p^n (1 - p)).
        let run = |p: f64, n: i32| (1.0 - p.powi(n)) / (p.powi(n) * (1.0 - p));
        let within = 0.682_689_492_137_086;
        near(nelson_arl(&[7], 0.0), run(within, 15), 1e-9);
        near(nelson_arl(&[8], 0.0), run(1.0 - within, 8), 1e-9);
        near(nelson_arl(&[7], 2.0), run(normal_cdf(-1.0) - normal_cdf(-3.0), 15), 1e-9);
        near(nelson_arl(&[5], 0.0), 510.688_514_446_689_34, 1e-9);
        near(nelson_arl(&[1, 2, 5, 6, 7, 8], 1.0), 9.697_727_486_076_952, 1e-9);
        // With Nelson's words rule 8 never fires on one side alone.
        assert!(arl(RunRuleSet::nelson(&[8]), 2.0) > 3.0 * nelson_arl(&[8], 2.0));
        assert_eq!(nelson_arl(&[], 0.0), f64::INFINITY);
        assert_eq!(nelson_arl(&[1], f64::NAN), f64::INFINITY);
    }

    #[test]
    fn trends_and_turns_are_the_same_for_every_distribution() {
        for shift in [0.0, 1.0, -3.0] {
            near(nelson_arl(&[3], shift), 421.598_626_031_376_3, 1e-9);
            near(nelson_arl(&[4], shift), 601.007_804_022_218_9, 1e-9);
        }
    }

    #[test]
    fn rules_together_equal_a_simulation() {
        // 400,000 runs each, elsewhere: 145.90 (standard error 0.22), 119.10 (0.18), 16.563 (0.019).
        near(nelson_arl(&[1, 2, 3], 0.0), 145.896_21, 0.006);
        near(nelson_arl(&[1, 2, 3, 4], 0.0), 119.098_465, 0.006);
        near(nelson_arl(&[1, 2, 3, 4], 1.0), 16.562_51, 0.005);
    }

    #[test]
    fn flags_come_as_often_as_computed() {
        // What is computed is what flags points, but for the first four points of a chart.
        let mut random = Xorshift::new(41);
        for (numbers, shift) in [(&[1, 2, 3, 4, 5, 6, 7, 8][..], 0.5), (&[3, 8], 1.2), (&[2, 4, 7], 0.3)] {
            let set = RunRuleSet::nelson(numbers);
            let (runs, mut points) = (4_000, 0_u32);
            for _ in 0..runs {
                let mut rules = RunRules::new(set);
                points += 1;
                while rules.update(shift + random.normal()).is_empty() {
                    points += 1;
                }
            }
            near(f64::from(points) / f64::from(runs), arl(set, shift), 0.06);
        }
    }
}
