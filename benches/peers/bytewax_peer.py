#!/usr/bin/env python3
"""The nearest work in Bytewax: for every agent and minute of event time the outputs, the mean confidence and the 95 % quantile of
latency.

    pip install bytewax confluent-kafka orjson
    python benches/peers/bytewax_peer.py BROKERS TOPIC EVENTS
"""

import sys
from datetime import datetime, timedelta, timezone

import bytewax.operators as op
import bytewax.operators.windowing as win
import orjson
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main


class Nothing(StatelessSinkPartition):
    def write_batch(self, items):
        pass


class NoSink(DynamicSink):
    def build(self, step_id, worker_index, worker_count):
        return Nothing()


def parsed(message):
    event = orjson.loads(message.value)
    # An output that failed states no confidence.
    return (event["agent"], event) if event["type"] == "output" and "confidence" in event else None


def at(event):
    return datetime.fromisoformat(event["ts"])


def empty():
    return [0, 0.0, []]


def add(sums, event):
    sums[0] += 1
    sums[1] += event["confidence"]
    sums[2].append(event["latency_ms"])
    return sums


def merge(a, b):
    return [a[0] + b[0], a[1] + b[1], a[2] + b[2]]


def summed(window):
    agent, (_, (n, confidence, latencies)) = window
    latencies.sort()
    return agent, (n, confidence / n, latencies[int(0.95 * (n - 1))])


brokers, topic = sys.argv[1:3]
flow = Dataflow("peer")
records = op.input("events", flow, KafkaSource([brokers], [topic], tail=False, batch_size=1000))
outputs = op.filter_map("parse", records, parsed)
clock = win.EventClock(at, wait_for_system_duration=timedelta(minutes=1))
minutes = win.TumblingWindower(length=timedelta(minutes=1), align_to=datetime(2026, 1, 1, tzinfo=timezone.utc))
windows = win.fold_window("minutes", outputs, clock, minutes, empty, add, merge)
op.output("nowhere", op.map("sum", windows.down, summed), NoSink())
run_main(flow)
