//! A real Apache Kafka for tests: jars from Maven, one JVM, a directory that goes away with it. See
//! `tests/kafka/README.md`.

#![expect(clippy::indexing_slicing, reason = "a fault of a test's own may end the test")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shewhart::edge::clock;

use super::daemon::PATIENCE;
use super::proxy::Proxy;

/// The version in `pom.xml`.
const VERSION: &str = "4.2.0";
const CLUSTER: &str = "4L6g3nShT-eMCtK--X86sw";
const JVM: [&str; 5] =
    ["-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"];

/// What every node has beside the file's properties when there are three.
const OF_THREE: &str = "default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
broker.session.timeout.ms=6000
";

/// One more door of a broker, for clients that come with TLS or a password.
pub(crate) struct Door {
    /// In upper case.
    pub(crate) name: &'static str,
    /// `SSL`, `SASL_SSL` ...
    pub(crate) protocol: &'static str,
    /// Properties of this listener alone, without its prefix.
    pub(crate) properties: Vec<(String, String)>,
}

/// A running broker, of one node or three. Killed by its id on drop.
pub(crate) struct Broker {
    nodes: Vec<Node>,
    bootstrap: String,
    doors: Vec<String>,
    replicas: i32,
    /// The line that clients of a single node take.
    pub(crate) line: Proxy,
    jars: PathBuf,
    /// From the start of the JVM to the first answer.
    pub(crate) startup: Duration,
    dir: tempfile::TempDir,
}

struct Node {
    child: Child,
    config: PathBuf,
    log: PathBuf,
}

/// Says aloud why something was not tested: past the capture of test output.
pub(crate) fn skipped(what: &str, why: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {what}: {why}").expect("stderr");
}

