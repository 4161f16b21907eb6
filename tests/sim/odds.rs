//! What can go wrong in a run and how often, and what did.

use crate::chance::Chance;

/// How the store may be wrong; each must be noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// As it should be.
    Right,
    /// A crash in a commit leaves the position without the states.
    PositionWithoutStates,
    /// Stream time is restored as it was at the crash, not as it was committed.
    NewerTime,
    /// After a crash the old owner writes one stream as it knew it.
    LateImage,
    /// Messages of a commit that a crash follows are lost.
    LostMessages,
    /// Who has a message is written down, and stays so after a crash.
    EndlessLease,
    /// A commit is not synced: a crash undoes the last ones.
    NotSynced,
}

impl Variant {
    /// Those that must be noticed.
    pub(crate) const WRONG: [Self; 6] = [
        Self::PositionWithoutStates,
        Self::NewerTime,
        Self::LateImage,
        Self::LostMessages,
        Self::EndlessLease,
        Self::NotSynced,
    ];
}

/// How often what goes wrong, in parts of 10,000: drawn once for a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Odds {
    pub(crate) crash: u64,
    pub(crate) write: u64,
    pub(crate) sync: u64,
    pub(crate) redelivery: u64,
    pub(crate) rebalance: u64,
    pub(crate) sink: u64,
    pub(crate) unknown: u64,
    pub(crate) refused: u64,
    pub(crate) outage: u64,
    pub(crate) clock: u64,
}

impl Odds {
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        let mut up_to = |most: u64| chance.below(most + 1);
        Self {
            crash: up_to(200),
            write: up_to(1_000),
            sync: up_to(200),
            redelivery: up_to(5_000),
            rebalance: up_to(300),
            sink: up_to(3_000),
            unknown: up_to(1_000),
            refused: up_to(500),
            outage: up_to(100),
            clock: up_to(100),
        }
    }
}

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) commits: u64,
    pub(crate) crashes: u64,
    pub(crate) rollbacks: u64,
    pub(crate) rebalances: u64,
    pub(crate) redelivered: u64,
    pub(crate) jumps: u64,
    pub(crate) crossings: u64,
    pub(crate) messages: u64,
    pub(crate) copies: u64,
    pub(crate) dead: u64,
}

impl Count {
    /// Both together.
    pub(crate) const fn and(self, other: &Self) -> Self {
        Self {
            commits: self.commits + other.commits,
            crashes: self.crashes + other.crashes,
            rollbacks: self.rollbacks + other.rollbacks,
            rebalances: self.rebalances + other.rebalances,
            redelivered: self.redelivered + other.redelivered,
            jumps: self.jumps + other.jumps,
            crossings: self.crossings + other.crossings,
            messages: self.messages + other.messages,
            copies: self.copies + other.copies,
            dead: self.dead + other.dead,
        }
    }
}
