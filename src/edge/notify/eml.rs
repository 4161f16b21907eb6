//! A message as a mail: headers, a text part, an HTML part with the charts of its first alerts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{ContentTransferEncoding, ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Attachment, Body, MultiPart, MultiPartKind, SinglePart};

use super::html::Inline;
use super::page::Page;
use super::settings::MailSettings;
use super::{html, text};
use crate::engine::alert::Id;
use crate::engine::route::Message;
use crate::engine::units::Timestamp;

/// Most pictures of a mail.
const PICTURES: usize = 3;

/// Why a mail could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// The mail library refused a part of it.
    #[error("cannot build the mail: {0}")]
    Build(String),
    /// The mail library panicked.
    #[error("cannot build the mail: the mail library panicked")]
    Panicked,
}

/// The message as a mail, ready to be sent or written to a file. The same message and time give the same bytes.
pub fn render_eml(message: &Message, mail: &MailSettings, now: Timestamp) -> Result<Vec<u8>, NotifyError> {
    guarded(message, mail, now, || Page::of(message))
}

/// The message as a mail without any text from agents.
pub fn render_fallback_eml(message: &Message, mail: &MailSettings, now: Timestamp) -> Result<Vec<u8>, NotifyError> {
    guarded(message, mail, now, || Page::fallback(message, now))
}

/// A panic in the library must cost one message, not the thread that sends all of them.
fn guarded(
    message: &Message,
    mail: &MailSettings,
    now: Timestamp,
    page: impl FnOnce() -> Page,
) -> Result<Vec<u8>, NotifyError> {
    catch_unwind(AssertUnwindSafe(|| build(message, mail, now, &page()))).unwrap_or(Err(NotifyError::Panicked))
}

fn build(message: &Message, mail: &MailSettings, now: Timestamp, page: &Page) -> Result<Vec<u8>, NotifyError> {
    let host = mail.from.email.domain();
    let name = |id: Id| format!("<{id}@{host}>");
    let since_epoch = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0));
    let mut builder = lettre::Message::builder()
        .from(mail.from.clone())
        .mailbox(lettre::message::header::To::from(mail.to.clone()))
        .date(UNIX_EPOCH + since_epoch)
        .message_id(Some(name(message.id)))
        // An agent's name that looks like an encoded word would be decoded by some programs.
        .subject(page.subject.replace("=?", "= ?"))
        // Keeps out-of-office programs from answering.
        .header(AutoSubmitted);
    if message.thread != message.id {
        builder = builder.in_reply_to(name(message.thread)).references(name(message.thread));
    }
    // Boundaries of our own instead of random ones, so that a mail can be compared byte by byte.
    let parts = MultiPart::builder()
        .kind(MultiPartKind::Alternative)
        .boundary(format!("shewhart-{}", message.id))
        .singlepart(part(ContentType::TEXT_PLAIN, text::layout(page))?);
    let (pictures, bytes): (Vec<_>, Vec<_>) = pictures(message, page).into_iter().unzip();
    let html = part(ContentType::TEXT_HTML, html::layout(page, &pictures))?;
    let parts = if pictures.is_empty() {
        parts.singlepart(html)
    } else {
        let related = MultiPart::builder().kind(MultiPartKind::Related).boundary(format!("charts-{}", message.id));
        let png = ContentType::parse("image/png").map_err(|e| NotifyError::Build(e.to_string()))?;
        let images = pictures.into_iter().zip(bytes);
        parts.multipart(images.fold(related.singlepart(html), |parts, (picture, bytes)| {
            parts.singlepart(Attachment::new_inline(picture.id).body(bytes, png.clone()))
        }))
    };
    let built = builder.multipart(parts).map_err(|e| NotifyError::Build(e.to_string()))?;
    Ok(built.formatted())
}

/// The charts of the first alerts that have one. A picture is comfort: one that cannot be drawn is left out.
fn pictures(message: &Message, page: &Page) -> Vec<(Inline, Vec<u8>)> {
    let drawn = page.blocks.iter().enumerate().filter_map(|(block, told)| Some((block, told.picture.as_ref()?)));
    let drawn = drawn.take(PICTURES).filter_map(|(block, picture)| {
        let png = catch_unwind(AssertUnwindSafe(|| picture.png())).ok().flatten()?;
        let id = format!("chart-{}.{}@shewhart", block + 1, message.id);
        Some((Inline { block, id, alt: picture.words(), legend: picture.legend() }, png))
    });
    drawn.collect()
}

/// Quoted-printable whatever the content: lines stay short, and dots and bytes beyond ASCII pass every server.
fn part(kind: ContentType, text: String) -> Result<SinglePart, NotifyError> {
    let body = Body::new_with_encoding(text, ContentTransferEncoding::QuotedPrintable);
    let body = body.ok().ok_or_else(|| NotifyError::Build("the text is not encodable".to_owned()))?;
    Ok(SinglePart::builder().header(kind).body(body))
}

/// RFC 3834.
#[derive(Clone, Copy)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
