//! The crash model: a small partition engine made of cells, restored after crashes from images that were written at
//! different moments, one cell at a time. It is harder than one transaction, and shows which rules a restore needs.

use std::collections::{BTreeMap, BTreeSet};

use crate::chance::Chance;

/// How long a bad verdict lasts before it is told.
const HOLD: i64 = 40;
/// How long a cell may say nothing.
const ABSENT: i64 = 120;
/// Time is looked at in steps of this.
const TICK: i64 = 10;
/// Records of a run.
const RECORDS: usize = 400;

/// How an engine is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// What happened at offsets that a cell reflects is skipped, ticks too, and stream time is that of the commit.
    Right,
    /// Ticks are not skipped.
    TicksNotSkipped,
    /// Stream time is that of the newest cell written.
    TimeOfTheNewestCell,
    /// An old owner may write one late image.
    LateImage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Quiet,
    Pending,
    Firing,
    Absent,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Notice {
    key: u32,
    number: u32,
    what: &'static str,
    at: i64,
}

#[derive(Clone, Debug, PartialEq)]
struct Cell {
    applied: i64,
    n: u64,
    sum: f64,
    cusum: f64,
    last: Option<i64>,
    standing: Standing,
    since: i64,
    notices: Vec<Notice>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    key: u32,
    at: i64,
    x: f64,
}

impl Cell {
    const fn new() -> Self {
        Self {
            applied: -1,
            n: 0,
            sum: 0.0,
            cusum: 0.0,
            last: None,
            standing: Standing::Quiet,
            since: 0,
            notices: Vec::new(),
        }
    }

    fn say(&mut self, key: u32, what: &'static str, at: i64) {
        self.notices.push(Notice { key, number: self.notices.len() as u32 + 1, what, at });
    }

    fn record(&mut self, record: Record) {
        self.n += 1;
        self.sum += record.x;
        self.last = Some(record.at);
        self.cusum = (self.cusum + record.x - 0.55).max(0.0);
        let bad = self.cusum > 2.0;
        match (self.standing, bad) {
            (Standing::Quiet, true) => (self.standing, self.since) = (Standing::Pending, record.at),
            (Standing::Pending, false) => self.standing = Standing::Quiet,
            (Standing::Firing, false) if self.cusum < 0.5 => {
                self.standing = Standing::Quiet;
                self.say(record.key, "resolved", record.at);
            }
            (Standing::Absent, _) => {
                self.standing = Standing::Quiet;
                self.say(record.key, "back", record.at);
            }
            _ => {}
        }
    }

    fn tick(&mut self, key: u32, now: i64) {
        if self.standing == Standing::Pending && now - self.since >= HOLD {
            self.standing = Standing::Firing;
            self.say(key, "firing", now);
        }
        if self.standing != Standing::Absent && self.last.is_some_and(|last| now - last >= ABSENT) {
            self.standing = Standing::Absent;
            self.say(key, "absent", now);
        }
    }
}

/// One partition's machine.
struct Machine {
    cells: BTreeMap<u32, Cell>,
    time: Option<i64>,
}

impl Machine {
    const fn new() -> Self {
        Self { cells: BTreeMap::new(), time: None }
    }

    /// Lets one record happen. Returns the cells that changed.
    fn step(&mut self, offset: i64, record: Record, rule: Rule) -> BTreeSet<u32> {
        let mut changed = BTreeSet::new();
        if self.time.is_none_or(|time| record.at > time) {
            let mut now = self.time.map_or(record.at, |time| (time / TICK + 1) * TICK);
            while now <= record.at {
                for (key, cell) in &mut self.cells {
                    if rule != Rule::TicksNotSkipped && offset <= cell.applied {
                        continue;
                    }
                    let before = (cell.standing, cell.notices.len());
                    cell.tick(*key, now);
                    if (cell.standing, cell.notices.len()) != before {
                        changed.insert(*key);
                    }
                }
                now += TICK;
            }
            self.time = Some(record.at);
        }
        let cell = self.cells.entry(record.key).or_insert_with(Cell::new);
        if offset > cell.applied {
            cell.record(record);
            changed.insert(record.key);
        }
        for key in &changed {
            self.cells.entry(*key).and_modify(|cell| cell.applied = cell.applied.max(offset));
        }
        changed
    }

