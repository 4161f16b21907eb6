//! The entry point for programs that load the functions into their own SQLite: the `sqlite3` shell, Python, Datasette.
#![expect(unsafe_code, reason = "SQLite calls by C's conventions; this file is all there is of it")]

use std::ffi::{c_char, c_int};
use std::mem::{MaybeUninit, offset_of};

use rusqlite::ffi::{self, sqlite3_api_routines as Routines};
use rusqlite::{Connection, Result};

/// The oldest SQLite that takes the extension, which is the oldest that reads our tables.
const OLDEST: c_int = 3_037_000;

/// SQLite derives this name from the file's, `libshewhart.so`.
///
/// # Safety
/// SQLite calls it with its own connection, place for an error message and table of routines; nothing else may.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_shewhart_init(
    db: *mut ffi::sqlite3,
    message: *mut *mut c_char,
    routines: *mut Routines,
) -> c_int {
    if routines.is_null() {
        return ffi::SQLITE_ERROR;
    }
    // SAFETY: the arguments are SQLite's, and passed on as they came but for the table, which stands for its own. Its fields
    // are read one by one, because it may be shorter than the type says.
    unsafe {
        let Some(mut known) = known(routines) else {
            let print = (&raw const (*routines).mprintf).read();
            if let (false, Some(print)) = (message.is_null(), print) {
                *message = print(c"libshewhart needs SQLite 3.37 or newer".as_ptr());
            }
            return ffi::SQLITE_ERROR;
        };
        Connection::extension_init2(db, message, &raw mut known, init)
    }
}

/// The routines that a SQLite has, which may be older than the one that rusqlite's declarations were made from and would be
/// refused for it. Tables only grow at their end, so the beginning up to [`OLDEST`] is there in all that are taken; the rest
/// is left empty, and nothing here calls it.
///
/// # Safety
/// The table is SQLite's own.
unsafe fn known(routines: *mut Routines) -> Option<Routines> {
    // SAFETY: no more is read of the table than a SQLite of that version has; and a table of null pointers is an empty one.
    unsafe {
        let version = (&raw const (*routines).libversion_number).read()?();
        let mut known = MaybeUninit::<Routines>::zeroed();
        let new = version >= ffi::SQLITE_VERSION_NUMBER;
        let bytes = match version {
            ..OLDEST => return None,
            _ if new => size_of::<Routines>(),
            // The first routine that 3.38 added.
            _ => offset_of!(Routines, error_offset),
        };
        known.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(routines.cast::<u8>(), bytes);
        let mut known = known.assume_init();
        if !new {
            known.libversion_number = Some(declared_version);
        }
        Some(known)
    }
}

unsafe extern "C" fn declared_version() -> c_int {
    ffi::SQLITE_VERSION_NUMBER
}

#[expect(clippy::needless_pass_by_value, reason = "rusqlite hands the connection over")]
fn init(db: Connection) -> Result<bool> {
    super::functions::add(&db)?;
    // It stays loaded when the connection is closed: what is thread-local in Rust does not bear being unloaded.
    Ok(true)
}
