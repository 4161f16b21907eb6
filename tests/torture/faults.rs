//! Every fault of the matrix: what it is, and what shows that nothing is lost by it.

use crate::trial::Trial;
use crate::{brokers, crash, process};

/// One fault.
pub(crate) struct Fault {
    pub(crate) id: &'static str,
    pub(crate) what: &'static str,
    pub(crate) proof: Proof,
}

/// What shows it.
#[derive(Clone, Copy)]
pub(crate) enum Proof {
    /// Done here.
    Here(Tries),
    /// By tests: a file and names of functions in it.
    Tests(&'static [(&'static str, &'static [&'static str])]),
    /// Nothing yet, because ...
    Not(&'static str),
}

/// How often, and how.
#[derive(Clone, Copy)]
pub(crate) struct Tries {
    /// By day and at night.
    pub(crate) ci: usize,
    pub(crate) night: usize,
    /// Of one log, at most; more runs take more logs, each with a seed of its own.
    pub(crate) at_once: usize,
    pub(crate) play: fn(&mut Trial),
}

const fn here(ci: usize, night: usize, at_once: usize, play: fn(&mut Trial)) -> Proof {
    Proof::Here(Tries { ci, night, at_once, play })
}

const fn fault(id: &'static str, what: &'static str, proof: Proof) -> Fault {
    Fault { id, what, proof }
}

/// All of them.
pub(crate) const FAULTS: &[Fault] = &[
    fault("F01", "killed at any time", here(60, 1_000, 20, crash::killed)),
    fault("F02", "aborted with a batch that is not committed", here(20, 100, 20, crash::before_a_commit)),
    fault("F03", "aborted within a commit", here(30, 150, 15, crash::within_a_commit)),
    fault("F04", "aborted right after a commit", here(20, 100, 20, crash::after_a_commit)),
    fault("F06", "aborted before a message's first connection", here(20, 100, 20, crash::before_a_message)),
    fault("F08", "aborted after a receiver said yes", here(20, 100, 20, crash::after_a_message)),
    fault("F09", "aborted when partitions are taken away", here(4, 20, 10, process::aborted_at_a_revocation)),
    fault("F10", "aborted at a checkpoint", here(10, 100, 20, process::aborted_at_the_checkpoint)),
    fault("F14", "stopped by every signal, twice, without brokers", here(20, 200, 20, process::stopped)),
    fault("F15", "aborted or killed taking over an older file", here(12, 60, 12, process::aborted_taking_over)),
    fault("F20", "a batch takes longer than the group waits", here(2, 10, 5, process::held_up)),
    fault("F21", "the coordinator refuses", here(5, 25, 5, brokers::refusing_coordinator)),
    fault("F25", "an offset is refused while running", here(4, 20, 5, brokers::refused_offsets)),
    fault("F29", "all brokers away or frozen", here(4, 20, 5, brokers::away)),
    fault("F30", "one of three brokers away or slow", here(5, 20, 5, brokers::one_of_three)),
    fault("F31", "leaders move every two seconds", here(10, 60, 20, brokers::moving_leaders)),
    fault("F32", "fetches are refused", here(5, 40, 10, brokers::refused_fetches)),
];
