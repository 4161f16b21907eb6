//! The mock broker in a process of its own, for tests that take it down.

use std::net::TcpStream;

use crate::world::broker::{BrokerProcess, serve_if_told};

/// One broker with one topic.
pub(crate) fn mock_process(topic: &str, partitions: i32) -> BrokerProcess {
    let name = "broker::a_process_of_its_own_goes_down_and_comes_back_on_the_same_port";
    BrokerProcess::start(1, topic, partitions, &["--exact", name, "--nocapture"])
}

#[test]
fn a_process_of_its_own_goes_down_and_comes_back_on_the_same_port() {
    if serve_if_told() {
        return;
    }
    let mut broker = mock_process("events", 1);
    for _ in 0..20_u8 {
        drop(TcpStream::connect(broker.bootstrap()).expect("a broker that listens"));
        broker.order("down");
        assert!(TcpStream::connect(broker.bootstrap()).is_err());
        broker.order("up");
    }
}
