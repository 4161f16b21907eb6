//! Daemon settings: raw -> typed, all faults at once.

mod retention;
mod route;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use self::retention::RawRetention;
use self::route::{RawInhibition, RawNamedInterval, RawPolicy, RawRoute};
use crate::edge::kafka::KafkaSettings;
use crate::edge::ledger::Retention;
use crate::edge::notify::{
    AlertmanagerSettings, EmailSettings, ExecSettings, FolderSettings, PagerdutySettings, Receiver, Secret,
    SettingsError, SlackSettings, WebhookSettings,
};
use crate::engine::budget::Budget;
use crate::engine::route::{Pace, Policy, Route};
use crate::engine::rule::compiled_glob;
use crate::engine::units::Span;
use crate::engine::verdicts::AGES;
use crate::engine::{AskedWait, Group, Settings};

/// Why the configuration cannot be used: every fault, one line each.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:\n  {}", path.display(), faults.join("\n  "))]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong and what would be right.
    pub faults: Vec<String>,
}

/// The daemon's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the events come from.
    pub kafka: KafkaSettings,
    /// Where the database lies.
    pub data_dir: PathBuf,
    /// How long what is in it is kept.
    pub retention: Retention,
    /// Rule files, and folders of them.
    pub rules: Vec<PathBuf>,
    /// What the engine must know.
    pub engine: Settings,
    /// The false alarms that all streams and rules may raise together, where that is limited.
    pub budget: Option<Budget>,
    /// Where /metrics, health and the API answer.
    pub listen: Option<SocketAddr>,
    /// What may be done there.
    pub access: Access,
    /// Who can be told, by name.
    pub receivers: Vec<(String, Receiver)>,
    /// Who is told what, when.
    pub policy: Policy,
    /// The receiver that is told what another could not be told.
    pub dead_letters: Option<String>,
    /// How often receivers that keep alerts are told how things stand. Not for operators.
    pub refresh_every: Duration,
}

/// How often receivers that keep alerts are told how things stand: Prometheus' resend delay.
pub const REFRESH_EVERY: Duration = Duration::from_mins(1);

/// Where the daemon of a database listens for this machine's users.
pub fn socket_beside(database: &Path) -> PathBuf {
    database.with_file_name("shewhart.sock")
}

/// What may be done over the network; over the socket in `data_dir`, whoever may open it may do everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The token that those show who silence and acknowledge; nobody may without one.
    pub token: Option<Secret>,
    /// Whether `POST /-/reload` is answered.
    pub reload: bool,
    /// Names by which the daemon is asked, besides `localhost` and addresses.
    pub hosts: Vec<String>,
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    kafka: KafkaSettings,
    #[serde(default = "default_data_dir")]
    data_dir: PathBuf,
    #[serde(default)]
    retention: RawRetention,
    #[serde(default)]
    rules: Vec<PathBuf>,
    #[serde(default = "default_group_by")]
    group_by: Vec<Group>,
    #[serde(default)]
    http: RawHttp,
    #[serde(default)]
    baseline: RawBaseline,
    #[serde(default)]
    streams: RawStreams,
    #[serde(default)]
    labels: RawLabels,
    /// `1 per 7d`
    false_alarm_budget: Option<String>,
    /// Whether alerts may run commands.
    #[serde(default)]
    allow_exec: bool,
    #[serde(default)]
    receivers: Vec<RawReceiver>,
    #[serde(default)]
    route: Option<RawRoute>,
    #[serde(default)]
    inhibit_rules: Vec<RawInhibition>,
    #[serde(default)]
    time_intervals: Vec<RawNamedInterval>,
    digest_over: Option<usize>,
    silence_reminder: Option<String>,
    dead_letters: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHttp {
    #[serde(default = "default_listen")]
    listen: String,
    #[serde(default)]
    token_file: Option<Secret>,
    #[serde(default)]
    reload: bool,
    #[serde(default)]
    hosts: Vec<String>,
}

