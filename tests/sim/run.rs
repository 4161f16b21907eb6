//! A seed from its first step to the verdict: faults go on, then they stop and everything must come to rest; then the run is
//! compared with machines that nothing ever interrupted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use shewhart::engine::alert::{Crossing, Id, State};
use shewhart::engine::units::{Offset, Partition, Timestamp};
use shewhart::engine::{Effect, Input};

use crate::odds::{Count, Variant};
use crate::outbox::{self, Standing};
use crate::store::{History, Image};
use crate::workload::{self, Log, MINUTE, PARTITIONS, Plan, SECOND};
use crate::world::World;

/// Rounds in which everything must come to rest once nothing goes wrong any more.
const REST_WITHIN: u64 = 3_000;
/// How long the quiet after the last record is watched.
const QUIET: i64 = 40 * MINUTE;
/// How long the slowest route gathers alerts before it tells them.
const GATHERED: i64 = 6 * MINUTE;
/// A message that failed so often may be overtaken.
const OUT_OF_TURN: u32 = 30;

/// How a seed ended.
pub(crate) struct Ended {
    pub(crate) count: Count,
    /// The first thing that is not as it must be.
    pub(crate) difference: Option<String>,
    pub(crate) trace: String,
}

/// Runs a seed.
pub(crate) fn run(seed: u64, steps: u64, plan: &Plan, variant: Variant, traced: bool) -> Ended {
    let log = workload::log(seed, (steps * 2) as usize);
    let mut world = World::new(seed, plan, &log, variant, traced);
    for _ in 0..steps {
        let pause = world.chance.pause(40 * SECOND);
        world.step(pause);
    }
    world.faults = false;
    world.note(|_| "from here on nothing goes wrong".to_owned());
    // And a last start from what is on the disk, as after an upgrade.
    let rested = rest(&mut world).and_then(|()| {
        world.crash();
        rest(&mut world)
    });
    let mut count = world.count;
    count.crossings = world.image.crossings.len() as u64;
    count.messages = world.image.outbox.rows().count() as u64;
    count.copies = world.receivers.copies.len() as u64;
    count.dead = world.image.outbox.rows().filter(|(_, row)| row.standing == Standing::Dead).count() as u64;
    let difference = rested
        .and_then(|()| as_uninterrupted(&world.image, plan, &log, batch_size(seed)))
        .and_then(|()| all_told(&world))
        .and_then(|()| no_more_copies_than_interruptions(&world))
        .and_then(|()| in_order(&world))
        .err();
    Ended { count, difference, trace: world.take_trace() }
}

/// How many records an uninterrupted machine takes at once: it must not matter.
const fn batch_size(seed: u64) -> usize {
    match seed % 3 {
        0 => 1,
        1 => 7,
        _ => 5_000,
    }
}

fn rest(world: &mut World<'_>) -> Result<(), String> {
    let appended = world.log.values().filter_map(|log| log.last()).map(|record| record.appended);
    let end = appended.max().unwrap_or(world.now) + QUIET;
    for _ in 0..REST_WITHIN {
        let now = world.wall();
        let told = world.image.outbox.pending() + world.daemon.flights.len() == 0;
        // What a silence held back is looked at within a minute of its end.
        if world.daemon.router.silences().next().is_some() {
            world.crossed_at = world.now;
        }
        let settled = world.now >= end.max(world.crossed_at + GATHERED);
        if settled && world.unread() == 0 && told {
            return Ok(());
        }
        // Straight to what is due next, but never far: the log goes on.
        let due = workload::RECEIVERS.iter().filter_map(|receiver| world.image.outbox.next_due(receiver));
        let silenced = world.daemon.router.silences().map(|silence| silence.ends_at);
        let next = due.chain(world.daemon.router.deadline()).chain(silenced).min();
        let wait = next.map_or(MINUTE, |at| at.since(now).as_millis());
        let far = if world.now < end { MINUTE } else { 48 * workload::HOUR };
        world.step(wait.clamp(SECOND, far));
    }
    let (unread, pending) = (world.unread(), world.image.outbox.pending());
    Err(format!("no rest after {REST_WITHIN} rounds: {unread} records unread, {pending} messages pending"))
}