impl Broker {
    /// Starts one, or says why not: a machine without Java or Maven Central must pass all the same.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(1, &[], "")
    }

    /// One of so many nodes, with more doors. `user` is a line of `--add-scram`, where there is one.
    pub(crate) fn start_with(nodes: usize, doors: &[Door], user: &str) -> Option<Self> {
        match Self::try_start(nodes, doors, user) {
            Ok(broker) => Some(broker),
            Err(why) => {
                skipped("tests on a real Kafka broker", &why);
                None
            }
        }
    }

    fn try_start(count: usize, doors: &[Door], user: &str) -> Result<Self, String> {
        let jars = jars()?;
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let all: Vec<[u16; 3]> = (0..count).map(|_| ports()).collect();
        let line = Proxy::before(([127, 0, 0, 1], all[0][2]).into());
        let extra: Vec<u16> = doors.iter().map(|_| ports()[0]).collect();
        let voters: Vec<String> =
            (1..).zip(&all).map(|(node, [ctrl, ..])| format!("{node}@127.0.0.1:{ctrl}")).collect();
        let started = clock::instant();
        let mut nodes = Vec::new();
        for (at, ports) in all.iter().enumerate() {
            let home = dir.path().join(at.to_string());
            fs::create_dir(&home).map_err(|error| error.to_string())?;
            let advertised = if count == 1 { line.address().port() } else { ports[2] };
            let mut properties = node_properties(at + 1, *ports, advertised, &home)?;
            if count > 1 {
                properties = properties.replace("controller.quorum.bootstrap.servers", "#");
                properties.push_str(OF_THREE);
                writeln!(properties, "controller.quorum.voters={}", voters.join(","))
                    .map_err(|error| error.to_string())?;
            }
            let properties = with_doors(&properties, doors, &extra);
            let config = home.join("server.properties");
            fs::write(&config, properties).map_err(|error| error.to_string())?;
            let mut format = java(&jars);
            format.arg("kafka.tools.StorageTool").args(["format", "-t", CLUSTER, "-c"]).arg(&config);
            if count == 1 {
                format.arg("--standalone");
            }
            if !user.is_empty() {
                format.args(["--add-scram", user]);
            }
            run(&mut format)?;
            let log = home.join("kafka.log");
            nodes.push(Node { child: spawn(&jars, &config, &log)?, config, log });
        }
        let address = |port: &u16| format!("127.0.0.1:{port}");
        let bootstrap = match all.as_slice() {
            [_] => vec![line.address().to_string()],
            all => all.iter().map(|[_, _, real]| address(real)).collect(),
        };
        let mut broker = Self {
            nodes,
            bootstrap: bootstrap.join(","),
            doors: extra.iter().map(address).collect(),
            line,
            replicas: i32::try_from(count).map_err(|error| error.to_string())?,
            jars,
            startup: Duration::ZERO,
            dir,
        };
        broker.wait(count);
        broker.startup = started.elapsed();
        Ok(broker)
    }

    /// Waits until so many nodes answer. From here on a failure is a failure: the machine can run a broker.
    pub(crate) fn wait(&mut self, count: usize) {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("reconnect.backoff.max.ms", "200")
            .create()
            .expect("a client");
        let deadline = clock::instant() + PATIENCE;
        loop {
            let logs = || -> String {
                self.nodes.iter().map(|node| fs::read_to_string(&node.log).unwrap_or_default()).collect()
            };
            match client.fetch_metadata(None, Duration::from_secs(1)) {
                Ok(metadata) if metadata.brokers().len() >= count => break,
                _ if clock::instant() < deadline => clock::sleep(Duration::from_millis(50)),
                _ => panic!("Kafka gave no answer in time:\n{}", logs()),
            }
        }
    }

    /// A signal to one node, as `kill` names it: `KILL`, `STOP`, `CONT`; `TERM` is a controlled shutdown.
    pub(crate) fn signal(&mut self, node: usize, signal: &str) {
        let node = &mut self.nodes[node];
        let done = Command::new("kill").arg(format!("-{signal}")).arg(node.child.id().to_string()).status();
        assert!(done.expect("kill").success());
        if ["KILL", "TERM"].contains(&signal) {
            node.child.wait().expect("a broker that ended");
        }
    }

    /// Starts a node again that was ended.
    pub(crate) fn start_again(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        node.child = spawn(&self.jars, &node.config, &node.log).expect("a broker that starts again");
    }

    /// Where a door is.
    pub(crate) fn door(&self, at: usize) -> &str {
        &self.doors[at]
    }

    /// The segments of a partition on the first node.
    pub(crate) fn segments(&self, topic: &str, partition: i32) -> Vec<PathBuf> {
        let folder = self.dir.path().join("0/data").join(format!("{topic}-{partition}"));
        let files = fs::read_dir(folder).expect("a partition's folder").map(|file| file.expect("a file").path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect()
    }

    /// `host:port`.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Creates a topic and waits until it has leaders.
    pub(crate) fn create_topic(&self, topic: &str, partitions: i32) {
        self.create(NewTopic::new(topic, partitions, TopicReplication::Fixed(self.replicas)));
    }

    /// The same with one partition on these nodes, counted from one, and settings of its own.
    pub(crate) fn create_topic_on(&self, topic: &str, nodes: &[i32], settings: &[(&str, &str)]) {
        let replicas = [nodes];
        let new = NewTopic::new(topic, 1, TopicReplication::Variable(&replicas));
        self.create(settings.iter().fold(new, |new, (key, value)| new.set(key, value)));
    }

    fn create(&self, new: NewTopic<'_>) {
        let (topic, partitions) = (new.name, new.num_partitions);
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

    /// Has the topic have so many partitions.
    pub(crate) fn add_partitions(&self, topic: &str, partitions: usize) {
        let new = NewPartitions::new(topic, partitions);
        let made = block_on(self.admin().create_partitions(&[new], &AdminOptions::new()));
        made.expect("an answer").into_iter().for_each(|result| drop(result.expect("new partitions")));
        self.settle(topic, partitions);
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
        for node in &mut self.nodes {
            node.child.kill().expect("a broker to kill");
            node.child.wait().expect("a killed broker");
        }
    }
}

fn node_properties(id: usize, [ctrl, int, real]: [u16; 3], advertised: u16, home: &Path) -> Result<String, String> {
    let text = fs::read_to_string(folder().join("server.properties")).map_err(|error| error.to_string())?;
    Ok(text
        .replace("node.id=1", &format!("node.id={id}"))
        .replace("@CTRL@", &ctrl.to_string())
        .replace("@INT@", &int.to_string())
        .replace("@REAL@", &real.to_string())
        .replace("@PROXY@", &advertised.to_string())
        .replace("@DATA@", &home.join("data").display().to_string()))
}

fn with_doors(properties: &str, doors: &[Door], ports: &[u16]) -> String {
    let lines = properties.lines().map(|line| {
        let mut line = line.to_owned();
        for (door, port) in doors.iter().zip(ports) {
            if line.starts_with("listeners=") || line.starts_with("advertised.listeners=") {
                line = format!("{line},{}://127.0.0.1:{port}", door.name);
            } else if line.starts_with("listener.security.protocol.map=") {
                line = format!("{line},{}:{}", door.name, door.protocol);
            }
        }
        line
    });
    let own = doors.iter().flat_map(|door| {
        let prefix = format!("listener.name.{}", door.name.to_lowercase());
        door.properties.iter().map(move |(key, value)| format!("{prefix}.{key}={value}"))
    });
    lines.chain(own).map(|line| line + "\n").collect()
}

fn spawn(jars: &Path, config: &Path, log: &Path) -> Result<Child, String> {
    let out = fs::OpenOptions::new().create(true).append(true).open(log).map_err(|error| error.to_string())?;
    let err = out.try_clone().map_err(|error| error.to_string())?;
    let mut broker = java(jars);
    broker.arg("kafka.Kafka").arg(config).stdin(Stdio::null()).stdout(out).stderr(err);
    broker.spawn().map_err(|error| error.to_string())
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
