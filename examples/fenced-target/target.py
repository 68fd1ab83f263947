#!/usr/bin/env python3
"""A target that a deposed leader can't write to: it refuses a token lower than the highest it has seen.

    python3 target.py PORT FOLDER

PUT /NAME with a header `silverback-token` sets a resource: 200, or 412 where a later term has written to it before.
GET /NAME gives its value, and the token that wrote it in the same header. README.md says which three rules matter.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

TOKEN_HEADER = "silverback-token"
MAX_BODY_BYTES = 1 << 20


class Resources:
    """Values and the highest token of each, one file a resource."""

    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = threading.Lock()

    def read(self, name):
        try:
            return json.loads(self.file(name).read_text())
        except FileNotFoundError:
            return {"token": 0, "value": None}

    def write(self, name, token, value):
        """Gives the highest token seen: the write was taken if it is not above `token`."""
        with self.lock:
            highest = self.read(name)["token"]
            if token < highest:
                return highest
            self.replace(name, {"token": token, "value": value})
            return token

    def replace(self, name, resource):
        """Durable before anyone is told: a target that forgets its token after a crash lets old ones in."""
        file = self.file(name)
        new = file.with_suffix(".new")
        with new.open("w") as out:
            json.dump(resource, out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(new, file)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def file(self, name):
        return self.folder / (quote(name, safe="") + ".json")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        resource = self.server.resources.read(self.path)
        if resource["value"] is None:
            self.answer(404, "nothing was written here", 0)
        else:
            self.answer(200, resource["value"], resource["token"])

    def do_PUT(self):
        body = self.rfile.read(min(int(self.headers.get("content-length", 0)), MAX_BODY_BYTES)).decode()
        text = self.headers.get(TOKEN_HEADER, "")
        if not (text.isascii() and text.isdigit()):
            # Without a token there is no telling who writes.
            self.answer(400, f"{TOKEN_HEADER} must be a number, not `{text}`", 0)
            return
        token = int(text)
        highest = self.server.resources.write(self.path, token, body)
        if token < highest:
            self.answer(412, f"token {token} is of an earlier term than {highest}", highest)
        else:
            self.answer(200, f"written with token {token}", token)

    def answer(self, status, text, token):
        body = (text + "\n").encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.send_header(TOKEN_HEADER, str(token))
        self.end_headers()
        self.wfile.write(body)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.resources = Resources(Path(sys.argv[2]))
    server.serve_forever()


if __name__ == "__main__":
    main()
