//! Records in order -> engine -> router; wall time made up; no I/O.
