//! `/api/v1`: alerts and rules in Prometheus' JSON, silences and acknowledgements, `/-/reload`.
//!
//! What is read comes from the database, as the console reads it. What is asked for goes to the loop and is answered when it
//! is committed. Over the network that takes the token; over the socket the system says who asks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{delete, get, post};
use axum::{Extension, Router};
use rusqlite::Connection;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::super::core::{Answer, Ask, Command, Happening, Refusal};
use super::super::ledger::{LedgerError, open_read_only, query};
use super::super::notify::{Opened, Secret, SecretError};
use super::super::telemetry::Board;
use super::plain;
use crate::config::Access;
use crate::engine::rule::Rule;

/// How long the loop may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long an answer may read the database: meanwhile the log cannot shrink.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// A shorter token could be guessed.
const TOKEN_MIN: usize = 12;

/// Why nobody is admitted by the token.
#[derive(Debug, thiserror::Error)]
enum TokenError {
    /// There is none to be had.
    #[error("http.token_file admits nobody: {0}")]
    Unread(#[from] SecretError),
    /// It could be guessed.
    #[error(
        "http.token_file admits nobody: it holds {0} bytes, and fewer than {TOKEN_MIN} could be guessed; write a longer one, `openssl rand -hex 16` say"
    )]
    Short(usize),
}

/// What the API needs.
#[derive(Clone, Debug)]
pub struct Api {
    /// What the loop shows of itself.
    pub board: Arc<Board>,
    /// The database.
    pub database: PathBuf,
    /// What may be done over the network.
    pub access: Access,
    /// The way to the loop.
    pub asks: SyncSender<Happening>,
}

/// Where a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// From this machine's user of that name, by the system's word.
    Local(String),
    /// From anyone who reaches the address.
    Network,
}

pub(super) fn routes(api: Api) -> Router {
    Router::new()
        .route("/api/v1/alerts", get(alerts))
        .route("/api/v1/alerts/ack", post(acknowledge))
        .route("/api/v1/rules", get(rules))
        .route("/api/v1/silences", get(silences).post(silence))
        .route("/api/v1/silences/{id}", delete(end_silence))
        .route("/-/reload", post(reload))
        .with_state(api)
}

/// Prometheus' envelope of an answer.
fn success(data: &impl Serialize) -> Response {
    let body = json!({ "status": "success", "data": data });
    plain(StatusCode::OK, "application/json", format!("{body}\n"))
}

pub(super) fn failure(status: StatusCode, kind: &str, error: &str) -> Response {
    let body = json!({ "status": "error", "errorType": kind, "error": error });
    plain(status, "application/json", format!("{body}\n"))
}

/// Reads the database on a thread that may wait.
async fn read<T: Serialize + Send + 'static>(
    api: &Api,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> Response {
    let path = api.database.clone();
    let work = move || {
        let mut db = open_read_only(&path)?;
        let answer = query::cut_after(&mut db, READ_WITHIN).and_then(|()| read(&db));
        answer.map_err(|source| LedgerError::Sqlite { doing: "answering a request", path, source })
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(data)) => success(&data),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a request was not answered");
            failure(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the database could not be read")
        }
        Err(_) => failure(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the answer was lost"),
    }
}

/// One alert as Prometheus shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OpenAlert {
    labels: Value,
    annotations: Value,
    state: String,
    active_at: String,
    value: String,
    /// How accurate the stream was since the change, for alerts about accuracy; not in Prometheus' shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<Value>,
    #[serde(skip)]
    rule: String,
}

fn open_alerts(db: &Connection) -> rusqlite::Result<Vec<OpenAlert>> {
    let mut select = db.prepare(
        "SELECT labels, annotations, state, started_at, estimate, rule, standing FROM v_alerts
         WHERE state IN ('pending', 'firing') ORDER BY started_at_ms, alert_id",
    )?;
    let map = |text: String| serde_json::from_str(&text).unwrap_or(Value::Null);
    let rows = select.query_map([], |row| {
        Ok(OpenAlert {
            labels: map(row.get(0)?),
            annotations: map(row.get(1)?),
            state: row.get(2)?,
            active_at: row.get(3)?,
            value: row.get::<_, Option<f64>>(4)?.map_or_else(|| "1e+00".to_owned(), |x| x.to_string()),
            rule: row.get(5)?,
            accuracy: row.get::<_, Option<String>>(6)?.map(map),
        })
    })?;
    rows.collect()
}

