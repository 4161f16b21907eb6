//! Which cases to ask a verdict on: those that an engine keeps for it, and the draw among them.
//!
//! **Keeping.** Outputs cannot all be kept. One is kept as a case where the hash of its agent and id lies below a share of all
//! hashes: the same output is kept however often it is read, and whatever it says of itself. The share is what makes about 48
//! cases a day of a calm stream, and 4,096 while an alert that verdicts would confirm or clear is open.
//!
//! **Drawing.** Every case has its chance to be drawn: three tenths of the places are spread evenly over the outputs, the rest
//! by uncertainty g (1 - g), g the accuracy that its confidence has stood for. Cases of which fewer were kept stand for more
//! outputs and count by as many. Chances above 1 are cut to 1 and what is cut off goes to the others (Brewer & Hanif 1983).
//! The draw is systematic sampling with unequal probabilities (Madow 1949) in random order (Hartley & Rao 1962): its size is
//! fixed, chances are kept to the letter, and no rhythm of an agent falls in with that of the draw. A verdict on a case
//! counts by 1 / (share x chance), as in two-phase sampling (Särndal, Swensson & Wretman 1992, ch. 9).
//!
//! **Bad at.** Confident failures: where confidence lies, uncertainty looks away from them, and only the evenly spread part
//! finds them (it takes three times as long with verdicts on doubtful cases alone).

/// Cases that are kept of a calm stream in a day ...
const CALM: f64 = 48.0;
/// ... and of one with an alert that verdicts would confirm or clear.
const IN_DOUBT: f64 = 4_096.0;
/// Part of the places that is spread evenly.
const EVENLY: f64 = 0.3;

/// The share of outputs that are kept as cases, in (0, 1], at so many outputs a day.
pub fn share(per_day: f64, in_doubt: bool) -> f64 {
    let wanted = if in_doubt { IN_DOUBT } else { CALM };
    if per_day > wanted { wanted / per_day } else { 1.0 }
}

/// Whether an output is among the share of outputs that are kept, by the hash of its agent and id.
pub fn is_kept(key: u128, share: f64) -> bool {
    // The top 53 bits: what a double holds.
    ((key >> 75) as f64) < share * (1_u64 << 53) as f64
}

/// A case as the draw sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The share of outputs of which it was kept, in (0, 1].
    pub share: f64,
    /// The accuracy that its confidence has stood for, in [0, 1].
    pub accuracy: f64,
}

/// The chance of a case to be drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chance {
    /// In (0, 1].
    pub drawn: f64,
    /// Whether more of it comes from uncertainty than it would have evenly.
    pub uncertain: bool,
}

/// The chances with which `places` of these cases are drawn: they add up to `places`, or each is 1 where there are not so many.
pub fn chances(cases: &[Candidate], places: usize) -> Vec<Chance> {
    let stands_for = |case: &Candidate| 1.0 / case.share.clamp(1e-9, 1.0);
    let doubt = |case: &Candidate| (case.accuracy * (1.0 - case.accuracy)).max(0.0) * stands_for(case);
    let (even, doubts): (f64, f64) = (cases.iter().map(stands_for).sum(), cases.iter().map(doubt).sum());
    let sizes: Vec<(f64, f64)> = cases
        .iter()
        .map(|case| {
            let even = stands_for(case) / even;
            // Where nothing is uncertain, all is spread evenly.
            let doubt = if doubts > 0.0 { doubt(case) / doubts } else { even };
            (EVENLY * even + (1.0 - EVENLY) * doubt, even)
        })
        .collect();
    let mut drawn = vec![0.0; cases.len()];
    let mut certain = vec![false; cases.len()];
    loop {
        let taken = certain.iter().filter(|certain| **certain).count();
        let left = places.saturating_sub(taken) as f64;
        let of: f64 = sizes.iter().zip(&certain).filter(|(_, certain)| !**certain).map(|((size, _), _)| size).sum();
        let mut more = false;
        for ((drawn, certain), (size, _)) in drawn.iter_mut().zip(&mut certain).zip(&sizes) {
            *drawn = if *certain { 1.0 } else { left * size / of };
            if *drawn >= 1.0 && !*certain {
                (*drawn, *certain, more) = (1.0, true, true);
            }
        }
        if !more {
            break;
        }
    }
    let chance = |(drawn, (size, even)): (f64, (f64, f64))| Chance { drawn, uncertain: size > even };
    drawn.into_iter().zip(sizes).map(chance).collect()
}

