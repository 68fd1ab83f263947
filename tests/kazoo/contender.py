"""A kazoo program in the queue of an election, as any Python service would stand there.

    contender.py lead SERVERS PATH IDENTIFIER SECONDS FILE
        stands again and again, leads for SECONDS each time, and appends to FILE one JSON line when its leader
        function begins and one just before it returns; SIGTERM ends it after the term it is in
    contender.py lead-beside-curator SERVERS PATH IDENTIFIER SECONDS FILE
        the same, where Curator's programs stand too: counts their nodes, and names its own so that they count it
    contender.py contenders SERVERS PATH
        writes the identifiers of the queue to standard output, as a JSON list; Curator's nodes count
"""

import json
import signal
import sys
import threading
import time

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import KazooException
from kazoo.recipe.lock import Lock

SESSION_TIMEOUT = 10.0
CURATOR = "-lock-"


class CuratorLock(Lock):
    """A lock whose node has the form that Curator counts."""

    _NODE_NAME = CURATOR

    def __init__(self, client, path, identifier=None):
        super().__init__(client, path, identifier, extra_lock_patterns=[CURATOR])


def lead(servers, path, identifier, seconds, file, lock=Lock):
    stop, connected = threading.Event(), threading.Event()
    client = KazooClient(hosts=servers, timeout=SESSION_TIMEOUT)
    # A leader function must not go on while the session is in doubt.
    client.add_listener(lambda state: connected.set() if state == KazooState.CONNECTED else connected.clear())
    client.start()
    election = client.Election(path, identifier)
    election.lock = lock(client, path, identifier)

    def note(mark, token):
        line = {"time_ns": time.time_ns(), "who": identifier, "token": token, "mark": mark}
        with open(file, "a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")

    def leader_func():
        token = client.get(f"{path}/{election.lock.node}")[1].czxid
        note("begin", token)
        until = time.monotonic() + float(seconds)
        while time.monotonic() < until and connected.is_set() and not stop.is_set():
            time.sleep(0.01)
        note("end", token)

    def end(_signal, _frame):
        stop.set()
        election.cancel()

    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    while not stop.is_set():
        try:
            election.run(leader_func)
        except KazooException:
            # The session is in doubt or gone: stand again, with a fresh node.
            election.lock = lock(client, path, identifier)
            connected.wait()
    client.stop()


def lead_beside_curator(*args):
    lead(*args, lock=CuratorLock)


def contenders(servers, path):
    client = KazooClient(hosts=servers, timeout=SESSION_TIMEOUT)
    client.start()
    print(json.dumps(client.Lock(path, extra_lock_patterns=[CURATOR]).contenders()))
    client.stop()


if __name__ == "__main__":
    modes = {"lead": lead, "lead-beside-curator": lead_beside_curator, "contenders": contenders}
    modes[sys.argv[1]](*sys.argv[2:])
