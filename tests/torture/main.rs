//! Process torture: the real binary under one fault after another, each many times, and after each the state, the alerts and
//! the messages of a run that nothing disturbed.
//!
//! `cargo test --test torture` tries all that fits into a few minutes; `-- --night` all; `-- F01 F07 --runs 1000 --seed 5`
//! these; `-- --list` says what there is; `-- --write docs/operations.md` writes the table; `-- --jobs 4` is how many go on at
//! once; `-- --soak 2h --rate 2000 --every 60` is the long run, `-- L2 --soak 24h` the idle one. Seeds that once failed stand
//! in `seeds.txt` and are tried first.

#![expect(clippy::print_stdout, reason = "a program that talks to the person at the terminal")]

mod brokers;
mod check;
mod crash;
mod faults;
mod idle;
mod lines;
mod load;
mod people;
mod process;
mod report;
mod run;
mod soak;
mod stage;
mod trial;
#[expect(dead_code, reason = "shared with tests/it, which uses the rest")]
#[path = "../world/mod.rs"]
mod world;

use std::process::ExitCode;

use crate::run::Wish;

fn main() -> ExitCode {
    if world::broker::serve_if_told() {
        return ExitCode::SUCCESS;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let wish = match Wish::read(&words) {
        Ok(wish) => wish,
        Err(why) => {
            println!("{why}");
            return ExitCode::from(2);
        }
    };
    if wish.list {
        report::list();
        return ExitCode::SUCCESS;
    }
    let missing = report::missing_tests();
    if !missing.is_empty() {
        println!("faults.rs names tests that do not exist:\n{}", missing.join("\n"));
        return ExitCode::FAILURE;
    }
    let outcomes = run::all(&wish);
    report::print(&wish, &outcomes);
    if outcomes.iter().all(run::Outcome::is_well) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
