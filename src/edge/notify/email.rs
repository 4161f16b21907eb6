//! Mail over SMTP: one connection for one attempt, no pool.
//!
//! lettre's transports answer `Ok` for any positive reply, and a pooled connection whose last command was given up gives
//! the next mail the replies of the last one: a refused mail then counts as sent. So the commands are sent here one by
//! one, each with the one code that it may be answered with, and the connection ends with the attempt.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lettre::message::Mailbox;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, SmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;

use super::eml::{render_eml, render_fallback_eml};
use super::refusal::{failed, unexpected};
use super::settings::{EmailSettings, MailSettings, Security};
use super::{Attempt, DeliveryError, FailureClass};
use crate::edge::clock;
use crate::engine::route::Message;

/// Conversations with one server at a time, those included that were given up and still wait for a byte.
const CONVERSATIONS_MAX: usize = 8;
/// How long the good-bye may take; the mail is already accepted or refused.
const GOODBYE: Duration = Duration::from_secs(1);

/// Sends the message once.
pub(super) fn deliver(settings: &EmailSettings, message: &Message, attempt: Attempt) -> Result<(), DeliveryError> {
    let mail = settings.mail().map_err(|e| DeliveryError::build(e.to_string()))?;
    let render = if attempt.fallback { render_fallback_eml } else { render_eml };
    let bytes = render(message, &mail, attempt.now).map_err(|e| DeliveryError::build(e.to_string()))?;
    within(settings, mail, bytes)
}

/// lettre's timeouts are for one read; a server that sends a byte now and then outlasts them all. So the conversation
/// has a thread of its own, which is left behind when the attempt's time is over, and then says nothing more. It cannot
/// be ended, and lettre takes a line of any length: hence a place for each conversation, and few places.
fn within(settings: &EmailSettings, mail: MailSettings, bytes: Vec<u8>) -> Result<(), DeliveryError> {
    let place = Place::take(&settings.smtp).ok_or_else(|| {
        let told = format!("{}: {CONVERSATIONS_MAX} earlier attempts still hang", settings.smtp);
        DeliveryError::retry(FailureClass::Timeout, told)
    })?;
    let given_up = Arc::new(AtomicBool::new(false));
    let (done, outcome) = sync_channel(1);
    let end = clock::instant() + settings.deadline;
    let talk = {
        let (settings, given_up) = (settings.clone(), Arc::clone(&given_up));
        move || {
            let result = Conversation { settings: &settings, end, given_up: &given_up }.hold(&mail, &bytes);
            drop(place);
            // Nobody listens any more when the attempt was given up.
            drop(done.send(result));
        }
    };
    let spawned = std::thread::Builder::new().name("mail".to_owned()).spawn(talk);
    spawned.map_err(|e| DeliveryError::retry(FailureClass::Connect, format!("no thread for a mail: {e}")))?;
    match outcome.recv_timeout(settings.deadline) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => {
            given_up.store(true, Ordering::Relaxed);
            Err(DeliveryError::retry(FailureClass::Timeout, format!("{}: not done in time", settings.smtp)))
        }
        Err(RecvTimeoutError::Disconnected) => {
            Err(DeliveryError::retry(FailureClass::Build, "the mail library panicked"))
        }
    }
}

/// One of the conversations that a server may have. Counted by server, so that one that hangs takes none from another.
struct Place(String);

static TAKEN: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

impl Place {
    fn take(server: &str) -> Option<Self> {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(server.to_owned()).or_default();
        (*count < CONVERSATIONS_MAX).then(|| {
            *count += 1;
            Self(server.to_owned())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.0);
            }
        }
    }
}

/// One attempt: from the connection to the server's answer.
struct Conversation<'a> {
    settings: &'a EmailSettings,
    end: Instant,
    given_up: &'a AtomicBool,
}

