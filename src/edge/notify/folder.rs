//! Mails written to a folder: for trying things out, and for mail systems that pick up files.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use super::eml::{render_eml, render_fallback_eml};
use super::settings::{FolderSettings, MailSettings};
use super::{Attempt, DeliveryError, FailureClass};
use crate::engine::route::Message;
use crate::engine::units::Timestamp;

/// Writes the mail under a name made from the message's own time and id, so that a second delivery replaces the file
/// of the first. Readers that look for `*.eml` never see half a mail.
pub(super) fn deliver(settings: &FolderSettings, message: &Message, attempt: Attempt) -> Result<(), DeliveryError> {
    let mail = mailboxes()?;
    let render = if attempt.fallback { render_fallback_eml } else { render_eml };
    let bytes = render(message, &mail, attempt.now).map_err(|e| DeliveryError::build(e.to_string()))?;
    let name = file_name(message);
    write(&settings.path, &name, &bytes).map_err(|e| {
        // A full or missing disk is repaired by people; the message waits for them.
        DeliveryError::retry(FailureClass::ServerError, format!("cannot write to {}: {e}", settings.path.display()))
    })
}

/// The time is the latest crossing's, not the wall clock's, or a second attempt would make a second file.
fn file_name(message: &Message) -> String {
    let at = message.crossings.iter().map(|c| c.at).max().map_or(0, Timestamp::as_millis);
    let time = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{}-{}.eml", time.strftime("%Y%m%dT%H%M%SZ"), message.id)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let partial = folder.join(format!(".{name}.partial"));
    let mut file = File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, folder.join(name))?;
    // The rename itself is on disk only when the folder is.
    File::open(folder)?.sync_all()
}

fn mailboxes() -> Result<MailSettings, DeliveryError> {
    let mailbox = |text: &str| text.parse().ok().ok_or_else(|| DeliveryError::build("no mailbox".to_owned()));
    let to: lettre::message::Mailbox = mailbox("operators@localhost")?;
    Ok(MailSettings { from: mailbox("shewhart@localhost")?, to: to.into() })
}