/// The same log and the same events through machines that nothing interrupts.
fn straight(history: &History, partition: i32, plan: &Plan, log: &Log, batch: usize) -> Image {
    let mut image = Image::default();
    let mut engine = plan.engine(partition, history.first.0, history.first.1);
    let mut events = history.events.iter().peekable();
    let (mut effects, mut all): (Vec<Effect>, Vec<(i32, Effect)>) = (Vec::new(), Vec::new());
    let records = log.get(&partition).map(Vec::as_slice).unwrap_or_default();
    for (offset, record) in (0_i64..).zip(records) {
        while let Some((_, event)) = events.next_if(|(before, _)| *before <= offset) {
            engine.step(plan.input(*event), &mut effects);
        }
        let appended = Some(Timestamp::from_millis(record.appended));
        engine.step(Input::Record { offset: Offset(offset), appended, payload: &record.payload }, &mut effects);
        all.extend(effects.drain(..).map(|effect| (partition, effect)));
        if (offset as usize + 1).is_multiple_of(batch) {
            image.write_engine(&mut engine);
            image.write_effects(&std::mem::take(&mut all));
        }
    }
    for (_, event) in events {
        engine.step(plan.input(*event), &mut effects);
    }
    all.extend(effects.drain(..).map(|effect| (partition, effect)));
    image.write_engine(&mut engine);
    image.write_effects(&all);
    image
}

/// States bit for bit, crossings, rejected records, rows of every rollup.
fn as_uninterrupted(found: &Image, plan: &Plan, log: &Log, batch: usize) -> Result<(), String> {
    let mut crossings = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let history = found.history.get(&partition).ok_or("a partition was never committed")?;
        let right = straight(history, partition, plan, log, batch);
        let of = |id: &(i32, u32)| id.0 == partition;
        let number = Partition(partition);
        same("position", [(partition, found.position(number))], [(partition, right.position(number))])?;
        same("stream", found.streams.iter().filter(|(id, _)| of(id)), &right.streams)?;
        same("provisional baseline", found.profiles(partition), right.profiles(partition))?;
        same("pane", found.panes.iter().filter(|((id, ..), _)| of(id)), &right.panes)?;
        same("arrivals", found.arrivals.iter().filter(|((id, _), _)| of(id)), &right.arrivals)?;
        same("version", found.versions.iter().filter(|((id, _), _)| of(id)), &right.versions)?;
        same("chart point", found.points.iter().filter(|((id, ..), _)| of(id)), &right.points)?;
        same("rejected", found.rejected.iter().filter(|((p, _), _)| *p == partition), &right.rejected)?;
        let recent = |image: &Image| image.recent_outputs(partition, plan.settings.recent_outputs);
        same("recent outputs", [(partition, recent(found))], [(partition, recent(&right))])?;
        crossings.extend(right.crossings);
    }
    same("crossing", &found.crossings, &crossings)
}

/// Compares two lists in the order of their keys, and names the first difference.
fn same<K: Debug + Ord, V: PartialEq + Debug>(
    what: &str,
    found: impl IntoIterator<Item = (K, V)>,
    right: impl IntoIterator<Item = (K, V)>,
) -> Result<(), String> {
    let (mut found, mut right) = (found.into_iter(), right.into_iter());
    loop {
        match (found.next(), right.next()) {
            (None, None) => return Ok(()),
            (Some(a), Some(b)) if a == b => {}
            (a, b) => {
                let show = |one: Option<(K, V)>| one.map_or("nothing".to_owned(), |one| format!("{one:?}"));
                let (a, b) = (show(a), show(b));
                let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
                let (a, b) = (short(&a, same), short(&b, same));
                return Err(format!("{what}: found {a}, an uninterrupted machine has {b}"));
            }
        }
    }
}

