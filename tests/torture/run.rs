//! What is to be tried, and trying it: several trials at once, each on a thread, its panics caught and kept.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shewhart::edge::clock;

use crate::faults::{FAULTS, Fault, Proof, Tries};
use crate::report;
use crate::soak::Soak;
use crate::trial::Trial;

/// What the words after `--` ask for.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    /// These faults; all where there are none.
    pub(crate) ids: Vec<String>,
    pub(crate) list: bool,
    pub(crate) night: bool,
    runs: Option<usize>,
    seed: u64,
    jobs: usize,
    soak: Option<Duration>,
    rate: u64,
    every: u64,
    /// Where the table goes besides the terminal.
    pub(crate) write: Option<String>,
}

impl Wish {
    /// Words of other test programs are passed over: `cargo test` gives the same to all.
    pub(crate) fn read(words: &[String]) -> Result<Self, String> {
        let mut wish = Self { seed: 1, jobs: 8, rate: 500, every: 10, ..Self::default() };
        let mut left = words.iter();
        while let Some(word) = left.next() {
            let mut number = || {
                let value = left.next().ok_or_else(|| format!("{word} wants a number"))?;
                value.parse::<u64>().map_err(|error| format!("{word} {value}: {error}"))
            };
            match word.as_str() {
                "--list" => wish.list = true,
                "--night" => wish.night = true,
                "--runs" => wish.runs = Some(number()? as usize),
                "--seed" => wish.seed = number()?,
                "--jobs" => wish.jobs = number()?.max(1) as usize,
                "--rate" => wish.rate = number()?,
                "--every" => wish.every = number()?,
                "--soak" => {
                    let text = left.next().ok_or("--soak wants a length, as 2h")?;
                    wish.soak =
                        Some(length(text).ok_or_else(|| format!("--soak {text}: a length is as 90s, 30m, 2h"))?);
                }
                "--write" => wish.write = Some(left.next().ok_or("--write wants a file")?.clone()),
                id if !id.starts_with('-') => wish.ids.push(id.to_owned()),
                _ => {}
            }
        }
        if wish.soak.is_some() && wish.ids.is_empty() {
            wish.ids.push("L1".to_owned());
        }
        // `cargo test NAME` gives a name to every test program. One that looks as a fault's does is a slip here.
        let unknown = |id: &&String| !FAULTS.iter().any(|fault| fault.id == *id);
        if let Some(id) = wish.ids.iter().find(|id| is_fault(id) && unknown(id)) {
            return Err(format!("{id} is no fault; --list names them all"));
        }
        Ok(wish)
    }

    /// The command that tries one fault as it is tried here.
    pub(crate) fn command(&self, fault: &Fault) -> String {
        let Self { rate, every, .. } = self;
        let night = if self.night { " --night" } else { "" };
        match self.soak.map(|length| length.as_secs()) {
            None => format!("`cargo test --test torture -- {}{night}`", fault.id),
            Some(length) => {
                format!("`cargo test --test torture -- {} --soak {length}s --rate {rate} --every {every}`", fault.id)
            }
        }
    }

    /// The long run: a minute of it by day.
    fn soak(&self) -> Soak {
        let usual = Duration::from_mins(if self.night { 30 } else { 1 });
        Soak { length: self.soak.unwrap_or(usual), rate: self.rate, every: Duration::from_secs(self.every) }
    }

    fn wants(&self, fault: &Fault) -> bool {
        self.ids.is_empty() || self.ids.iter().any(|id| id == fault.id)
    }

    /// Where all chance of a fault comes from, unless something is asked for.
    fn trials(&self, fault: &'static Fault, tries: Tries) -> Vec<Task> {
        let usual = if self.night { tries.night } else { tries.ci };
        let mut left = self.runs.unwrap_or(usual);
        let mut seed = self.seed;
        let mut tasks = Vec::new();
        let mut add = |seed, runs| tasks.push(Task { fault, tries, seed, runs });
        for (_, seed) in failed_before().iter().filter(|(id, _)| id == fault.id) {
            add(*seed, tries.at_once);
        }
        while left > 0 {
            let runs = left.min(tries.at_once);
            add(seed, runs);
            seed += 1;
            left -= runs;
        }
        tasks
    }
}

