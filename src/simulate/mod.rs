//! Seeded synthetic agents with planted changes.