/// What it is, and where it begins to differ.
fn short(text: &str, same: usize) -> String {
    let part = |from: usize, most: usize| text.chars().skip(from).take(most).collect::<String>();
    if same < 200 { part(0, 300) } else { format!("{} ... {}", part(0, 60), part(same - 140, 240)) }
}

/// Every alert that fired was told to everybody whom its route names, and so was its end; or the message is dead.
fn all_told(world: &World<'_>) -> Result<(), String> {
    // By receiver and alert: the newest transition that arrived or was given up.
    let mut newest: BTreeMap<(String, Id), u32> = BTreeMap::new();
    let mut note = |receiver: &str, message: &shewhart::engine::route::Message| {
        for (alert, transition, _) in outbox::told(message) {
            let known = newest.entry((receiver.to_owned(), alert)).or_default();
            *known = (*known).max(transition);
        }
    };
    for copy in &world.receivers.copies {
        note(copy.receiver, &copy.message);
    }
    for (_, row) in world.image.outbox.rows().filter(|(_, row)| row.standing == Standing::Dead) {
        note(&row.receiver, &row.message());
    }
    let read = |text: &String| serde_json::from_str::<Crossing>(text).expect("crossings are JSON");
    let mut alerts: BTreeMap<Id, Vec<Crossing>> = BTreeMap::new();
    for crossing in world.image.crossings.values().map(read) {
        alerts.entry(crossing.alert_id).or_default().push(crossing);
    }
    for (id, mut crossings) in alerts {
        crossings.sort_by_key(|crossing| crossing.transition);
        let Some(fired) = crossings.iter().find(|crossing| crossing.to == State::Firing) else { continue };
        let last = crossings.last().unwrap_or(fired);
        for receiver in world.plan.policy.receivers_of(&fired.labels) {
            let known = newest.get(&(receiver.to_owned(), id)).copied().unwrap_or(0);
            if known < last.transition {
                let (alert, to, reason) = (&last.alert, last.to.as_str(), last.reason.as_str());
                return Err(format!(
                    "{receiver} was never told that {alert} {id} is {to} ({reason}): knows transition {known} of {}",
                    last.transition
                ));
            }
        }
    }
    Ok(())
}

/// Copies are at most one more than the attempts at that message that were interrupted, and none was told that is not written.
fn no_more_copies_than_interruptions(world: &World<'_>) -> Result<(), String> {
    let written: BTreeSet<Id> = world.image.outbox.rows().map(|(id, _)| id).collect();
    let mut copies: BTreeMap<Id, u64> = BTreeMap::new();
    for copy in &world.receivers.copies {
        *copies.entry(copy.message.id).or_default() += 1;
    }
    for (id, found) in copies {
        let interrupted = world.receivers.interrupted.get(&id).copied().unwrap_or(0);
        if found > 1 + interrupted {
            return Err(format!("message {id} arrived {found} times after {interrupted} interrupted attempts"));
        }
        if !written.contains(&id) {
            return Err(format!("message {id} arrived and is not in the outbox"));
        }
    }
    Ok(())
}

/// In a group no receiver hears of an older state of an alert after a newer one.
fn in_order(world: &World<'_>) -> Result<(), String> {
    let rows = world.image.outbox.rows();
    let tried: BTreeSet<String> =
        rows.filter(|(_, row)| row.attempts >= OUT_OF_TURN).map(|(_, row)| row.group_key.clone()).collect();
    let mut heard: BTreeSet<Id> = BTreeSet::new();
    let mut newest: BTreeMap<(String, Id), u32> = BTreeMap::new();
    for copy in &world.receivers.copies {
        let key = &copy.message.group_key;
        if !heard.insert(copy.message.id) || tried.contains(key) {
            continue;
        }
        for (alert, transition, _) in outbox::told(&copy.message) {
            let known = newest.entry((key.clone(), alert)).or_default();
            if transition < *known {
                return Err(format!(
                    "{} heard transition {transition} of alert {alert} after {known}, in group {key}",
                    copy.receiver
                ));
            }
            *known = transition;
        }
    }
    Ok(())
}