impl Conversation<'_> {
    fn hold(&self, mail: &MailSettings, bytes: &[u8]) -> Result<(), DeliveryError> {
        let mut connection = self.open()?;
        let outcome = self.log_in(&mut connection).and_then(|()| self.hand_over(&mut connection, mail, bytes));
        // A server that answered is told that this is all; one that did not is left.
        let answered = outcome
            .as_ref()
            .err()
            .is_none_or(|e| !matches!(e.class, FailureClass::Timeout | FailureClass::Connect | FailureClass::Tls));
        if answered && connection.set_timeout(Some(GOODBYE)).is_ok() {
            connection.abort();
        }
        outcome
    }

    fn open(&self) -> Result<SmtpConnection, DeliveryError> {
        let Some((host, port)) = self.settings.server() else {
            return Err(DeliveryError::build(format!("{} is not a server", self.settings.smtp)));
        };
        let tls = match self.settings.security {
            Security::None => None,
            Security::Starttls | Security::Tls => Some(self.tls(host)?),
        };
        let wrapper = tls.as_ref().filter(|_| self.settings.security == Security::Tls);
        let name = ClientId::default();
        let left = Some(self.left()?);
        let mut connection = SmtpConnection::connect((host, port), left, &name, wrapper, None)
            .map_err(|e| failed(&self.settings.smtp, "connecting", &e))?;
        if let Some(tls) = tls.as_ref().filter(|_| wrapper.is_none()) {
            self.limit(&mut connection)?;
            connection.starttls(tls, &name).map_err(|e| failed(&self.settings.smtp, "STARTTLS", &e))?;
            self.expect_silence(&mut connection)?;
        }
        Ok(connection)
    }

    fn tls(&self, host: &str) -> Result<TlsParameters, DeliveryError> {
        let mut builder = TlsParameters::builder(host.to_owned());
        if let Some(path) = &self.settings.ca_file {
            let broken = |why: String| {
                let told = format!("cannot use the certificates in {}: {why}", path.display());
                DeliveryError::retry(FailureClass::Tls, told)
            };
            let pem = std::fs::read(path).map_err(|e| broken(e.to_string()))?;
            let roots = Certificate::from_pem(&pem).map_err(|e| broken(e.to_string()))?;
            builder = builder.certificate_store(CertificateStore::None).add_root_certificate(roots);
        }
        builder.build().map_err(|e| DeliveryError::retry(FailureClass::Tls, e.to_string()))
    }

    /// lettre keeps what it read before TLS began. Replies that somebody on the way added there in clear text would
    /// answer for the server from then on, and could turn a refusal into a yes. A server that keeps to the protocol has
    /// nothing to say at this point.
    fn expect_silence(&self, connection: &mut SmtpConnection) -> Result<(), DeliveryError> {
        const MOMENT: Duration = Duration::from_millis(5);
        let early = || {
            let told = format!("{}: the server spoke out of turn after STARTTLS", self.settings.smtp);
            DeliveryError::retry(FailureClass::Tls, told)
        };
        connection.set_timeout(Some(MOMENT)).ok().ok_or_else(early)?;
        match connection.read_response() {
            Err(e) if failed("", "", &e).class == FailureClass::Timeout => Ok(()),
            _ => Err(early()),
        }
    }

    fn log_in(&self, connection: &mut SmtpConnection) -> Result<(), DeliveryError> {
        let (Some(user), Some(secret)) = (&self.settings.username, &self.settings.password_file) else { return Ok(()) };
        if !connection.is_encrypted() {
            let told = format!("{}: the password is not sent in clear text; use security tls", self.settings.smtp);
            return Err(DeliveryError::permanent(FailureClass::AuthError, told));
        }
        let opened = secret.read().map_err(|e| DeliveryError::retry(FailureClass::AuthError, e.to_string()))?;
        let login = Credentials::new(user.clone(), opened.expose().to_owned());
        self.limit(connection)?;
        let reply = connection.auth(&[Mechanism::Plain, Mechanism::Login], &login);
        self.expect("AUTH", &[235], reply)
    }

    fn hand_over(
        &self,
        connection: &mut SmtpConnection,
        mail: &MailSettings,
        bytes: &[u8],
    ) -> Result<(), DeliveryError> {
        self.say(connection, "MAIL FROM", Mail::new(Some(mail.from.email.clone()), Vec::new()), &[250])?;
        self.name_recipients(connection, mail)?;
        self.say(connection, "DATA", Data, &[354])?;
        self.limit(connection)?;
        let reply = connection.message(bytes);
        self.expect("the mail", &[250], reply)
    }

    /// One recipient that is accepted is enough: a mailbox that is gone or full must not keep an alert from everybody
    /// else. Those refused are named in the log. Nobody accepted is a failure, a passing one if any refusal was.
    fn name_recipients(&self, connection: &mut SmtpConnection, mail: &MailSettings) -> Result<(), DeliveryError> {
        let mut refusals = Vec::new();
        let mut accepted = 0;
        for Mailbox { email, .. } in mail.to.iter() {
            match self.say(connection, "RCPT TO", Rcpt::new(email.clone(), Vec::new()), &[250, 251]) {
                Ok(()) => accepted += 1,
                Err(e) if e.class == FailureClass::ClientError || e.class == FailureClass::ServerError => {
                    tracing::warn!(recipient = %email, reason = %e.detail, "a recipient of an alert was refused");
                    refusals.push(e);
                }
                Err(e) => return Err(e),
            }
        }
        if accepted > 0 {
            return Ok(());
        }
        let passing = refusals.iter().position(|e| e.class == FailureClass::ServerError).unwrap_or(0);
        Err(refusals.into_iter().nth(passing).unwrap_or_else(|| DeliveryError::build("nobody to write to".to_owned())))
    }

    fn say(
        &self,
        connection: &mut SmtpConnection,
        verb: &str,
        command: impl Display,
        codes: &[u16],
    ) -> Result<(), DeliveryError> {
        self.limit(connection)?;
        let reply = connection.command(command);
        self.expect(verb, codes, reply)
    }

    fn expect(&self, verb: &str, codes: &[u16], reply: Result<Response, Error>) -> Result<(), DeliveryError> {
        let reply = reply.map_err(|e| failed(&self.settings.smtp, verb, &e))?;
        let wanted = codes.iter().any(|code| reply.has_code(*code));
        if wanted { Ok(()) } else { Err(unexpected(&self.settings.smtp, verb, reply.code())) }
    }

    /// Gives the next read and write what is left of the attempt's time.
    fn limit(&self, connection: &mut SmtpConnection) -> Result<(), DeliveryError> {
        let left = self.left()?;
        connection.set_timeout(Some(left)).map_err(|e| DeliveryError::retry(FailureClass::Connect, e.to_string()))
    }

    fn left(&self) -> Result<Duration, DeliveryError> {
        let left = self.end.saturating_duration_since(clock::instant());
        if left.is_zero() || self.given_up.load(Ordering::Relaxed) {
            return Err(DeliveryError::retry(
                FailureClass::Timeout,
                format!("{}: not done in time", self.settings.smtp),
            ));
        }
        Ok(left)
    }
}
