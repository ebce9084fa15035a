#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether io_uring would make the load balancer cheaper than epoll: bench/relay_probe.py [--rounds N] [--bin DIR]

relay_probe.cpp relays in both ways and does nothing else, so what it saves is the most that a load balancer could. On the
first core; wrk and the backend are on the second, in a network of their own. Interleaved; medians of the relay's CPU time a
request. Needs root, wrk, liburing (liburing-dev) and ninja -C build/release proxy_backend relay_probe.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BACKEND, PORTS = 9100, {"epoll": 9200, "io_uring": 9300}


def cpu(process):
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def one(way, process, connections, seconds):
    before = cpu(process)
    output = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"http://127.0.0.1:{PORTS[way]}/"],
                            stdout=subprocess.PIPE, check=True, text=True).stdout
    if "errors" in output:
        sys.exit(output)
    return 1e6 * (cpu(process) - before) / int(re.search(r"(\d+) requests in", output).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--bin", default=f"{ROOT}/build/release/bin")
    options = parser.parse_args()
    if "RELAY_PROBE_NETWORK" not in os.environ:
        os.execvpe("unshare", ["unshare", "--net", sys.executable, *sys.argv], {**os.environ, "RELAY_PROBE_NETWORK": "own"})
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    processes = [subprocess.Popen(["taskset", "-c", "1", f"{options.bin}/proxy_backend", str(BACKEND)])]
    try:
        relays = {}
        for way, port in PORTS.items():
            relays[way] = subprocess.Popen(["taskset", "-c", "0", f"{options.bin}/relay_probe", way, str(port), str(BACKEND)])
            processes.append(relays[way])
        time.sleep(0.5)
        for connections in (64, 8):
            samples = {way: [] for way in relays}
            for _ in range(options.rounds):
                for way, process in relays.items():
                    samples[way].append(one(way, process, connections, options.seconds))
            for way, values in samples.items():
                print(f"{connections} connections, {way}: {statistics.median(values):.2f} us of CPU a request ({min(values):.2f} to {max(values):.2f})", flush=True)
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
