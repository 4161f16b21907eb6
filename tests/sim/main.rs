//! Deterministic simulation of the two machines: clock, broker, disk and receivers are simulated, and a seed is a whole run.
//!
//! `cargo test --test sim` runs the crash model, 1,000 seeds, every seed of `seeds.txt`, and every wrong store, which must be
//! noticed. `-- --seeds N [--first S] [--steps N]` runs others, `-- --seed S --trace` shows one. docs/simulation.md says more.
#![expect(clippy::print_stdout, reason = "what was found is printed")]

mod cells;
mod chance;
mod odds;
mod outbox;
mod receivers;
mod run;
mod store;
mod workload;
mod world;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use odds::{Count, Variant};
use run::{Ended, run};
use workload::Plan;

/// Seeds of a usual run.
const SEEDS: u64 = 1_000;
/// Steps of a seed while faults go on.
const STEPS: u64 = 150;
/// Seeds in which each wrong store must be noticed.
const WRONG_SEEDS: u64 = 30;
/// Seeds that are run twice, and must give the same trace.
const TWICE: u64 = 5;

/// What is asked for on the command line.
struct Asked {
    first: u64,
    seeds: u64,
    steps: u64,
    wrong: u64,
    one: Option<u64>,
    trace: bool,
    /// Whether anything was asked for.
    own: bool,
    /// A name that `cargo test NAME` asks every test program for. None here has one.
    name: Option<String>,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked {
        first: 1,
        seeds: SEEDS,
        steps: STEPS,
        wrong: WRONG_SEEDS,
        one: None,
        trace: false,
        own: false,
        name: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let word = arguments.next().unwrap_or_default();
            word.parse().map_err(|error| format!("{argument} takes a whole number, not `{word}`: {error}"))
        };
        match argument.as_str() {
            "--seeds" => (asked.seeds, asked.own) = (number()?, true),
            "--first" => asked.first = number()?,
            "--steps" => asked.steps = number()?,
            "--wrong" => asked.wrong = number()?,
            "--seed" => asked.one = Some(number()?),
            "--trace" => asked.trace = true,
            // What people are used to give to cargo's own harness.
            "--nocapture" | "--quiet" | "-q" | "--exact" => {}
            "--test-threads" => {
                number()?;
            }
            name if !name.starts_with('-') => asked.name = Some(name.to_owned()),
            _ => {
                return Err(format!(
                    "`{argument}` is not known; give --seeds, --first, --steps, --seed, --trace, --wrong"
                ));
            }
        }
    }
    Ok(asked)
}

fn main() -> ExitCode {
    let asked = match asked() {
        Ok(asked) => asked,
        Err(why) => {
            println!("{why}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(name) = &asked.name {
        println!("nothing is called `{name}` in the simulation: it was not run");
        return ExitCode::SUCCESS;
    }
    let plan = Plan::new();
    let good = match asked.one {
        Some(seed) => show(seed, &asked, &plan),
        None => {
            crash_model() & kept_seeds(&asked, &plan) & seeds(&asked, &plan) & same_twice(&plan) & wrong(&asked, &plan)
        }
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One seed, with what happened where that is asked for.
fn show(seed: u64, asked: &Asked, plan: &Plan) -> bool {
    let ended = run(seed, asked.steps, plan, Variant::Right, asked.trace);
    print!("{}", ended.trace);
    println!("{:?}", ended.count);
    tell(seed, asked.steps, &ended)
}

/// Says what is wrong with a seed, and how to see it again. Returns whether nothing is.
fn tell(seed: u64, steps: u64, ended: &Ended) -> bool {
    if let Some(difference) = &ended.difference {
        println!("seed {seed} with {steps} steps: {difference}");
        println!("  again: cargo test --test sim --no-default-features -- --seed {seed} --steps {steps} --trace");
    }
    ended.difference.is_none()
}

/// Does something for each seed on all cores. Results come in the order of the seeds.
fn each<T: Send>(seeds: std::ops::Range<u64>, act: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let (next, done) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let result = act(seed);
                    done.lock().expect("no thread panics with it").push((seed, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no thread panics with it");
    done.sort_by_key(|(seed, _)| *seed);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The rules of a restore, without the machines: the right ones hold, every other is noticed.
fn crash_model() -> bool {
    let rules = [
        (cells::Rule::Right, 1_000),
        // A rare one: about one seed in a thousand.
        (cells::Rule::TicksNotSkipped, 5_000),
        (cells::Rule::TimeOfTheNewestCell, 100),
        (cells::Rule::LateImage, 100),
    ];
    let mut good = true;
    for (rule, seeds) in rules {
        let ran = each(0..seeds, |seed| cells::run(seed, rule));
        let bad = ran.iter().filter(|(same, _)| !same).count();
        let notices: usize = ran.iter().map(|(_, notices)| notices).sum();
        println!("crash model, {rule:?}: {bad} of {seeds} seeds differ, {notices} notices");
        good &= (bad == 0) == (rule == cells::Rule::Right) && notices > 0;
    }
    good
}

/// The seeds that failed once.
fn kept_seeds(asked: &Asked, plan: &Plan) -> bool {
    let list = include_str!("seeds.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let number = |word: Option<&str>| word.and_then(|word| word.parse().ok()).expect("a line is: seed steps why");
    let mut good = true;
    for line in list {
        let mut words = line.split_whitespace();
        let (seed, steps) = (number(words.next()), number(words.next()));
        good &= asked.own || tell(seed, steps, &run(seed, steps, plan, Variant::Right, false));
    }
    good
}

fn seeds(asked: &Asked, plan: &Plan) -> bool {
    let seeds = asked.first..asked.first + asked.seeds;
    let ran = each(seeds.clone(), |seed| {
        let ended = run(seed, asked.steps, plan, Variant::Right, false);
        // Nights are long: said when it is found.
        (tell(seed, asked.steps, &ended), ended.count)
    });
    let bad = ran.iter().filter(|(good, _)| !good).count();
    let quiet = ran.iter().filter(|(_, count)| count.crossings == 0).count();
    let total = ran.iter().fold(Count::default(), |sum, (_, count)| sum.and(count));
    println!("{} seeds of {} steps: {bad} differ", asked.seeds, asked.steps);
    println!("  {total:?}; {quiet} seeds without a crossing");
    // Where nothing happens nothing is shown.
    let lively = total.crossings >= asked.seeds && total.crashes >= asked.seeds && total.copies > 0;
    if !lively {
        println!("too little happened in these seeds to show anything");
    }
    bad == 0 && lively
}

fn same_twice(plan: &Plan) -> bool {
    let differ = each(0..TWICE, |seed| {
        let trace = || run(seed, STEPS, plan, Variant::Right, true).trace;
        trace() != trace()
    });
    let differ = differ.into_iter().filter(|differ| *differ).count();
    println!("{TWICE} seeds run twice: {differ} differ from themselves");
    differ == 0
}

/// Every wrong store is noticed.
fn wrong(asked: &Asked, plan: &Plan) -> bool {
    let mut good = true;
    for variant in Variant::WRONG {
        let ran = each(0..asked.wrong, |seed| run(seed, asked.steps, plan, variant, false).difference);
        let noticed = ran.iter().flatten().count();
        let first = ran.iter().flatten().next().map_or("", String::as_str);
        println!("wrong store, {variant:?}: noticed in {noticed} of {} seeds; first: {first:.160}", asked.wrong);
        good &= noticed > 0 || asked.wrong == 0;
    }
    good
}
