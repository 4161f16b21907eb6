//! What the configuration says about receivers, and everything wrong with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::message::{Mailbox, Mailboxes};
use serde::Deserialize;

use super::address;
use super::alertmanager::AlertmanagerSettings;
use super::exec::ExecSettings;
use super::pagerduty::PagerdutySettings;
use super::secret::Secret;
use super::slack::SlackSettings;
use crate::engine::units::Span;

/// Someone who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// By mail.
    Email(EmailSettings),
    /// By HTTP, in Alertmanager's format.
    Webhook(WebhookSettings),
    /// By an Alertmanager.
    Alertmanager(AlertmanagerSettings),
    /// In a Slack channel.
    Slack(SlackSettings),
    /// By PagerDuty.
    Pagerduty(PagerdutySettings),
    /// By a command on this machine.
    Exec(ExecSettings),
    /// By a mail written to a folder.
    Folder(FolderSettings),
}

/// Mail over SMTP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailSettings {
    /// The mail server, `host:port`.
    pub smtp: String,
    /// How the connection is protected.
    #[serde(default)]
    pub security: Security,
    /// The user, where the server wants one.
    #[serde(default)]
    pub username: Option<String>,
    /// The file with the user's password.
    #[serde(default)]
    pub password_file: Option<Secret>,
    /// The sender, `shewhart <alerts@example.com>` or the bare address.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
    /// Certificates (PEM) to trust instead of the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long one attempt may take in all. Not for operators.
    #[serde(skip, default = "attempt_limit")]
    pub deadline: Duration,
}

/// How a connection to a mail server is protected. None of these falls back to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Plain until `STARTTLS`, which must succeed before anything else is said.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// No protection: for a relay on the same machine.
    None,
}

/// An HTTP receiver.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Where to post. Not shown in errors beyond scheme and host, because many services put their key in it.
    pub url: Url,
    /// The file with the key that signs the messages.
    #[serde(default)]
    pub secret_file: Option<Secret>,
    /// Whether plain `http` is allowed.
    #[serde(default)]
    pub allow_http: bool,
    /// Whether loopback, link-local and private addresses are allowed.
    #[serde(default)]
    pub allow_private: bool,
    /// Certificates (PEM) to trust instead of the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long one attempt may take. Not for operators.
    #[serde(skip, default)]
    pub timeouts: HttpTimeouts,
}

/// How long one HTTP attempt may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpTimeouts {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// In all.
    pub total: Duration,
}

impl Default for HttpTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), total: attempt_limit() }
    }
}

/// An address that holds a key: it prints as scheme and host.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Url(String);

impl Url {
    /// An address.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// All of it, keys included.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", address::shown(&self.0))
    }
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// A folder that gets mails as files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderSettings {
    /// The folder; it is made if it is not there.
    pub path: PathBuf,
}

/// Who a mail is from and to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSettings {
    /// The sender.
    pub from: Mailbox,
    /// The recipients, at least one.
    pub to: Mailboxes,
}

/// What is wrong with a receiver's settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The mail server is not `host:port`.
    #[error("smtp: `{0}` is not a server; write it like mail.example.com:587")]
    Server(String),
    /// An address cannot be used.
    #[error("{key}: `{text}` is not a mail address; write it like shewhart <alerts@example.com>")]
    Mailbox {
        /// Which setting.
        key: &'static str,
        /// What was found.
        text: String,
    },
    /// There is nobody to write to.
    #[error("to: is empty; name at least one recipient")]
    Nobody,
    /// Only half of a login.
    #[error("username and password_file belong together; give both or neither")]
    HalfLogin,
    /// A password without protection.
    #[error("security: none would send the password of {0} in clear text; use starttls or tls")]
    ClearPassword(String),
    /// A web address that is refused.
    #[error("url: {0}")]
    Url(#[from] address::UrlError),
    /// A path that leads nowhere.
    #[error("path: is empty; name a folder")]
    Path,
    /// Two ways to log in.
    #[error("secret_file and username exclude each other; give the bearer token or the user")]
    TwoLogins,
    /// A user that basic authentication cannot say.
    #[error("username: holds a colon or a control character, which basic authentication has no place for")]
    User,
    /// The page for people is not one.
    #[error("client_url: is not an https address; write it like https://shewhart.example.com/")]
    ClientUrl,
    /// There is no program.
    #[error("command: is empty or holds a NUL; write the program and its arguments as a list")]
    Command,
    /// A command's time is out of bounds.
    #[error("timeout: {0} is out of bounds; give 1s to 10m")]
    Timeout(Span),
    /// Commands are off.
    #[error("exec: commands are off; set allow_exec: true at the top of the configuration to let alerts run them")]
    ExecOff,
}

const fn attempt_limit() -> Duration {
    Duration::from_secs(30)
}

