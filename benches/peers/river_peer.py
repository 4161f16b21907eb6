#!/usr/bin/env python3
"""The nearest work in River: for every agent drift of confidence by ADWIN and Page-Hinkley, a rolling 95 % quantile of latency,
means and variances, and accuracy from feedback that is joined by the id of the event.

    pip install river confluent-kafka orjson
    python benches/peers/river_peer.py BROKERS TOPIC EVENTS
"""

import sys
from collections import OrderedDict

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from river import drift, stats

JOINED = 200_000


class Agent:
    def __init__(self):
        self.adwin = drift.ADWIN()
        self.page_hinkley = drift.PageHinkley()
        self.p95 = stats.RollingQuantile(0.95, 1000)
        self.confidence, self.spread, self.recent = stats.Mean(), stats.Var(), stats.EWMean(0.01)
        self.latency, self.accuracy, self.escalated = stats.Mean(), stats.Mean(), stats.Mean()
        self.drifts = 0

    def output(self, event):
        confidence, latency = event["confidence"], event["latency_ms"]
        self.adwin.update(confidence)
        self.page_hinkley.update(confidence)
        self.drifts += self.adwin.drift_detected + self.page_hinkley.drift_detected
        self.confidence.update(confidence)
        self.spread.update(confidence)
        self.recent.update(confidence)
        self.latency.update(latency)
        self.p95.update(latency)
        self.escalated.update(event["escalated"])


def main(brokers, topic, events):
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "river", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    agents, outputs, seen = {}, OrderedDict(), 0
    while seen < events:
        for message in consumer.consume(1000, 1.0):
            event = orjson.loads(message.value())
            seen += 1
            # An output that failed states no confidence.
            if event["type"] == "output" and "confidence" not in event:
                continue
            if event["type"] == "output":
                agent = agents.get(event["agent"]) or agents.setdefault(event["agent"], Agent())
                agent.output(event)
                outputs[event["event_id"]] = agent
                if len(outputs) > JOINED:
                    outputs.popitem(last=False)
            elif agent := outputs.get(event["event_id"]):
                agent.accuracy.update(event["correct"])
    print(len(agents), sum(agent.drifts for agent in agents.values()))


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
