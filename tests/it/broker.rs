//! A real Apache Kafka for tests: jars from Maven, one JVM, a directory that goes away with it. See
//! `tests/kafka/README.md`.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shewhart::edge::clock;

use crate::daemon::PATIENCE;

/// The version in `pom.xml`.
const VERSION: &str = "4.2.0";
const CLUSTER: &str = "4L6g3nShT-eMCtK--X86sw";
const JVM: [&str; 5] =
    ["-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"];

/// A running broker. Killed by its id on drop.
pub(crate) struct Broker {
    child: Child,
    bootstrap: String,
    /// From the start of the JVM to the first answer.
    pub(crate) startup: Duration,
    _dir: tempfile::TempDir,
}

/// Says aloud why something was not tested: past the capture of test output.
pub(crate) fn skipped(what: &str, why: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {what}: {why}").expect("stderr");
}

impl Broker {
    /// Starts one, or says why not: a machine without Java or Maven Central must pass all the same.
    pub(crate) fn start() -> Option<Self> {
        match Self::try_start() {
            Ok(broker) => Some(broker),
            Err(why) => {
                skipped("tests on a real Kafka broker", &why);
                None
            }
        }
    }

    fn try_start() -> Result<Self, String> {
        let jars = jars()?;
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let [ctrl, int, real] = ports();
        let properties = fs::read_to_string(folder().join("server.properties"))
            .map_err(|error| error.to_string())?
            .replace("@CTRL@", &ctrl.to_string())
            .replace("@INT@", &int.to_string())
            .replace("@REAL@", &real.to_string())
            .replace("@PROXY@", &real.to_string())
            .replace("@DATA@", &dir.path().join("data").display().to_string());
        let config = dir.path().join("server.properties");
        fs::write(&config, properties).map_err(|error| error.to_string())?;
        let mut format = java(&jars);
        format.arg("kafka.tools.StorageTool").args(["format", "--standalone", "-t", CLUSTER, "-c"]).arg(&config);
        run(&mut format)?;
        let log = dir.path().join("kafka.log");
        let out = fs::File::create(&log).map_err(|error| error.to_string())?;
        let err = out.try_clone().map_err(|error| error.to_string())?;
        let started = clock::instant();
        let child = java(&jars).arg("kafka.Kafka").arg(&config).stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let bootstrap = format!("127.0.0.1:{real}");
        let mut broker =
            Self { child: child.map_err(|error| error.to_string())?, bootstrap, startup: Duration::ZERO, _dir: dir };
        broker.wait(started, &log);
        Ok(broker)
    }

    /// Waits for an answer. From here on a failure is a failure: the machine can run a broker.
    fn wait(&mut self, started: Instant, log: &Path) {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("reconnect.backoff.max.ms", "200")
            .create()
            .expect("a client");
        loop {
            let text = || fs::read_to_string(log).unwrap_or_default();
            if let Some(status) = self.child.try_wait().expect("the broker's state") {
                panic!("Kafka ended with {status}:\n{}", text());
            }
            match client.fetch_metadata(None, Duration::from_secs(1)) {
                Ok(metadata) if !metadata.brokers().is_empty() => break,
                _ if started.elapsed() < PATIENCE => clock::sleep(Duration::from_millis(50)),
                _ => panic!("Kafka gave no answer in a minute:\n{}", text()),
            }
        }
        self.startup = started.elapsed();
    }

    /// `host:port`.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Creates a topic and waits until it has leaders.
    pub(crate) fn create_topic(&self, topic: &str, partitions: i32) {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let made = block_on(self.admin().create_topics(&[new], &AdminOptions::new()));
        made.expect("an answer").into_iter().for_each(|result| drop(result.expect("a new topic")));
        self.settle(topic, partitions as usize);
    }

    /// Deletes a topic and waits until it is gone.
    pub(crate) fn delete_topic(&self, topic: &str) {
        let gone = block_on(self.admin().delete_topics(&[topic], &AdminOptions::new()));
        gone.expect("an answer").into_iter().for_each(|result| drop(result.expect("a deleted topic")));
        self.settle(topic, 0);
    }

    /// Lets the log begin at `before`, as retention does.
    pub(crate) fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset");
        block_on(self.admin().delete_records(&list, &AdminOptions::new())).expect("deleted records");
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.bootstrap).create().expect("an admin client")
    }

    fn settle(&self, topic: &str, partitions: usize) {
        let deadline = clock::instant() + PATIENCE;
        let admin = self.admin();
        loop {
            let metadata = admin.inner().fetch_metadata(None, PATIENCE).expect("metadata");
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            let ready = found.map_or(0, |found| found.partitions().iter().filter(|p| p.leader() >= 0).count());
            if ready == partitions {
                return;
            }
            assert!(clock::instant() < deadline, "{topic} has {ready} partitions, not {partitions}");
            clock::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.child.kill().expect("a broker to kill");
        self.child.wait().expect("a killed broker");
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka")
}

/// Kafka's jars, fetched once into the build folder.
fn jars() -> Result<PathBuf, String> {
    run(Command::new("java").arg("-version"))?;
    let test = std::env::current_exe().map_err(|error| error.to_string())?;
    // target/debug/deps/it-…
    let target = test.ancestors().nth(3).ok_or("no build folder")?;
    let jars = target.join("kafka-libs").join(VERSION);
    let complete = jars.join("complete");
    if !complete.exists() {
        let plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
        let mut mvn = Command::new("mvn");
        mvn.args(["-B", "-q", "-f"]).arg(folder().join("pom.xml")).arg(plugin);
        mvn.arg("-DincludeScope=runtime").arg(format!("-Dkafka.version={VERSION}"));
        mvn.arg(format!("-DoutputDirectory={}", jars.display()));
        run(&mut mvn)?;
        fs::write(&complete, "").map_err(|error| error.to_string())?;
    }
    Ok(jars)
}

fn java(jars: &Path) -> Command {
    let mut java = Command::new("java");
    java.args(JVM).arg(format!("-Dlog4j2.configurationFile={}", folder().join("log4j2.properties").display()));
    java.arg("-cp").arg(jars.join("*"));
    java
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(format!("{name} failed with {}: {}", output.status, String::from_utf8_lossy(&text)))
}

/// Three ports that were free a moment ago.
fn ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}
