"""Times of kazoo's bare lock, for the bench: one JSON list on standard output.

    locks.py acquire SERVERS PATH COUNT
        acquires a free lock COUNT times; how long each took, in nanoseconds
    locks.py pass SERVERS PATH COUNT HOLD
        stands for the lock COUNT times and holds it for HOLD seconds each time; for each the wall-clock times, in
        nanoseconds, when it was acquired and when its release was begun
"""

import json
import sys
import time

from kazoo.client import KazooClient

SESSION_TIMEOUT = 10.0


def acquire(lock, count):
    took = []
    for _ in range(int(count)):
        begin = time.perf_counter_ns()
        lock.acquire()
        took.append(time.perf_counter_ns() - begin)
        lock.release()
    return took


def pass_on(lock, count, hold):
    held = []
    for _ in range(int(count)):
        lock.acquire()
        acquired = time.time_ns()
        time.sleep(float(hold))
        released = time.time_ns()
        lock.release()
        held.append([acquired, released])
    return held


if __name__ == "__main__":
    mode, servers, path, *rest = sys.argv[1:]
    client = KazooClient(hosts=servers, timeout=SESSION_TIMEOUT)
    client.start()
    print(json.dumps({"acquire": acquire, "pass": pass_on}[mode](client.Lock(path, "bench"), *rest)))
    client.stop()
