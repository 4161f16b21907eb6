//! The entry point for programs that load the functions into their own SQLite: the `sqlite3` shell, Python.
#![expect(unsafe_code, reason = "SQLite calls by C's conventions; this file is all there is of it")]

use std::ffi::{c_char, c_int};
use std::mem::{MaybeUninit, offset_of};

use rusqlite::{Connection, ffi};

/// The oldest SQLite that can load this: Debian 12 has it.
const OLDEST: c_int = 3_040_000;

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
    // SAFETY: SQLite's own table, which lives as long as the process.
    let Some(host) = (unsafe { routines.as_ref() }).and_then(|table| table.libversion_number) else {
        return ffi::SQLITE_ERROR;
    };
    // SAFETY: it takes nothing and gives a number.
    let version = unsafe { host() };
    if version < OLDEST {
        return ffi::SQLITE_ERROR;
    }
    if version >= ffi::SQLITE_VERSION_NUMBER {
        // SAFETY: the arguments are passed on as they came, to the function that was made for them.
        return unsafe { Connection::extension_init2(db, message, routines, init) };
    }
    let mut table = MaybeUninit::<ffi::sqlite3_api_routines>::zeroed();
    // SAFETY: tables only grow, and that of 3.40 reaches up to here; what is not there is no routine, which is what zeros are.
    let mut table = unsafe {
        let known = offset_of!(ffi::sqlite3_api_routines, is_interrupted);
        std::ptr::copy_nonoverlapping(routines.cast::<u8>(), table.as_mut_ptr().cast::<u8>(), known);
        table.assume_init()
    };
    table.libversion_number = Some(newest);
    // SAFETY: as above; the table is copied before this returns, and the functions need none of the routines that are missing.
    unsafe { Connection::extension_init2(db, message, &raw mut table, init) }
}

/// rusqlite refuses every SQLite that is older than the one whose table it was made for, whatever is used of it.
unsafe extern "C" fn newest() -> c_int {
    ffi::SQLITE_VERSION_NUMBER
}

fn init(db: Connection) -> rusqlite::Result<bool> {
    super::functions::add(&db)?;
    // It stays loaded when the connection is closed: what is thread-local in Rust does not bear being unloaded.
    Ok(true)
}
