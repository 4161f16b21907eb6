//! Daemon settings: raw -> typed, all faults at once.
