#!/usr/bin/env python3
"""The nearest work in Quix Streams: for every agent and minute of event time the outputs and the mean confidence and latency (it
has no quantile).

    pip install quixstreams orjson
    python benches/peers/quix_peer.py BROKERS TOPIC EVENTS
"""

import os
import sys
import tempfile
from datetime import datetime

import orjson
from quixstreams import Application
from quixstreams.dataframe.windows import Count, Mean

brokers, topic, events = sys.argv[1], sys.argv[2], int(sys.argv[3])


def at(value, headers, timestamp, kind):
    return int(datetime.fromisoformat(value["ts"]).timestamp() * 1000)


with tempfile.TemporaryDirectory() as state:
    app = Application(
        broker_address=brokers,
        # Another one in each run, which begins at the beginning.
        consumer_group=f"quix-{os.getpid()}",
        auto_offset_reset="earliest",
        state_dir=state,
        loglevel="WARNING",
        use_changelog_topics=False,
    )
    source = app.topic(topic, value_deserializer="bytes", timestamp_extractor=None)
    frame = app.dataframe(source).apply(orjson.loads)
    frame = frame.filter(lambda event: event["type"] == "output" and "confidence" in event).set_timestamp(
        lambda event, key, timestamp, headers: at(event, headers, timestamp, None)
    )
    frame = frame.tumbling_window(60_000, 60_000).agg(n=Count(), confidence=Mean("confidence"), latency=Mean("latency_ms")).final()
    app.run(count=events, timeout=60)
