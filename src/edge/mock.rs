//! A broker inside this process, for the demo and the tests: librdkafka's own imitation.
//!
//! What it is not: it listens on a port of its own choosing, keeps 5 MiB or 100,000 record sets of a partition and
//! drops the oldest silently, forgets everything at the end, and lets the first member of a group wait for three
//! seconds (later changes take the session timeout less a second).

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

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
        let (orders, queue) = channel();
        let (hello, bootstrap) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("kafka-mock".to_owned())
            .spawn(move || serve(&hello, &queue))
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

    /// Cuts all connections and takes no new ones.
    pub fn down(&self) -> Result<(), MockError> {
        self.order(|cluster| cluster.broker_down(-1))
    }

    /// Takes connections again.
    pub fn up(&self) -> Result<(), MockError> {
        self.order(|cluster| cluster.broker_up(-1))
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

fn serve(hello: &SyncSender<KafkaResult<String>>, orders: &Receiver<(Order, SyncSender<KafkaResult<()>>)>) {
    let cluster = match MockCluster::new(1) {
        Ok(cluster) => cluster,
        Err(error) => return drop(hello.send(Err(error))),
    };
    drop(hello.send(Ok(cluster.bootstrap_servers())));
    while let Ok((order, reply)) = orders.recv() {
        drop(reply.send(order(&cluster)));
    }
}
