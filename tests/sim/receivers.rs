//! Who is told, and what people do: deliveries that fail, or arrive without anybody knowing; silences, acknowledgements, other
//! rules, another baseline.

use std::collections::BTreeMap;

use shewhart::engine::alert::{Id, State};
use shewhart::engine::route::{Ack, Message, Signal, Silence};
use shewhart::engine::units::{Span, Timestamp};

use crate::odds::Variant;
use crate::outbox::{self, Answer, Due, Standing};
use crate::workload::{MINUTE, RECEIVERS, SECOND};
use crate::world::{BROKEN, Change, Failed, World};

/// An attempt on its way.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    due: Due,
    ends_at: i64,
    answer: Answer,
    /// Whether the receiver takes it, whatever it answers.
    arrives: bool,
    arrived: bool,
}

/// A copy that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) receiver: &'static str,
    pub(crate) message: Message,
}

/// What the receivers have.
#[derive(Debug, Default)]
pub(crate) struct Receivers {
    pub(crate) copies: Vec<Copy>,
    /// Attempts that arrived and were not settled as delivered, by message.
    pub(crate) interrupted: BTreeMap<Id, u64>,
    /// Who is away, and until when.
    away: BTreeMap<&'static str, i64>,
}

impl World<'_> {
    /// Gives every receiver that is free its next message.
    pub(crate) fn give_due(&mut self) {
        let now = self.wall();
        for receiver in RECEIVERS {
            if self.daemon.flights.contains_key(receiver) {
                continue;
            }
            let Some(due) = self.image.outbox.due(receiver, now) else { continue };
            if self.variant == Variant::EndlessLease {
                self.image.outbox.lease(due.message.id);
            }
            let (answer, arrives) = self.answer(receiver, due.fallback);
            let ends_at = self.now + self.chance.between(50, 20 * SECOND);
            let flight = Flight { due, ends_at, answer, arrives, arrived: false };
            self.note(|_| format!("{receiver} is told {} ({answer:?}, arrives: {arrives})", flight.due.message.id));
            self.daemon.flights.insert(receiver, flight);
        }
    }

    /// A receiver is away for up to an hour.
    pub(crate) fn begin_outage(&mut self) {
        let until = self.now + self.chance.between(1, 60) * MINUTE;
        let Some(receiver) = self.chance.one_of(&RECEIVERS).copied() else { return };
        self.note(|_| format!("{receiver} is away"));
        self.receivers.away.insert(receiver, until);
    }

    /// What a receiver will answer, and whether the message arrives.
    fn answer(&mut self, receiver: &str, fallback: bool) -> (Answer, bool) {
        if !self.faults {
            return (Answer::Accepted, true);
        }
        if self.receivers.away.get(receiver).is_some_and(|until| self.now < *until) {
            return (Answer::NotNow, false);
        }
        // Who refuses the whole text refuses the short one as often as not.
        if self.chance.happens(if fallback { 5_000 } else { self.odds.refused }) {
            return (Answer::Refused, false);
        }
        if self.chance.happens(self.odds.unknown) {
            return (Answer::NotNow, true);
        }
        let fails = self.chance.happens(self.odds.sink);
        (if fails { Answer::NotNow } else { Answer::Accepted }, !fails)
    }

    /// Writes down the attempts that ended.
    pub(crate) fn settle_ended(&mut self) -> Result<(), Failed> {
        for receiver in RECEIVERS {
            let now = self.now;
            let ended = self.daemon.flights.get_mut(receiver).filter(|flight| flight.ends_at <= now);
            let Some(flight) = ended else { continue };
            flight.arrived = flight.arrives;
            let (id, answer) = (flight.due.message.id, flight.answer);
            let (due, arrived) = (flight.due.clone(), flight.arrived);
            if arrived {
                self.receivers.copies.push(Copy { receiver, message: due.message.clone() });
            }
            let outcome = outbox::after(answer, &due, self.wall());
            self.note(|_| format!("{receiver} answered on {id}: {outcome:?}"));
            self.with_room(|world| {
                let (kept, failed) = world.fate();
                if kept {
                    let now = world.wall();
                    world.image.outbox.settle(id, outcome, now);
                }
                failed.map_or(Ok(()), Err)
            })?;
            self.daemon.flights.remove(receiver);
            if arrived && answer != Answer::Accepted {
                *self.receivers.interrupted.entry(id).or_default() += 1;
            }
        }
        Ok(())
    }

    /// What was on its way when the process went may arrive, and nobody knows.
    pub(crate) fn interrupt_flights(&mut self) {
        for (receiver, flight) in std::mem::take(&mut self.daemon.flights) {
            let id = flight.due.message.id;
            let arrives = flight.arrives && !flight.arrived && self.chance.happens(5_000);
            if arrives {
                self.receivers.copies.push(Copy { receiver, message: flight.due.message });
            }
            let settled = self.image.outbox.rows().any(|(row, r)| row == id && r.standing == Standing::Delivered);
            if (arrives || flight.arrived) && !settled {
                *self.receivers.interrupted.entry(id).or_default() += 1;
            }
        }
    }

    /// What people do now and then.
    pub(crate) fn people(&mut self) -> Result<(), Failed> {
        match self.chance.below(400) {
            0 | 1 => self.silence(),
            2 => self.end_silence(),
            3..=6 => self.acknowledge(),
            7 => {
                self.files = *self.chance.one_of(&[0, 1, 2, BROKEN]).unwrap_or(&0);
                self.take_rules(self.files)
            }
            // Changed, and not noticed before the process ends or is asked to look.
            8 => {
                self.files = *self.chance.one_of(&[0, 1, 2, BROKEN]).unwrap_or(&0);
                Ok(())
            }
            9 => {
                // By another process, in a transaction of its own.
                self.image.promoted = self.chance.below(3).max(self.image.promoted.min(1) as u64) as usize;
                self.note(|w| format!("baselines {} are promoted", w.image.promoted));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn say(&mut self, signal: &Signal) -> Result<(), Failed> {
        self.note(|_| format!("somebody says {signal:?}"));
        self.with_room(|world| world.commit_all(Change { signals: vec![signal.clone()], ..Change::default() }))
    }

    fn silence(&mut self) -> Result<(), Failed> {
        let agent = format!("agent=agent-{}-{}", self.chance.below(2), self.chance.below(3));
        let (now, minutes) = (self.wall(), self.chance.between(5, 90));
        let matchers = vec![agent.parse().expect("a matcher")];
        let until = now.plus(Span::from_millis(minutes * MINUTE));
        let silence = Silence::new(matchers, ("ann", "at work on it"), (now, until), now).expect("a good silence");
        self.say(&Signal::Silence(Box::new(silence)))
    }

    fn end_silence(&mut self) -> Result<(), Failed> {
        let Some(id) = self.daemon.router.silences().map(|silence| silence.id).next() else { return Ok(()) };
        self.say(&Signal::EndSilence { id, by: "bob".to_owned() })
    }

    fn acknowledge(&mut self) -> Result<(), Failed> {
        let fires = |row: &outbox::Row| row.message().crossings.into_iter().find(|c| c.to == State::Firing);
        let open: Vec<Id> = self.image.outbox.rows().filter_map(|(_, row)| fires(row)).map(|c| c.alert_id).collect();
        let Some(alert) = self.chance.one_of(&open).copied() else { return Ok(()) };
        if self.daemon.router.alert(alert).is_none_or(|(crossing, _)| crossing.to != State::Firing) {
            return Ok(());
        }
        let at: Timestamp = self.wall();
        let ack = Ack { by: "ann".to_owned(), note: "mine".to_owned(), at };
        self.say(&Signal::Acknowledge { alert, ack })
    }
}
