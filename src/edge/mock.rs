//! A broker inside this process, for the demo and the tests: librdkafka's own imitation.
//!
//! What it is not: it listens on a port of its own choosing, keeps 5 MiB or 100,000 record sets of a partition and
//! drops the oldest silently, forgets everything at the end, and lets the first member of a group wait for three
//! seconds (later changes take the session timeout less a second).

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

/// Why the mock broker cannot do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MockError {
    /// The client library refuses.
    #[error("the mock broker refuses: {0}")]
    Refused(String),
    /// Its thread is gone or was never born.
    #[error("the mock broker is gone")]
    Gone,
}

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Order = Box<dyn FnOnce(&Cluster) -> KafkaResult<()> + Send>;

/// A running mock broker; it ends when dropped. The cluster may not leave the thread it was made on, so orders go there.
#[derive(Debug)]
pub struct MockBroker {
    bootstrap: String,
    orders: Option<Sender<(Order, SyncSender<KafkaResult<()>>)>>,
    thread: Option<JoinHandle<()>>,
}

impl MockBroker {
    /// One broker with one topic.
    pub fn start(topic: &str, partitions: i32) -> Result<Self, MockError> {
        Self::start_many(1, topic, partitions)
    }

    /// So many brokers with one topic; their ids begin with 1.
    pub fn start_many(brokers: i32, topic: &str, partitions: i32) -> Result<Self, MockError> {
        let (orders, queue) = channel();
        let (hello, bootstrap) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("kafka-mock".to_owned())
            .spawn(move || serve(brokers, &hello, &queue))
            .map_err(|error| MockError::Refused(error.to_string()))?;
        let bootstrap = bootstrap.recv().map_err(|_gone| MockError::Gone)?.map_err(|error| refused(&error))?;
        let broker = Self { bootstrap, orders: Some(orders), thread: Some(thread) };
        broker.create_topic(topic, partitions)?;
        Ok(broker)
    }

    /// `host:port` to connect to.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// One more topic.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), MockError> {
        let topic = topic.to_owned();
        self.order(move |cluster| cluster.create_topic(&topic, partitions, 1))
    }

    /// The next requests of this kind fail, one error each.
    pub fn fail(&self, api: RDKafkaApiKey, errors: &[RDKafkaRespErr]) -> Result<(), MockError> {
        let errors = errors.to_vec();
        self.order(move |cluster| {
            cluster.request_errors(api, &errors);
            Ok(())
        })
    }

    /// Cuts all connections and takes no new ones. The library ends the process if a program is being started by another
    /// thread at that moment (the new process holds a copy of the socket, so the port cannot be bound anew).
    pub fn down(&self) -> Result<(), MockError> {
        self.down_one(-1)
    }

    /// Takes connections again.
    pub fn up(&self) -> Result<(), MockError> {
        self.up_one(-1)
    }

    /// The same as [`Self::down`] of one broker.
    pub fn down_one(&self, broker: i32) -> Result<(), MockError> {
        self.order(move |cluster| cluster.broker_down(broker))
    }

    /// The same as [`Self::up`] of one broker.
    pub fn up_one(&self, broker: i32) -> Result<(), MockError> {
        self.order(move |cluster| cluster.broker_up(broker))
    }

    /// A broker answers so much later from now on.
    pub fn slow(&self, broker: i32, by: Duration) -> Result<(), MockError> {
        self.order(move |cluster| cluster.broker_round_trip_time(broker, by))
    }

    /// Another broker leads a partition from now on. (None leads none: the library does not survive that.)
    pub fn lead(&self, topic: &str, partition: i32, broker: i32) -> Result<(), MockError> {
        let topic = topic.to_owned();
        self.order(move |cluster| cluster.partition_leader(&topic, partition, Some(broker)))
    }

    fn order(&self, order: impl FnOnce(&Cluster) -> KafkaResult<()> + Send + 'static) -> Result<(), MockError> {
        let (reply, answer) = sync_channel(1);
        let orders = self.orders.as_ref().ok_or(MockError::Gone)?;
        orders.send((Box::new(order), reply)).map_err(|_gone| MockError::Gone)?;
        answer.recv().map_err(|_gone| MockError::Gone)?.map_err(|error| refused(&error))
    }
}

impl Drop for MockBroker {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the mock broker's thread panicked");
        }
    }
}

fn refused(error: &KafkaError) -> MockError {
    MockError::Refused(error.to_string())
}

fn serve(
    brokers: i32,
    hello: &SyncSender<KafkaResult<String>>,
    orders: &Receiver<(Order, SyncSender<KafkaResult<()>>)>,
) {
    let cluster = match MockCluster::new(brokers) {
        Ok(cluster) => cluster,
        Err(error) => return drop(hello.send(Err(error))),
    };
    drop(hello.send(Ok(cluster.bootstrap_servers())));
    while let Ok((order, reply)) = orders.recv() {
        drop(reply.send(order(&cluster)));
    }
}