/// Draws cases with these chances, by a `start` that is uniform in [0, 1): the numbers of those drawn, ascending. Cases come in
/// random order.
pub fn draw(chances: &[Chance], start: f64) -> Vec<usize> {
    let mut drawn = Vec::new();
    let (mut sum, mut next) = (0.0, start);
    for (at, chance) in chances.iter().enumerate() {
        sum += chance.drawn;
        // Sums of decimals miss whole numbers by rounding: a case is never drawn twice.
        if sum > next {
            drawn.push(at);
            next += 1.0;
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stream_keeps_as_many_cases_as_it_should() {
        assert_eq!((share(48_000.0, false), share(10.0, false), share(1e6, true)), (0.001, 1.0, 0.004_096));
        let kept = |share: f64| {
            let key = |nth: u64| crate::engine::recent::key("agent", &format!("case-{nth}"));
            (0..20_000).filter(|nth| is_kept(key(*nth), share)).count()
        };
        // Four standard errors.
        assert!(kept(0.05).abs_diff(1_000) < 4 * 31, "{}", kept(0.05));
        assert_eq!((kept(1.0), kept(0.0)), (20_000, 0));
    }

    #[test]
    fn doubtful_cases_come_first_and_confident_ones_still_come() {
        let case = |accuracy: f64| Candidate { share: 1.0, accuracy };
        let cases: Vec<Candidate> = (0..1_000).map(|nth| case(if nth < 100 { 0.5 } else { 0.99 })).collect();
        let chances = chances(&cases, 40);
        let [doubtful, .., confident] = &chances[..] else { unreachable!() };
        let expected = 40.0 * (0.3 / 1_000.0 + 0.7 * 0.25 / (100.0 * 0.25 + 900.0 * 0.0099));
        assert!((doubtful.drawn - expected).abs() < 1e-12 && doubtful.uncertain);
        assert!(confident.drawn > 40.0 * 0.3 / 1_000.0 && !confident.uncertain);
    }

    #[test]
    fn cases_that_stand_for_more_outputs_are_drawn_more_often() {
        let cases = [Candidate { share: 0.01, accuracy: 0.9 }, Candidate { share: 0.1, accuracy: 0.9 }];
        let [rare, common] = chances(&cases, 1)[..] else { unreachable!() };
        // Over outputs, kept or not, the chance is the same.
        assert!((rare.drawn * 0.01 - common.drawn * 0.1).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn chances_add_up_and_the_draw_keeps_them(cases in proptest::collection::vec((0.001..1.0_f64, 0.0..1.0_f64), 1..60), places in 1_usize..50) {
            let cases: Vec<Candidate> = cases.into_iter().map(|(share, accuracy)| Candidate { share, accuracy }).collect();
            let chances = chances(&cases, places);
            let sum: f64 = chances.iter().map(|chance| chance.drawn).sum();
            prop_assert!((sum - places.min(cases.len()) as f64).abs() < 1e-9, "{}", sum);
            prop_assert!(chances.iter().all(|chance| chance.drawn > 0.0 && chance.drawn <= 1.0));
            // Starts spread evenly over their range: each case is drawn for as much of it as its chance is.
            let starts = 2_000;
            let mut times = vec![0_u32; cases.len()];
            for start in 0..starts {
                let drawn = draw(&chances, (f64::from(start) + 0.5) / f64::from(starts));
                prop_assert!(drawn.len().abs_diff(places.min(cases.len())) == 0, "{} of {}", drawn.len(), places);
                for at in drawn {
                    times[at] += 1;
                }
            }
            for (times, chance) in times.iter().zip(&chances) {
                prop_assert!((f64::from(*times) / f64::from(starts) - chance.drawn).abs() < 2.0 / f64::from(starts), "{} {:?}", times, chance);
            }
        }
    }
}