impl Default for RawHttp {
    fn default() -> Self {
        Self { listen: default_listen(), token_file: None, reload: false, hosts: Vec::new() }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBaseline {
    provisional_outputs: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStreams {
    max: Option<usize>,
    per_agent: Option<u32>,
    new_per_minute: Option<u32>,
    join_outputs: Option<usize>,
}

/// How old outputs are when they are judged by the verdicts that came.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLabels {
    wait: Option<String>,
    #[serde(default)]
    streams: Vec<RawWait>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWait {
    r#where: BTreeMap<String, String>,
    wait: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReceiver {
    name: String,
    email: Option<EmailSettings>,
    webhook: Option<WebhookSettings>,
    alertmanager: Option<AlertmanagerSettings>,
    slack: Option<SlackSettings>,
    pagerduty: Option<PagerdutySettings>,
    exec: Option<ExecSettings>,
    folder: Option<FolderSettings>,
}

fn default_data_dir() -> PathBuf {
    PathBuf::from("/var/lib/shewhart")
}

fn default_group_by() -> Vec<Group> {
    Settings::default().group_by
}

fn default_listen() -> String {
    "127.0.0.1:9464".to_owned()
}

impl Config {
    /// Reads a configuration file. Paths in it are relative to the file.
    ///
    /// # Errors
    /// Every fault that was found.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let base = path.parent().unwrap_or_else(|| Path::new("."));
        RawConfig::read(path, |raw, faults| raw.check(base, faults))
    }

    /// Reads who is told what from a configuration file and nothing else: receivers are known by their names, and secrets and
    /// folders that they need may be elsewhere.
    ///
    /// # Errors
    /// Every fault that was found.
    pub fn load_policy(path: &Path) -> Result<Policy, ConfigError> {
        RawConfig::read(path, |mut raw, faults| {
            let names: Vec<(String, bool)> =
                raw.receivers.iter().map(|raw| (raw.name.clone(), raw.alertmanager.is_some())).collect();
            raw.take_policy().check(&names, faults)
        })
    }
}

impl Config {
    /// The database.
    pub fn database(&self) -> PathBuf {
        self.data_dir.join("shewhart.db")
    }

    /// Tells a folder everything too, at the pace of the configured route, or at once where there is none.
    pub fn add_mail_dir(&mut self, folder: &Path) {
        let name = "mail-dir".to_owned();
        let at_once = Pace { wait: Span::ZERO, interval: Span::MINUTE, ..Pace::default() };
        let route = match self.policy.root() {
            Some(root) => Route { group_by: root.group_by.clone(), ..Route::to(&name, &[], root.pace) },
            None => Route::to(&name, &["alertname", "agent"], at_once),
        };
        self.policy.add_root(route);
        self.receivers.push((name, Receiver::Folder(FolderSettings { path: folder.to_owned() })));
    }
}

impl RawConfig {
    /// Reads a file and makes something of it, or tells every fault.
    fn read<T>(path: &Path, make: impl FnOnce(Self, &mut Vec<String>) -> T) -> Result<T, ConfigError> {
        let fail = |faults| ConfigError { path: path.to_owned(), faults };
        let text = std::fs::read_to_string(path).map_err(|error| fail(vec![error.to_string()]))?;
        let raw: Self = serde_saphyr::from_str(&text).map_err(|error| fail(vec![error.to_string()]))?;
        let mut faults = Vec::new();
        let whole = make(raw, &mut faults);
        if faults.is_empty() { Ok(whole) } else { Err(fail(faults)) }
    }

    /// Everything that the policy is made of.
    fn take_policy(&mut self) -> RawPolicy {
        RawPolicy {
            route: self.route.take(),
            inhibit_rules: std::mem::take(&mut self.inhibit_rules),
            time_intervals: std::mem::take(&mut self.time_intervals),
            digest_over: self.digest_over,
            silence_reminder: self.silence_reminder.take(),
        }
    }

    fn check(mut self, base: &Path, faults: &mut Vec<String>) -> Config {
        let mut kafka = self.kafka.clone();
        for path in kafka.properties_files.values_mut() {
            *path = base.join(&*path);
        }
        if let Err(fault) = kafka.check() {
            faults.push(format!("kafka: {fault}"));
        }
        let engine = self.engine_settings(faults);
        let retention = self.retention.check(faults);
        let listen = self.http.check(faults);
        let mut token = self.http.token_file.clone();
        if let Some(token) = &mut token {
            token.relative_to(base);
        }
        let access = Access { token, reload: self.http.reload, hosts: self.http.hosts.clone() };
        let budget = self.false_alarm_budget.as_deref().and_then(|text| budget(text, faults));
        let policy = self.take_policy();
        let mut receivers: Vec<(String, Receiver)> = Vec::new();
        for raw in self.receivers {
            if raw.name == "mail-dir" {
                faults.push("receivers: `mail-dir` is the name of the command line's folder".to_owned());
            }
            if receivers.iter().any(|(name, _)| *name == raw.name) {
                faults.push(format!("receivers: `{}` stands twice; names must differ", raw.name));
            }
            receivers.extend(raw.check(base, self.allow_exec, faults));
        }
        if self.rules.is_empty() {
            faults.push(
                "rules is empty: name rule files or folders of them; the shipped ones are in `rules/`".to_owned(),
            );
        }
        let names: Vec<(String, bool)> =
            receivers.iter().map(|(name, receiver)| (name.clone(), receiver.keeps_alerts())).collect();
        let policy = policy.check(&names, faults);
        if policy.root().is_none() && faults.is_empty() && !receivers.is_empty() {
            faults.push("receivers are given but no route: add `route: { receiver: NAME }`".to_owned());
        }
        if let Some(second) =
            self.dead_letters.as_ref().filter(|second| receivers.iter().all(|(name, _)| name != *second))
        {
            faults.push(format!("dead_letters: there is no receiver `{second}`"));
        }
        Config {
            kafka,
            data_dir: base.join(self.data_dir),
            retention,
            rules: self.rules.into_iter().map(|path| base.join(path)).collect(),
            engine,
            budget,
            listen,
            access,
            receivers,
            policy,
            dead_letters: self.dead_letters,
            refresh_every: REFRESH_EVERY,
        }
    }

    fn engine_settings(&self, faults: &mut Vec<String>) -> Settings {
        let default = Settings::default();
        let mut group_by = self.group_by.clone();
        group_by.sort_unstable();
        group_by.dedup();
        if group_by.is_empty() {
            faults.push("group_by is empty: name at least one of agent, task, version".to_owned());
        }
        let settings = Settings {
            group_by,
            provisional_outputs: self.baseline.provisional_outputs.unwrap_or(default.provisional_outputs),
            recent_outputs: self.streams.join_outputs.unwrap_or(default.recent_outputs),
            streams_max: self.streams.max.unwrap_or(default.streams_max),
            streams_per_agent_max: self.streams.per_agent.unwrap_or(default.streams_per_agent_max),
            streams_per_minute_max: self.streams.new_per_minute.unwrap_or(default.streams_per_minute_max),
            skew_max: default.skew_max,
            waits: self.labels.check(faults),
        };
        if settings.provisional_outputs < 500 {
            let n = settings.provisional_outputs;
            faults.push(format!("baseline.provisional_outputs is {n}: below 500 no chart could keep its promise"));
        }
        let counts = [
            ("streams.max", settings.streams_max),
            ("streams.join_outputs", settings.recent_outputs),
            ("streams.per_agent", settings.streams_per_agent_max as usize),
            ("streams.new_per_minute", settings.streams_per_minute_max as usize),
        ];
        for (key, value) in counts {
            if !(1..=10_000_000).contains(&value) {
                faults.push(format!("{key} is {value}; expected 1 to 10000000"));
            }
        }
        settings
    }
}

impl RawLabels {
    fn check(&self, faults: &mut Vec<String>) -> Vec<AskedWait> {
        let mut waits = Vec::new();
        for (at, RawWait { r#where: streams, wait }) in self.streams.iter().enumerate() {
            for (name, glob) in streams {
                if name.parse::<Group>().is_err() {
                    faults.push(format!(
                        "labels.streams[{at}]: streams have no label `{name}`; use agent, task or version"
                    ));
                }
                if let Err(error) = compiled_glob(glob) {
                    faults.push(format!("labels.streams[{at}]: {error}"));
                }
            }
            match wait_of(wait) {
                Ok(age) => waits.push(AskedWait { streams: streams.clone(), age }),
                Err(fault) => faults.push(format!("labels.streams[{at}].wait is {fault}")),
            }
        }
        match self.wait.as_deref().map(wait_of) {
            Some(Ok(age)) => waits.push(AskedWait { streams: BTreeMap::new(), age }),
            Some(Err(fault)) => faults.push(format!("labels.wait is {fault}")),
            None => {}
        }
        waits
    }
}

/// `auto`, which leaves it to the baseline, or one of the ages that are told apart.
fn wait_of(text: &str) -> Result<Option<Span>, String> {
    if text == "auto" {
        return Ok(None);
    }
    let age = text.parse::<Span>().ok().filter(|age| AGES.contains(age));
    age.map(Some).ok_or_else(|| {
        let ages: Vec<String> = AGES.iter().map(ToString::to_string).collect();
        format!("`{}`; expected auto or one of {}", text.escape_default(), ages.join(", "))
    })
}

/// `1 per 7d`: how many false alarms all streams and rules may raise together.
fn budget(text: &str, faults: &mut Vec<String>) -> Option<Budget> {
    text.parse().map_err(|fault| faults.push(format!("false_alarm_budget is {fault}"))).ok()
}

impl RawHttp {
    fn check(&self, faults: &mut Vec<String>) -> Option<SocketAddr> {
        // Anything else is no name that a `Host` could hold, and the proxy would be refused at each request.
        let is_name = |host: &str| {
            !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        let odd = self.hosts.iter().filter(|host| !is_name(host));
        faults.extend(odd.map(|host| {
            let host = host.escape_default();
            format!("http.hosts: `{host}` is not a name; write the name alone, like watch.example.org")
        }));
        if self.listen.is_empty() || self.listen == "off" {
            return None;
        }
        match self.listen.parse::<SocketAddr>() {
            Ok(address) if !address.ip().is_loopback() => {
                faults.push(format!(
                    "http.listen is {address}: only loopback addresses until there is authentication; \
                     put a reverse proxy in front"
                ));
                None
            }
            Ok(address) => Some(address),
            Err(_) => {
                faults.push(format!("http.listen is `{}`; expected ADDRESS:PORT or off", self.listen));
                None
            }
        }
    }
}

impl RawReceiver {
    fn check(self, base: &Path, allow_exec: bool, faults: &mut Vec<String>) -> Option<(String, Receiver)> {
        let name = self.name;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
            faults.push(format!("receivers: the name `{}` may hold letters, digits, - _ and .", name.escape_default()));
        }
        let kinds = [
            self.email.map(Receiver::Email),
            self.webhook.map(Receiver::Webhook),
            self.alertmanager.map(Receiver::Alertmanager),
            self.slack.map(Receiver::Slack),
            self.pagerduty.map(Receiver::Pagerduty),
            self.exec.map(|exec| Receiver::Exec(ExecSettings { environment: hook_environment(), ..exec })),
            self.folder.map(Receiver::Folder),
        ];
        let mut kinds = kinds.into_iter().flatten();
        let (Some(receiver), None) = (kinds.next(), kinds.next()) else {
            faults.push(format!(
                "receivers: `{name}` needs exactly one of email, webhook, alertmanager, slack, pagerduty, exec, folder"
            ));
            return None;
        };
        let receiver = receiver.relative_to(base);
        let off = matches!(receiver, Receiver::Exec(_)) && !allow_exec;
        let found = receiver.validate().err().unwrap_or_default();
        let found = found.into_iter().chain(off.then_some(SettingsError::ExecOff));
        faults.extend(found.map(|fault| format!("receivers: `{name}`: {fault}")));
        Some((name, receiver))
    }
}

/// The user's name as far as the environment says, for audit trails.
#[expect(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]
pub fn user() -> &'static str {
    static USER: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    USER.get_or_init(|| {
        std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "unknown".to_owned())
    })
}

/// All that a command sees of our environment: where programs are, whose it is, which language.
#[expect(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]
fn hook_environment() -> Vec<(String, String)> {
    let named = |name: &str| std::env::var(name).ok().map(|value| (name.to_owned(), value));
    ["PATH", "HOME", "LANG"].into_iter().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(http: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shewhart.yaml");
        let text = format!("kafka: {{ brokers: \"a:1\", topic: t, group: g }}\nrules: [rules]\nhttp: {http}\n");
        std::fs::write(&path, text).unwrap();
        Config::load(&path).err().map(|error| error.faults).unwrap_or_default()
    }

    #[test]
    fn a_network_address_is_refused() {
        for address in ["127.0.0.1:9464", "127.9.9.9:0", "[::1]:80", "off", ""] {
            assert_eq!(faults(&format!("{{ listen: \"{address}\" }}")), [""; 0], "{address}");
        }
        for address in ["0.0.0.0:9464", "[::]:80", "10.0.0.3:80", "192.168.1.1:80", "[::ffff:127.0.0.1]:80"] {
            let found = faults(&format!("{{ listen: \"{address}\" }}"));
            assert!(found.len() == 1 && found[0].contains("only loopback addresses"), "{address}: {found:?}");
        }
        for address in ["localhost:80", ":80", "127.0.0.1", "127.1:80"] {
            let found = faults(&format!("{{ listen: \"{address}\" }}"));
            assert!(found.len() == 1 && found[0].contains("expected ADDRESS:PORT"), "{address}: {found:?}");
        }
    }

    #[test]
    fn a_host_is_a_name_alone() {
        assert_eq!(faults("{ hosts: [watch.example.org, Watch_1, xn--bcher-kva.example] }"), [""; 0]);
        for host in ["watch.example.org:443", "https://watch.example.org", "*.example.org", "a b", "", "b\u{fc}cher"] {
            let found = faults(&format!("{{ hosts: [fine, \"{host}\"] }}"));
            let [fault] = found.as_slice() else { panic!("{host}: {found:?}") };
            assert!(fault.contains(&format!("`{}`", host.escape_default())), "{fault}");
            assert!(fault.contains("write the name alone"), "{fault}");
        }
    }
}