async fn alerts(State(api): State<Api>) -> Response {
    read(&api, |db| Ok(json!({ "alerts": open_alerts(db)? }))).await
}

async fn rules(State(api): State<Api>) -> Response {
    let rules = api.board.read().rules.clone();
    read(&api, move |db| {
        let mut open: BTreeMap<String, Vec<OpenAlert>> = BTreeMap::new();
        for alert in open_alerts(db)? {
            open.entry(alert.rule.clone()).or_default().push(alert);
        }
        let mut groups: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for rule in rules.iter().flat_map(|set| &set.rules) {
            groups.entry(&rule.group).or_default().push(shown(rule, &open.remove(&rule.id).unwrap_or_default()));
        }
        let group =
            |(name, rules): (&str, Vec<Value>)| json!({ "name": name, "file": "", "interval": 0, "rules": rules });
        Ok(json!({ "groups": groups.into_iter().map(group).collect::<Vec<_>>() }))
    })
    .await
}

fn shown(rule: &Rule, alerts: &[OpenAlert]) -> Value {
    let state = ["firing", "pending"].into_iter().find(|state| alerts.iter().any(|alert| alert.state == *state));
    json!({
        "type": "alerting", "name": rule.alert, "query": rule.detect.measure.to_string(),
        "duration": rule.hold.as_secs_f64(), "keepFiringFor": rule.keep_firing_for.as_secs_f64(),
        "labels": rule.labels, "annotations": rule.annotations, "alerts": alerts, "health": "ok",
        "state": state.unwrap_or("inactive"),
    })
}

async fn silences(State(api): State<Api>) -> Response {
    read(&api, |db| {
        let mut select = db.prepare(
            "SELECT silence_id, matchers, author, comment, starts_at, ends_at, ended_by, state, fired, resolved
             FROM v_silences ORDER BY ends_at_ms DESC, silence_id LIMIT 1000",
        )?;
        let rows = select.query_map([], |row| {
            let matchers: Value = serde_json::from_str(&row.get::<_, String>(1)?).unwrap_or(Value::Null);
            Ok(json!({
                "id": row.get::<_, String>(0)?, "matchers": matchers, "author": row.get::<_, String>(2)?,
                "comment": row.get::<_, String>(3)?, "startsAt": row.get::<_, String>(4)?,
                "endsAt": row.get::<_, String>(5)?, "endedBy": row.get::<_, Option<String>>(6)?,
                "state": row.get::<_, String>(7)?, "fired": row.get::<_, i64>(8)?, "resolved": row.get::<_, i64>(9)?,
            }))
        })?;
        rows.collect::<rusqlite::Result<Vec<Value>>>()
    })
    .await
}

/// Says in the log, before anybody asks, that the token admits nobody. It may still be mended: it is read at each request.
pub(super) fn look_at_token(access: &Access) {
    if let Some(Err(error)) = access.token.as_ref().map(real_token) {
        tracing::error!(%error, "over the network nothing can be changed");
    }
}

fn real_token(token: &Secret) -> Result<Opened, TokenError> {
    let real = token.read()?;
    let length = real.expose().len();
    if length < TOKEN_MIN { Err(TokenError::Short(length)) } else { Ok(real) }
}

/// Who asks, or the answer that he may not.
fn admitted(api: &Api, caller: Caller, headers: &HeaderMap) -> Result<String, Box<Response>> {
    let Caller::Local(user) = caller else {
        let refuse = |status, error: &str| Err(Box::new(failure(status, "forbidden", error)));
        let Some(token) = &api.access.token else {
            return refuse(StatusCode::FORBIDDEN, "http.token_file is not set: use the socket, or set it");
        };
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        return match real_token(token) {
            // Hashes are compared, and in constant time.
            Ok(real) if blake3::hash(real.expose().as_bytes()) == blake3::hash(shown.as_bytes()) => {
                Ok("token".to_owned())
            }
            Ok(_) => refuse(StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong"),
            Err(error) => {
                tracing::error!(%error, "a request was refused");
                let why = match error {
                    TokenError::Short(_) => "http.token_file holds too short a token",
                    TokenError::Unread(_) => "http.token_file cannot be read",
                };
                refuse(StatusCode::FORBIDDEN, why)
            }
        };
    };
    Ok(user)
}

/// Passes something on to the loop and waits for its answer.
async fn ask(api: Api, by: String, ask: Ask) -> Response {
    let (reply, answer) = oneshot::channel();
    let happening = Happening::Asked(Command { ask, by, reply });
    // The channel is bounded: waiting for room must not hold up other requests.
    let sent = tokio::task::spawn_blocking(move || api.asks.send(happening).is_ok()).await;
    if !matches!(sent, Ok(true)) {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the daemon is stopping");
    }
    match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(Ok(Ok(answer))) => success(&told(&answer)),
        Ok(Ok(Err(refusal))) => failure(status_of(&refusal), "bad_data", &refusal.to_string()),
        _ => failure(StatusCode::SERVICE_UNAVAILABLE, "timeout", "no answer in time; look whether it was done"),
    }
}

