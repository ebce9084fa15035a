#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads Prometheus' text from standard input as strictly as it is written down; prints the value of each sample that is
named: metrics.py NAME..."""
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf'({NAME})(\{{(?:{NAME}="(?:[^"\\\n]|\\.)*",?)*\}})? (-?[0-9.e+-]+|\+Inf|-Inf|NaN)')
text = sys.stdin.read()
assert text.endswith("\n"), "the last line has no end"
types, samples, helped = {}, {}, set()
for line in text.splitlines():
    if line.startswith("# HELP "):
        name = line.split()[2]
        assert name not in helped, f"{name} is explained twice"
        helped.add(name)
    elif line.startswith("# TYPE "):
        _, _, name, kind = line.split()
        assert name not in types, f"{name} has two types"
        assert kind in ("counter", "gauge", "histogram"), line
        types[name] = kind
    else:
        found = SAMPLE.fullmatch(line)
        assert found, f"not a sample: {line}"
        name, labels = found[1], found[2] or ""
        family = re.sub("_(bucket|sum|count)$", "", name)
        assert name in types or types.get(family) == "histogram", f"{name} has no type"
        assert types.get(name) != "counter" or name.endswith("_total"), f"the counter {name}"
        assert name + labels not in samples, f"{line}: twice"
        samples[name + labels] = float(found[3])
for family in (name for name, kind in types.items() if kind == "histogram"):
    buckets = [(float(re.search('le="([^"]+)"', name)[1]), value) for name, value in samples.items()
               if name.startswith(family + "_bucket")]
    assert buckets == sorted(buckets) and [value for _, value in buckets] == sorted(value for _, value in buckets), buckets
    assert buckets[-1] == (float("inf"), samples[family + "_count"]), buckets
print(*(int(samples[name]) for name in sys.argv[1:]))
