//! The entry point for programs that load the functions into their own SQLite: the `sqlite3` shell, Python.
#![expect(unsafe_code, reason = "SQLite calls by C's conventions; this file is all there is of it")]

use std::ffi::{c_char, c_int};

use rusqlite::{Connection, ffi};

/// SQLite derives this name from the file's, `libshewhart.so`.
///
/// # Safety
/// SQLite calls it with its own connection, table of routines and place for an error message; nothing else may.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_shewhart_init(
    db: *mut ffi::sqlite3,
    message: *mut *mut c_char,
    routines: *mut ffi::sqlite3_api_routines,
) -> c_int {
    // SAFETY: the arguments are passed on as they came, to the function that was made for them.
    unsafe { Connection::extension_init2(db, message, routines, init) }
}

fn init(db: Connection) -> rusqlite::Result<bool> {
    super::functions::add(&db)?;
    // It stays loaded when the connection is closed: what is thread-local in Rust does not bear being unloaded.
    Ok(true)
}