fn told(answer: &Answer) -> Value {
    match answer {
        Answer::Silenced(id) | Answer::SilenceEnded(id) => json!({ "silenceID": id.to_string() }),
        Answer::Acknowledged(alerts) => {
            let one =
                |alert: &super::super::ledger::NamedAlert| json!({ "id": alert.id.to_string(), "alert": alert.alert });
            json!({ "alerts": alerts.iter().map(one).collect::<Vec<_>>() })
        }
        Answer::Reloaded { hash, rules, unchanged } => json!({ "hash": hash, "rules": rules, "unchanged": unchanged }),
    }
}

const fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::NoAlert(_) => StatusCode::NOT_FOUND,
        Refusal::Ambiguous(_) | Refusal::Over(..) => StatusCode::CONFLICT,
        Refusal::NotWritten => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Silence(_)
        | Refusal::Matcher(_)
        | Refusal::Unseen(_)
        | Refusal::Time(_)
        | Refusal::HowMany
        | Refusal::TooLong
        | Refusal::Rules(_) => StatusCode::BAD_REQUEST,
    }
}

type Asking = (State<Api>, Extension<Caller>, HeaderMap);

async fn silence((State(api), Extension(caller), headers): Asking, body: Bytes) -> Response {
    match admitted(&api, caller, &headers) {
        Ok(by) => match serde_json::from_slice(&body) {
            Ok(new) => ask(api, by, Ask::Silence(new)).await,
            Err(error) => failure(StatusCode::BAD_REQUEST, "bad_data", &error.to_string()),
        },
        Err(refused) => *refused,
    }
}

async fn acknowledge((State(api), Extension(caller), headers): Asking, body: Bytes) -> Response {
    match admitted(&api, caller, &headers) {
        Ok(by) => match serde_json::from_slice(&body) {
            Ok(new) => ask(api, by, Ask::Acknowledge(new)).await,
            Err(error) => failure(StatusCode::BAD_REQUEST, "bad_data", &error.to_string()),
        },
        Err(refused) => *refused,
    }
}

async fn end_silence((State(api), Extension(caller), headers): Asking, Path(id): Path<String>) -> Response {
    match admitted(&api, caller, &headers) {
        Ok(by) => ask(api, by, Ask::EndSilence { id }).await,
        Err(refused) => *refused,
    }
}

async fn reload((State(api), Extension(caller), headers): Asking) -> Response {
    if caller == Caller::Network && !api.access.reload {
        return failure(StatusCode::FORBIDDEN, "forbidden", "http.reload is off: send SIGHUP, or switch it on");
    }
    // As in Prometheus, who may reach the address may ask for a reload, once it is switched on; a token is asked for where
    // there is one.
    let open = caller == Caller::Network && api.access.token.is_none();
    match if open { Ok("network".to_owned()) } else { admitted(&api, caller, &headers) } {
        Ok(by) => ask(api, by, Ask::Reload).await,
        Err(refused) => *refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_about_accuracy_says_how_accurate_the_stream_is() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&super::super::super::ledger::schema()).unwrap();
        let standing = r#"{"labelled":412,"outputs":8120,"estimate":null,"invalid":"labels contradict confidence"}"#;
        for (id, standing) in [("1", Some(standing)), ("2", None)] {
            db.execute(
                "INSERT INTO alerts (id, rule, alert, severity, partition, labels, annotations, state, started_at_ms, standing)
                 VALUES (?1, 'g/A', 'A', 'critical', 0, '{}', '{}', 'firing', 0, ?2)",
                (id, standing),
            )
            .unwrap();
        }
        let [one, other] = <[OpenAlert; 2]>::try_from(open_alerts(&db).unwrap()).unwrap();
        let told = serde_json::to_value(one).unwrap();
        assert_eq!(
            (&told["accuracy"]["labelled"], &told["accuracy"]["invalid"]),
            (&json!(412), &json!("labels contradict confidence"))
        );
        assert_eq!(serde_json::to_value(other).unwrap().get("accuracy"), None);
    }
}