impl Receiver {
    /// The same receiver, its paths taken from a folder where they are relative.
    #[must_use]
    pub fn relative_to(mut self, base: &Path) -> Self {
        let file = match &mut self {
            Self::Email(email) => {
                rebase(&mut email.password_file, base);
                &mut email.ca_file
            }
            Self::Webhook(webhook) => {
                rebase(&mut webhook.secret_file, base);
                &mut webhook.ca_file
            }
            Self::Alertmanager(alertmanager) => {
                rebase(&mut alertmanager.secret_file, base);
                rebase(&mut alertmanager.password_file, base);
                &mut alertmanager.ca_file
            }
            Self::Slack(slack) => {
                slack.url_file.relative_to(base);
                &mut slack.ca_file
            }
            Self::Pagerduty(pagerduty) => {
                pagerduty.routing_key_file.relative_to(base);
                &mut pagerduty.ca_file
            }
            Self::Exec(exec) => {
                exec.relative_to(base);
                return self;
            }
            Self::Folder(folder) => {
                folder.path = base.join(&folder.path);
                return self;
            }
        };
        if let Some(file) = file {
            *file = base.join(&*file);
        }
        self
    }

    /// Everything wrong with the settings. Reads no file and asks no name server.
    pub fn validate(&self) -> Result<(), Vec<SettingsError>> {
        let faults = match self {
            Self::Email(settings) => settings.faults(),
            Self::Webhook(settings) => settings.faults(),
            Self::Alertmanager(settings) => settings.faults(),
            Self::Pagerduty(settings) => settings.faults(),
            Self::Exec(settings) => settings.faults(),
            Self::Folder(settings) if settings.path.as_os_str().is_empty() => vec![SettingsError::Path],
            // Slack's address is a secret, and secrets are read when they are used.
            Self::Slack(_) | Self::Folder(_) => Vec::new(),
        };
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Whether it groups and repeats by itself: it is told each change at once, and again and again how things stand.
    pub const fn keeps_alerts(&self) -> bool {
        matches!(self, Self::Alertmanager(_))
    }

    /// The word for this kind of receiver in metrics and logs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Webhook(_) => "webhook",
            Self::Alertmanager(_) => "alertmanager",
            Self::Slack(_) => "slack",
            Self::Pagerduty(_) => "pagerduty",
            Self::Exec(_) => "exec",
            Self::Folder(_) => "folder",
        }
    }

    /// The least time between two attempts, whatever the messages: Slack takes one a second.
    pub const fn pace(&self) -> Duration {
        match self {
            Self::Slack(_) => Duration::from_secs(1),
            _ => Duration::ZERO,
        }
    }
}

fn rebase(secret: &mut Option<Secret>, base: &Path) {
    if let Some(secret) = secret {
        secret.relative_to(base);
    }
}

impl EmailSettings {
    /// Everything wrong with the settings.
    pub fn validate(&self) -> Result<(), Vec<SettingsError>> {
        let faults = self.faults();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn faults(&self) -> Vec<SettingsError> {
        let mut faults = Vec::new();
        if self.server().is_none() {
            faults.push(SettingsError::Server(shorten(&self.smtp)));
        }
        faults.extend(mailbox("from", &self.from).err());
        faults.extend(self.to.iter().filter_map(|to| mailbox("to", to).err()));
        if self.to.is_empty() {
            faults.push(SettingsError::Nobody);
        }
        match (&self.username, &self.password_file) {
            (Some(user), Some(_)) if self.security == Security::None => {
                faults.push(SettingsError::ClearPassword(shorten(user)));
            }
            (Some(_), None) | (None, Some(_)) => faults.push(SettingsError::HalfLogin),
            _ => {}
        }
        faults
    }

    /// Host and port of the server.
    pub(super) fn server(&self) -> Option<(&str, u16)> {
        let (host, port) = self.smtp.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port > 0)?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let plain = |h: &str| !h.is_empty() && h.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        match bare {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().ok().map(|_| (v6, port)),
            None => plain(host).then_some((host, port)),
        }
    }

    /// Sender and recipients.
    pub fn mail(&self) -> Result<MailSettings, SettingsError> {
        let to: Result<Vec<_>, _> = self.to.iter().map(|to| mailbox("to", to)).collect();
        let to = to?;
        if to.is_empty() {
            return Err(SettingsError::Nobody);
        }
        Ok(MailSettings { from: mailbox("from", &self.from)?, to: to.into_iter().collect() })
    }
}

impl WebhookSettings {
    /// Everything wrong with the settings.
    pub fn validate(&self) -> Result<(), Vec<SettingsError>> {
        let faults = self.faults();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn faults(&self) -> Vec<SettingsError> {
        let policy = address::Policy { allow_http: self.allow_http, allow_private: self.allow_private };
        address::check(self.url.expose(), policy).err().map(SettingsError::Url).into_iter().collect()
    }
}

/// A mailbox that is safe to print into a header: lettre panics on a line break in a name and drops a header with NUL.
fn mailbox(key: &'static str, text: &str) -> Result<Mailbox, SettingsError> {
    let refused = || SettingsError::Mailbox { key, text: shorten(text) };
    if text.len() > 320 || text.chars().any(char::is_control) {
        return Err(refused());
    }
    let mailbox: Mailbox = text.parse().ok().ok_or_else(refused)?;
    // Addresses beyond ASCII need a server extension that cannot be relied on for alerts.
    let plain = AsRef::<str>::as_ref(&mailbox.email).is_ascii();
    if plain { Ok(mailbox) } else { Err(refused()) }
}

fn shorten(text: &str) -> String {
    super::clean::line(text, 80)
}
