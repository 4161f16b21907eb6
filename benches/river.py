#!/usr/bin/env python3
"""Our charts and River's drift detectors on the same labels, at the same rate of false alarms.

    cargo bench --bench detection --no-default-features -- --write DIR
    pip install river
    python benches/river.py DIR

Every detector's threshold is set by bisection so that it raises one false alarm in about 20,000 labels in control,
as our charts promise; where that cannot be reached, the nearest is shown. It begins anew every 20,000 labels: some
alarm early or never, and a single long run of theirs says nothing of a stream's first weeks. Delays count labels
after a drop from 92 % that comes after 5,000 labels in control; a detector that alarms before begins anew. Costs of
River's detectors are those of a Python loop around them, most of it the interpreter's; ours are those of whole
charts in a Rust loop. Takes four to five minutes.
"""

import json
import math
import sys
import time
from functools import partial
from pathlib import Path

# This file has the name of what it imports.
HERE = Path(__file__).resolve().parent
sys.path = [folder for folder in sys.path if Path(folder or ".").resolve() != HERE]

try:
    import river
    from river import drift
    from river.drift import binary
except ImportError:
    print("skipped: river is not installed (pip install river)")
    sys.exit(0)

WANTED = 20_000
STEPS = 8
# KSWIN takes so long per label that neither its threshold nor its delays can be had in minutes.
SLOW = 30_000

# Older versions write the names with an underscore.
HDDM_A = getattr(binary, "HDDM_A", None) or binary.HDDMA
HDDM_W = getattr(binary, "HDDM_W", None) or binary.HDDMW

# Name, what the threshold is, how to make a detector of it, the thresholds between which it lies (the first one alarms
# more often), whether they are halved by their logarithms.
DETECTORS = [
    ("ADWIN", "delta", lambda x: drift.ADWIN(delta=x), (0.5, 1e-12), True),
    ("DDM", "drift_threshold", lambda x: binary.DDM(drift_threshold=x, warning_threshold=x), (1.0, 12.0), False),
    ("EDDM", "beta", lambda x: binary.EDDM(beta=x, alpha=min(x + 0.05, 0.999)), (0.95, 0.3), False),
    ("HDDM_A", "drift_confidence", lambda x: HDDM_A(drift_confidence=x, warning_confidence=x), (0.5, 1e-12), True),
    ("HDDM_W", "drift_confidence", lambda x: HDDM_W(drift_confidence=x, warning_confidence=x), (0.5, 1e-12), True),
    ("PageHinkley, delta 0.005", "threshold", lambda x: drift.PageHinkley(threshold=x, mode="up"), (2.0, 200.0), False),
    (
        "PageHinkley, delta 0.01",
        "threshold",
        lambda x: drift.PageHinkley(threshold=x, delta=0.01, alpha=1.0, mode="up"),
        (2.0, 200.0),
        False,
    ),
]


def labels(path):
    return [byte - 48 for byte in path.read_bytes()]


def alarms(make, sequence):
    """False alarms in a sequence, and the nanoseconds of a label."""
    found, started = 0, time.perf_counter()
    for start in range(0, len(sequence), WANTED):
        detector = make()
        for x in sequence[start : start + WANTED]:
            detector.update(x)
            if detector.drift_detected:
                found, detector = found + 1, make()
    return found, (time.perf_counter() - started) * 1e9 / len(sequence)


def tuned(make, ends, by_logarithm, sequence):
    """The threshold with the wanted rate of false alarms, or the nearest that was met."""
    to, back = (math.log, math.exp) if by_logarithm else (float, float)
    often, seldom = map(to, ends)
    best = None
    for _ in range(STEPS):
        middle = (often + seldom) / 2
        found, _ = alarms(partial(make, back(middle)), sequence)
        miss = abs(math.log(max(found, 0.5) * WANTED / len(sequence)))
        if best is None or miss < best[0]:
            best = (miss, back(middle))
        if found * WANTED > len(sequence):
            often = middle
        else:
            seldom = middle
    return best[1]


def delays(make, sequence, before, after):
    found = []
    for start in range(0, len(sequence), before + after):
        detector = make()
        for n, x in enumerate(sequence[start : start + before + after]):
            detector.update(x)
            if detector.drift_detected:
                if n >= before:
                    found.append(n + 1 - before)
                    break
                detector = make()
        else:
            found.append(after)
    return found


def mean(values):
    """The mean with its standard error."""
    middle = sum(values) / len(values)
    error = math.sqrt(sum((x - middle) ** 2 for x in values) / (len(values) - 1) / len(values))
    return f"{middle:,.0f} ({error:,.0f})"


def row(name, threshold, found, seen, at_drops, nanos):
    arl0 = "-" if found == 0 else f"{seen / found:,.0f} ({seen / found / math.sqrt(found):,.0f})"
    cells = [name, threshold, arl0, *map(mean, at_drops), f"{nanos:,.0f}"]
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder, started = Path(sys.argv[1]), time.perf_counter()
    ours = json.loads((folder / "ours.json").read_text())
    control = labels(folder / "control")
    drops = {name: labels(folder / name) for name in ("drop_2", "drop_5")}
    lengths = ours["before"], ours["after"]
    print(f"River {river.__version__}, seed {ours['seed']}, accuracy {1 - ours['p0']:.2f}; standard errors in")
    print(f"parentheses; delays are cut at {ours['after']:,} labels\n")
    print("| detector | threshold | labels per false alarm | 2 pp | 5 pp | ns per label |\n|---|---|---|---|---|---|")
    for chart in ours["charts"]:
        at_drops = [chart["delays"][name] for name in drops]
        row(f"shewhart, {chart['name']}", "from the promise", chart["alarms"], len(control), at_drops, chart["nanos"])
    for name, what, make, ends, by_logarithm in DETECTORS:
        threshold = tuned(make, ends, by_logarithm, control)
        chosen = partial(make, threshold)
        found, nanos = alarms(chosen, control)
        at_drops = [delays(chosen, sequence, *lengths) for sequence in drops.values()]
        row(name, f"{what} {threshold:.3g}", found, len(control), at_drops, nanos)
    found, nanos = alarms(lambda: drift.KSWIN(seed=ours["seed"]), control[:SLOW])
    print(f"\nKSWIN as it comes (alpha 0.005), too slow to be tuned: {found} false alarms in {SLOW:,} labels,")
    print(f"{nanos:,.0f} ns per label")
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
