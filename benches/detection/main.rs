//! How long the default charts take to see a drop, and how often they cry wolf: seeded simulation of production code.
//!
//! Run with `cargo bench --bench detection --no-default-features`: about twelve minutes on a slow core. Behind `--` may
//! stand names of parts (`delays`, `promise`, `baselines`, `wander`, `grades`, `volume`, `foresight`, `late`) and `--scale N`,
//! which makes every part N times as long. `--write DIR` writes the sequences that `benches/river.py` reads, with the
//! alarms of our charts on them.
//!
//! Every figure is a mean over 20 repetitions with seeds of their own, followed by its standard error in parentheses:
//! the standard deviation over the repetitions, divided by the root of 20.
#![expect(clippy::print_stdout, reason = "the tables are what this study is for")]
#![expect(clippy::disallowed_methods, reason = "a study may say how long it took")]

mod baselines;
mod charts;
mod delays;
mod foresight;
mod grades;
mod late;
mod promise;
mod sequences;
mod study;
mod volume;
mod wander;
mod world;

use std::path::PathBuf;
use std::time::Instant;

use self::study::{SEED, Study};

/// A part of the study, with the name it is asked for by.
type Part = (&'static str, fn(&Study));

const PARTS: [Part; 8] = [
    ("delays", delays::run),
    ("promise", promise::run),
    ("baselines", baselines::run),
    ("wander", wander::run),
    ("grades", grades::run),
    ("volume", volume::run),
    ("foresight", foresight::run),
    ("late", late::run),
];

fn main() {
    let (mut scale, mut wanted, mut folder) = (1.0, Vec::new(), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // What cargo itself adds.
            "--bench" => {}
            "--scale" => scale = arguments.next().and_then(|x| x.parse().ok()).expect("--scale takes a number"),
            "--write" => folder = Some(PathBuf::from(arguments.next().expect("--write takes a folder"))),
            name => {
                assert!(PARTS.iter().any(|(part, _)| *part == name), "no part is called {name}");
                wanted.push(name.to_owned());
            }
        }
    }
    if let Some(folder) = folder {
        sequences::write(&folder).expect("the sequences can be written");
        return;
    }
    println!("seed {SEED}, scale {scale}; in parentheses: standard errors");
    for (at, (name, run)) in (1..).zip(PARTS) {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            let started = Instant::now();
            run(&Study::new(at, scale));
            println!("({name}: {:.0} s)\n", started.elapsed().as_secs_f64());
        }
    }
}
