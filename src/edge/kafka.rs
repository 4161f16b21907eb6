//! Kafka: BaseConsumer on its own thread, assignment from our offsets, records in.
