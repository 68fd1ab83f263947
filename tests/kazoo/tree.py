"""What an operator, or a clean-up tool, does to ZooKeeper's nodes by hand.

    tree.py delete SERVERS PATH              deletes a node and all below it; fails if it isn't gone at any moment
    tree.py names SERVERS PATH               the names of its children, as a JSON list
    tree.py set SERVERS PATH VALUE           sets its value
    tree.py allow SERVERS PATH PERMISSIONS   lets everybody have these of cdrwa on it, made where it is missing

The server must run with superDigest for `allow` to be taken back: it is asked as `super:secret`.
"""

import json
import sys

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError, NotEmptyError
from kazoo.security import ACL, Id

SWEEPS = 20
TRIES = 1000


def delete(client, path):
    """Node by node, as tools do it. If hosts make nodes again in between for too long, in one transaction: it is gone at some
    moment, though it may be there again right then."""
    if not client.exists(path):
        sys.exit("there is no such node")
    for _ in range(SWEEPS):
        try:
            return client.delete(path, recursive=True)
        except NotEmptyError:
            pass
    for _ in range(TRIES):
        try:
            transaction = client.transaction()
            for node in all_below(client, path):
                transaction.delete(node)
        except NoNodeError:
            continue
        if not any(isinstance(result, Exception) for result in transaction.commit()):
            return
    sys.exit(f"it was not gone at any moment: in {TRIES} tries, something changed below it before")


def all_below(client, path):
    """With the node itself, children first."""
    for name in client.get_children(path):
        yield from all_below(client, f"{path}/{name}")
    yield path


def allow(client, path, letters):
    client.ensure_path(path)
    bits = sum({"r": 1, "w": 2, "c": 4, "d": 8, "a": 16}[letter] for letter in letters)
    client.set_acls(path, [ACL(bits, Id("world", "anyone"))])


if __name__ == "__main__":
    command, servers, path, *rest = sys.argv[1:]
    client = KazooClient(hosts=servers, auth_data=[("digest", "super:secret")])
    client.start()
    if command == "delete":
        delete(client, path)
    elif command == "names":
        print(json.dumps(client.get_children(path)))
    elif command == "set":
        client.set(path, rest[0].encode())
    elif command == "allow":
        allow(client, path, rest[0])
    else:
        sys.exit(f"unknown command {command}")
    client.stop()