/// Whether a word is written as the faults and long runs are: F01, L1.
fn is_fault(word: &str) -> bool {
    word.strip_prefix(['F', 'L']).is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// A length of time as people write it.
fn length(text: &str) -> Option<Duration> {
    let unit = [("s", 1), ("m", 60), ("h", 3_600)].into_iter().find(|(unit, _)| text.ends_with(unit))?;
    Some(Duration::from_secs(text.trim_end_matches(unit.0).parse::<u64>().ok()? * unit.1))
}

/// Faults with seeds that failed once.
fn failed_before() -> Vec<(String, u64)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture/seeds.txt");
    let text = fs::read_to_string(path).expect("the list of seeds");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let pair = |line: &str| {
        let (id, seed) = line.split_once(' ')?;
        Some((id.to_owned(), seed.split(' ').next()?.parse().ok()?))
    };
    lines.map(|line| pair(line).unwrap_or_else(|| panic!("seeds.txt: {line:?}"))).collect()
}

/// One trial that is to be made.
#[derive(Clone, Copy)]
struct Task {
    fault: &'static Fault,
    tries: Tries,
    seed: u64,
    runs: usize,
}

/// How a fault was survived.
pub(crate) struct Outcome {
    pub(crate) fault: &'static Fault,
    /// How often it was let happen.
    pub(crate) runs: usize,
    /// Of all its trials together.
    pub(crate) took: Duration,
    pub(crate) notes: Vec<String>,
    pub(crate) skipped: Option<String>,
    /// What differed, with the seed.
    pub(crate) failures: Vec<String>,
}

impl Outcome {
    fn new(fault: &'static Fault) -> Self {
        Self { fault, runs: 0, took: Duration::ZERO, notes: Vec::new(), skipped: None, failures: Vec::new() }
    }

    pub(crate) fn is_well(&self) -> bool {
        self.failures.is_empty()
    }

    fn add(&mut self, one: Self) {
        self.runs += one.runs;
        self.took += one.took;
        self.notes.extend(one.notes);
        self.skipped = self.skipped.take().or(one.skipped);
        self.failures.extend(one.failures);
    }
}

/// Tries everything that is wished for. One line each as soon as it is known.
pub(crate) fn all(wish: &Wish) -> Vec<Outcome> {
    keep_panics();
    let mut outcomes: Vec<Outcome> = FAULTS.iter().filter(|fault| wish.wants(fault)).map(Outcome::new).collect();
    let mut tasks = VecDeque::new();
    for fault in outcomes.iter().map(|outcome| outcome.fault) {
        if let Proof::Here(tries) = fault.proof {
            tasks.extend(wish.trials(fault, tries));
        }
    }
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    for task in &tasks {
        *open.entry(task.fault.id).or_default() += 1;
    }
    let tasks = Mutex::new(tasks);
    let (send, done) = channel();
    std::thread::scope(|scope| {
        for _ in 0..wish.jobs {
            let send = send.clone();
            let tasks = &tasks;
            scope.spawn(move || work(tasks, (wish.night, wish.soak()), &send));
        }
        drop(send);
        for one in done {
            let left = open.get_mut(one.fault.id).expect("a task");
            *left -= 1;
            let ready = *left == 0;
            let outcome = outcomes.iter_mut().find(|outcome| outcome.fault.id == one.fault.id).expect("it");
            outcome.add(one);
            if ready {
                report::line(outcome);
            }
        }
    });
    outcomes
}

fn work(tasks: &Mutex<VecDeque<Task>>, (night, soak): (bool, Soak), done: &Sender<Outcome>) {
    loop {
        let Some(task) = tasks.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else { return };
        if done.send(attempt(task, night, soak)).is_err() {
            return;
        }
    }
}

fn attempt(task: Task, night: bool, soak: Soak) -> Outcome {
    let begun = clock::instant();
    let mut trial = Trial::new(task.seed, task.runs, night, soak);
    let ended = catch_unwind(AssertUnwindSafe(|| (task.tries.play)(&mut trial)));
    let mut outcome = Outcome::new(task.fault);
    outcome.runs = if trial.skipped.is_some() { 0 } else { task.runs };
    outcome.took = begun.elapsed();
    outcome.notes = trial.notes;
    outcome.skipped = trial.skipped;
    if let Err(panic) = ended {
        let Task { fault, seed, runs, .. } = task;
        let again = if night { " --night" } else { "" };
        outcome.failures.push(format!(
            "{} with seed {seed}: {}\n  again: cargo test --test torture -- {}{again} --seed {seed} --runs {runs}",
            fault.id,
            said(panic.as_ref()),
            fault.id,
        ));
    }
    outcome
}

/// What a panic says, and where it was.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    format!("{text} ({})", PLACE.take())
}

thread_local! {
    /// Where this thread panicked last.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A panic is a finding here, told with its fault.
fn keep_panics() {
    std::panic::set_hook(Box::new(|info| {
        PLACE.set(info.location().map_or_else(String::new, ToString::to_string));
    }));
}
