#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stream of changes by the admin API, and whether each that was answered holds.

changes.py make JOURNAL COUNT [HOSTS]   until the API is gone, or so many were made
changes.py check JOURNAL                compares what the API lists with what it answered
"""
import http.client
import json
import sys
import time

from ends import ADMIN


def make(journal, count, hosts=40):
    connection = None
    with open(journal, "w", encoding="ascii", buffering=1) as out:
        for number in range(int(count)):
            host = f"change{number % int(hosts)}.test"
            wanted = None if number % 7 == 3 else f"n{number}"
            print("sent", host, wanted, file=out)
            for attempt in range(20):
                try:
                    if connection is None:
                        connection = http.client.HTTPConnection("127.0.0.1", ADMIN, timeout=10)
                    if wanted:
                        body = json.dumps({"backends": ["http://127.0.0.1:9001"], "id": wanted})
                        connection.request("PUT", f"/v1/routes/{host}", body)
                    else:
                        connection.request("DELETE", f"/v1/routes/{host}")
                    answer = connection.getresponse()
                    text = answer.read()
                    break
                except (OSError, http.client.HTTPException):
                    connection = None
                    time.sleep(0.02)
            else:
                return
            assert answer.status == 200 if wanted else answer.status in (204, 404), text
            print("answered", host, wanted, file=out)


def check(journal):
    may_be = {}
    answered = 0
    with open(journal, encoding="ascii") as lines:
        for line in lines:
            what, host, wanted = line.split()
            if what == "answered":
                may_be[host] = {wanted}
                answered += 1
            else:
                may_be.setdefault(host, {"None"}).add(wanted)
    connection = http.client.HTTPConnection("127.0.0.1", ADMIN, timeout=10)
    connection.request("GET", "/v1/routes")
    there = {one["host"]: one.get("id") for one in json.loads(connection.getresponse().read())}
    wrong = [f"{host} is {there.get(host)}, not {' or '.join(sorted(wanted))}"
             for host, wanted in may_be.items() if str(there.get(host)) not in wanted]
    print(f"{answered} changes")
    assert answered > 50, f"only {answered} changes were answered"
    assert not wrong, "; ".join(wrong)


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](*sys.argv[2:])
