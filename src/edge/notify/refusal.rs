//! What a mail server's no means: try again, or give up.

use std::error::Error as _;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::response::Code;

use super::{DeliveryError, FailureClass};

/// A command that failed, in our own words: the server's text can hold anything, only its codes are repeated.
pub(super) fn failed(server: &str, verb: &str, error: &Error) -> DeliveryError {
    if let Some(code) = error.status() {
        return refused(server, verb, code, &enhanced(error));
    }
    let io = io_kind(error);
    if error.is_tls() || io == Some(std::io::ErrorKind::InvalidData) {
        let told = format!("{server}: no secure connection while {verb}; check certificate, host name and clock");
        return DeliveryError::retry(FailureClass::Tls, told);
    }
    if matches!(io, Some(std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock)) {
        return DeliveryError::retry(FailureClass::Timeout, format!("{server}: no answer in time to {verb}"));
    }
    if error.is_client() && verb == "STARTTLS" {
        let told =
            format!("{server}: the server offers no STARTTLS; nothing was sent. Use security: tls if it has that");
        return DeliveryError::retry(FailureClass::Tls, told);
    }
    if error.is_client() && verb == "AUTH" {
        let told = format!("{server}: the server offers no login by PLAIN or LOGIN; check smtp, username and security");
        return DeliveryError::permanent(FailureClass::AuthError, told);
    }
    if error.is_response() {
        return DeliveryError::retry(FailureClass::ServerError, format!("{server}: no SMTP answer to {verb}"));
    }
    let kind = io.map_or_else(|| "the name does not resolve or the connection broke".to_owned(), |k| k.to_string());
    DeliveryError::retry(FailureClass::Connect, format!("{server}: {kind} while {verb}"))
}

/// A positive reply that is not the one that the command may have: the conversation is out of step.
pub(super) fn unexpected(server: &str, verb: &str, code: Code) -> DeliveryError {
    DeliveryError::retry(FailureClass::ServerError, format!("{server}: unexpected answer {code} to {verb}"))
}

fn refused(server: &str, verb: &str, code: Code, enhanced: &str) -> DeliveryError {
    let code = code.to_string();
    let told = format!("{server}: {verb} was answered {code}{enhanced}");
    if !code.starts_with('5') {
        return DeliveryError::retry(FailureClass::ServerError, told);
    }
    // 530 login needed, 534 too weak, 535 wrong, 538 only encrypted: none is the message's fault.
    if verb == "AUTH" || matches!(code.as_str(), "530" | "534" | "535" | "538") {
        let told = format!("{told}; check username and password_file of this receiver");
        return DeliveryError::permanent(FailureClass::AuthError, told);
    }
    DeliveryError::permanent(FailureClass::ClientError, told)
}

/// The enhanced status code (RFC 3463) at the start of a reply, the only part of its text that has a fixed form.
fn enhanced(error: &Error) -> String {
    let text = error.source().map(ToString::to_string).unwrap_or_default();
    let word = text.split_whitespace().next().unwrap_or_default();
    let parts: Vec<&str> = word.split('.').collect();
    let number = |part: &&str| !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
    if parts.len() == 3 && parts.iter().all(number) { format!(" {word}") } else { String::new() }
}

fn io_kind(error: &Error) -> Option<std::io::ErrorKind> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        source = cause.source();
    }
    None
}