    /// What two runs must agree in: everything but which record a cell saw last.
    fn states(&self) -> Vec<(u32, u64, u64, u64, Standing, usize)> {
        let state = |(key, cell): (&u32, &Cell)| {
            (*key, cell.n, cell.sum.to_bits(), cell.cusum.to_bits(), cell.standing, cell.notices.len())
        };
        self.cells.iter().map(state).collect()
    }

    fn notices(&self) -> BTreeSet<Notice> {
        self.cells.values().flat_map(|cell| cell.notices.clone()).collect()
    }
}

/// What survives crashes.
struct Disk {
    cells: BTreeMap<u32, Cell>,
    committed: i64,
    time: Option<i64>,
    /// Stream time of the newest cell, which no commit vouches for.
    newest: Option<i64>,
}

fn records(chance: &mut Chance) -> Vec<Record> {
    let mut now = 0;
    let make = |at: usize| {
        now += chance.between(0, 8);
        let late = if chance.below(12) == 0 { chance.between(0, 59) } else { 0 };
        let key = if (at / 60) % 3 == 1 { chance.below(2) } else { chance.below(6) } as u32;
        let hot = (at / 80) % 2 == 1 && key == 1;
        let x = chance.below(1_000) as f64 / 1_000.0 + if hot { 0.4 } else { 0.0 };
        Record { key, at: now - late, x }
    };
    (0..RECORDS).map(make).collect()
}

/// Whether a run with crashes ends as one without, and how many notices there were.
pub(crate) fn run(seed: u64, rule: Rule) -> (bool, usize) {
    let mut chance = Chance::new(seed, 1);
    let records = records(&mut chance);
    let mut straight = Machine::new();
    for (offset, record) in (0_i64..).zip(&records) {
        straight.step(offset, *record, Rule::Right);
    }
    let (machine, mut told) = crashing(&records, rule, &mut chance);
    told.extend(machine.notices());
    let expected = straight.notices();
    (told == expected && machine.states() == straight.states(), expected.len())
}

fn crashing(records: &[Record], rule: Rule, chance: &mut Chance) -> (Machine, BTreeSet<Notice>) {
    let mut disk = Disk { cells: BTreeMap::new(), committed: -1, time: None, newest: None };
    let (mut machine, mut unwritten, mut told) = (Machine::new(), BTreeSet::new(), BTreeSet::new());
    // The old owner, and when it writes.
    let mut old: Option<(i64, BTreeMap<u32, Cell>)> = None;
    let (mut offset, mut crashes) = (0_i64, 0);
    while let Some(record) = usize::try_from(offset).ok().and_then(|at| records.get(at)) {
        unwritten.extend(machine.step(offset, *record, rule));
        for key in unwritten.clone() {
            let Some(cell) = machine.cells.get(&key).filter(|_| chance.below(5) == 0) else { continue };
            unwritten.remove(&key);
            disk.newest = machine.time;
            // State and notices go together; each may be told from here on.
            told.extend(cell.notices.iter().filter(|_| chance.below(2) == 0).cloned());
            disk.cells.insert(key, cell.clone());
        }
        if unwritten.is_empty() || chance.below(40) == 0 {
            let left = std::mem::take(&mut unwritten);
            disk.cells.extend(left.into_iter().filter_map(|key| Some((key, machine.cells.get(&key)?.clone()))));
            (disk.committed, disk.time, disk.newest) = (offset, machine.time, machine.time);
        }
        if let Some((_, cells)) = old.take_if(|(at, _)| offset >= *at) {
            let key = chance.below(6) as u32;
            disk.cells.extend(cells.get(&key).map(|cell| (key, cell.clone())));
        }
        offset += 1;
        if chance.below(50) == 0 && crashes < 20 {
            crashes += 1;
            if rule == Rule::LateImage && chance.below(2) == 0 {
                old = Some((offset + chance.between(0, 39), machine.cells.clone()));
            }
            let time = if rule == Rule::TimeOfTheNewestCell { disk.newest } else { disk.time };
            machine = Machine { cells: disk.cells.clone(), time };
            unwritten.clear();
            offset = disk.committed + 1;
        }
    }
    (machine, told)
}
