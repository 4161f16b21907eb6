//! Telling people: one message to one receiver, one attempt at a time.
//!
//! [`deliver`] says what came of an attempt in words that the outbox can act on: delivered, try again, or give up. It
//! blocks for half a minute a request, or as long as a command may take, keeps nothing between attempts, and never takes
//! an unclear answer for a yes.

pub mod address;
pub mod alertmanager;
pub mod chart;
pub mod clean;
mod email;
mod eml;
mod exec;
mod facts;
mod folder;
pub mod html;
mod http;
mod links;
mod notes;
mod once;
mod page;
pub mod pagerduty;
pub mod payload;
mod refusal;
mod secret;
mod settings;
pub mod slack;
pub mod text;
mod webhook;

use std::time::Duration;

pub use self::alertmanager::AlertmanagerSettings;
pub use self::eml::{NotifyError, render_eml, render_fallback_eml};
pub use self::exec::ExecSettings;
pub use self::facts::facts;
pub(super) use self::http::LONGEST_PAUSE;
pub use self::once::post_once;
pub use self::page::{ALERTS_SHOWN, told};
pub use self::pagerduty::PagerdutySettings;
pub use self::secret::{Opened, Secret, SecretError};
pub use self::settings::{
    EmailSettings, FolderSettings, HttpTimeouts, MailSettings, Receiver, Security, SettingsError, Url, WebhookSettings,
};
pub use self::slack::SlackSettings;
use super::figures;
use crate::engine::alert::{Crossing, Id};
use crate::engine::route::Message;
use crate::engine::units::Timestamp;

/// How to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Whether to send only ids, rule, severity and time, because the receiver refused the whole message.
    pub fallback: bool,
    /// The wall clock: the mail's date, the signature's time.
    pub now: Timestamp,
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It may work later; not before `after`, if the receiver said so.
    Retry {
        /// What the receiver asked for.
        after: Option<Duration>,
    },
    /// It may work later, but each attempt may do half of the work: not often.
    Doubtful,
    /// It will not work with this message and these settings.
    Permanent,
}

/// What kind of failure it was, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureClass {
    /// The receiver refused the message.
    ClientError,
    /// The receiver refused the login, or there is none.
    AuthError,
    /// The receiver wants less.
    RateLimited,
    /// The receiver is in trouble.
    ServerError,
    /// It took too long.
    Timeout,
    /// There was no connection, or it broke.
    Connect,
    /// There was no protection to be had.
    Tls,
    /// The address is one that webhooks may not reach.
    RefusedAddress,
    /// The command could not be started, or failed.
    Command,
    /// The message could not be made.
    Build,
}

impl FailureClass {
    /// The word used as the metric's `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientError => "client_error",
            Self::AuthError => "auth_error",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::RefusedAddress => "refused_address",
            Self::Command => "command",
            Self::Build => "build",
        }
    }
}

/// Why a message was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", class.as_str())]
pub struct DeliveryError {
    /// What to do.
    pub kind: FailureKind,
    /// What it was.
    pub class: FailureClass,
    /// For people; one line, without secrets and without what the receiver wrote; of a command the first line of its
    /// standard error.
    pub detail: String,
}

impl DeliveryError {
    fn retry(class: FailureClass, detail: impl Into<String>) -> Self {
        Self { kind: FailureKind::Retry { after: None }, class, detail: clean::line(&detail.into(), 300) }
    }

    fn permanent(class: FailureClass, detail: impl Into<String>) -> Self {
        Self { kind: FailureKind::Permanent, class, detail: clean::line(&detail.into(), 300) }
    }

    fn build(detail: String) -> Self {
        Self::permanent(FailureClass::Build, detail)
    }
}

/// Tries once to deliver a message. Only a definite yes of the receiver is `Ok`.
pub fn deliver(receiver: &Receiver, message: &Message, attempt: Attempt) -> Result<(), DeliveryError> {
    match receiver {
        Receiver::Email(settings) => email::deliver(settings, message, attempt),
        Receiver::Webhook(settings) => webhook::deliver(settings, message, attempt),
        Receiver::Alertmanager(settings) => alertmanager::deliver(settings, message, attempt),
        Receiver::Slack(settings) => slack::deliver(settings, message, attempt),
        Receiver::Pagerduty(settings) => pagerduty::deliver(settings, message, attempt),
        Receiver::Exec(settings) => exec::deliver(settings, message, attempt),
        Receiver::Folder(settings) => folder::deliver(settings, message, attempt),
    }
}

/// Tells a receiver that forgets how things stand: what fires, and what ended of late. Any other has nothing to do.
pub fn refresh(receiver: &Receiver, crossings: &[Crossing], now: Timestamp) -> Result<(), DeliveryError> {
    match receiver {
        Receiver::Alertmanager(settings) => alertmanager::refresh(settings, crossings, now),
        Receiver::Email(_)
        | Receiver::Webhook(_)
        | Receiver::Slack(_)
        | Receiver::Pagerduty(_)
        | Receiver::Exec(_)
        | Receiver::Folder(_) => Ok(()),
    }
}

/// How long to wait after the `attempt`-th failure (1 for the first): a share of 1 s, 2 s, 4 s … 5 min. The share
/// follows from message and attempt, so that many messages spread out and a replay waits the same.
pub fn backoff(attempt: u32, id: Id) -> Duration {
    const LONGEST: u64 = 300_000;
    let doubled = 1_000_u64.checked_shl(attempt.saturating_sub(1).min(20)).unwrap_or(LONGEST);
    let ceiling = doubled.min(LONGEST);
    let drawn = Id::of(&[b"backoff", &id.0.to_be_bytes(), &attempt.to_be_bytes()]);
    Duration::from_millis(1 + (drawn.0 % u128::from(ceiling)) as u64)
}
