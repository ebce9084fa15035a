# SPDX-License-Identifier: Apache-2.0
"""What the processes of the hour count, and how it comes together. Times are of the monotonic clock, which all share."""
import collections
import json
import os
import time

HTTP, HTTPS, ADMIN, REDIS = 8000, 8443, 8001, 6379
ALWAYS = (9010, 9011)               # backends that nobody kills
KILLED = (9001, 9002, 9003, 9004)
STEADY = [f"steady{number}.test" for number in range(8)]      # hosts of the admin API: changing backends, one of ALWAYS among them
OF_REDIS = [f"redis{number}.test" for number in range(8)]     # the same in Redis
SAFE = "safe.test"                                            # only of ALWAYS
MOST_KEPT = 20_000


def rounded(seconds):
    """Microseconds, to three digits: a histogram of them stays small."""
    text = f"{seconds * 1e6:.2e}"
    return int(float(text))


class Tally:
    """Of one process; written to a file now and then, whole."""

    def __init__(self, path):
        self.path = path
        self.counts = collections.Counter()
        self.times = collections.defaultdict(collections.Counter)
        self.suspects = []  # what did not go as it should; whether it is a failure is known when it is known who was killed when
        self.lost = 0

    def took(self, kind, seconds):
        self.counts[kind] += 1
        self.times[kind][rounded(seconds)] += 1

    def suspect(self, kind, begin, stage, **more):
        if len(self.suspects) < MOST_KEPT:
            self.suspects.append({"kind": kind, "begin": begin, "end": time.monotonic(), "stage": stage, **more})
        else:
            self.lost += 1

    def write(self):
        # Copies: other threads go on counting. Each is made at once.
        whole = {"counts": dict(self.counts), "times": {kind: dict(histogram) for kind, histogram in list(self.times.items())},
                 "suspects": list(self.suspects), "lost": self.lost}
        with open(self.path + ".new", "w", encoding="ascii") as out:
            json.dump(whole, out)
        os.rename(self.path + ".new", self.path)


def gathered(paths):
    """Those of all processes together."""
    counts, times, suspects, lost = collections.Counter(), collections.defaultdict(collections.Counter), [], 0
    for path in paths:
        if not os.path.exists(path):
            continue
        with open(path, encoding="ascii") as file:
            one = json.load(file)
        counts.update(one["counts"])
        for kind, histogram in one["times"].items():
            times[kind].update({int(value): count for value, count in histogram.items()})
        suspects += one["suspects"]
        lost += one["lost"]
    return counts, times, suspects, lost


def percentiles(histogram, wanted=(0.5, 0.99, 0.999, 1)):
    """Milliseconds."""
    total, seen, found, places = sum(histogram.values()), 0, [], list(wanted)
    for value in sorted(histogram):
        seen += histogram[value]
        while places and seen >= places[0] * total:
            found.append(value / 1000)
            places.pop(0)
    return found + [found[-1] if found else 0.0] * len(places)
