"""What an operator, or a clean-up tool, does to ZooKeeper's nodes by hand.

    tree.py delete SERVERS PATH              deletes a node and all below it
    tree.py names SERVERS PATH               the names of its children, as a JSON list
    tree.py set SERVERS PATH VALUE           sets its value
    tree.py allow SERVERS PATH PERMISSIONS   lets everybody have these of cdrwa on it, made where it is missing

The server must run with superDigest for `allow` to be taken back: it is asked as `super:secret`.
"""

import json
import sys

from kazoo.client import KazooClient
from kazoo.exceptions import NotEmptyError
from kazoo.security import ACL, Id


def delete(client, path):
    """What hosts make again meanwhile may stay."""
    for _ in range(20):
        try:
            return client.delete(path, recursive=True)
        except NotEmptyError:
            pass


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
