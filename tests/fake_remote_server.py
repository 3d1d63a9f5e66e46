"""A fake of the servers that files are imported from: websites, S3, Hugging Face and ModelScope.

It listens on loopback and implements as much of their protocols as imports need: ranges with
validators, redirects, signed URLs, and the hubs' file lists. It can also break connections.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

BLOCK = 64 << 10


class FakeRemoteServer(ThreadingHTTPServer):
    """A fake server: its files, its faults, and the requests that it has received.

    Attributes:
        files: file contents, keyed by path.
        repositories: the hubs' repositories, each with its files by path.
        redirects: redirect targets, keyed by path.
        cuts: numbers of bytes after which the next responses break off, one number per response.
        statuses: status codes of the next responses, which have no body.
        stalls: paths whose response stops after one block, until :attr:`released` is set.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.redirects: dict[str, str] = {}
        self.cuts: list[int] = []
        self.statuses: list[int] = []
        self.stalls: set[str] = set()
        self.released = threading.Event()
        self.ranges = True
        self.validators = True
        self.lengths = True
        self.headers: dict[str, str] = {}
        self.token: str | None = None
        self.requests: list[tuple[str, dict[str, str]]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def range_starts(self) -> list[int]:
        """Return the offset of the first requested byte of each request."""
        found = []
        for _, headers in self.requests:
            span = re.match(r"bytes=(\d+)-", headers.get("range", ""))
            found.append(int(span[1]) if span else 0)
        return found


@contextmanager
def fake_remote_server() -> Iterator[FakeRemoteServer]:
    """Run a fake server inside the ``with`` block."""
    server = FakeRemoteServer()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: FakeRemoteServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        remote = self.server
        self.close_connection = True
        remote.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        if remote.statuses:
            self._end(remote.statuses.pop(0))
            return
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), parse_qs(parts.query)
        if remote.token and self.headers.get("authorization") != f"Bearer {remote.token}":
            self._end(401)
        elif path in remote.redirects:
            self._end(302, Location=remote.redirects[path])
        elif path in remote.files:
            self._send(remote.files[path])
        elif found := re.fullmatch(r"/api/datasets/(.+)/revision/(.+)", path):
            self._list_huggingface(found[1], found[2])
        elif found := re.fullmatch(r"/datasets/(.+?)/resolve/(.+?)/(.+)", path):
            self._file(found[1], found[3])
        elif found := re.fullmatch(r"/api/v1/datasets/(.+?)/repo/tree", path):
            self._list_modelscope(found[1], query)
        elif found := re.fullmatch(r"/api/v1/datasets/(.+?)/repo", path):
            self._file(found[1], query["FilePath"][0])
        else:
            self._end(404)

    def _file(self, repository: str, path: str) -> None:
        content = self.server.repositories.get(repository, {}).get(path)
        if content is None:
            self._end(404)
        else:
            self._send(content)

    def _list_huggingface(self, repository: str, revision: str) -> None:
        files = self.server.repositories.get(repository)
        if files is None:
            self._end(404)
            return
        siblings = [
            {"rfilename": path, "size": len(content), "lfs": {"sha256": sha(content)}}
            if path.endswith(".parquet")
            else {"rfilename": path, "size": len(content)}
            for path, content in files.items()
        ]
        commit = "0" * 40 if revision == "main" else revision
        self._send(json.dumps({"sha": commit, "siblings": siblings}).encode())

    def _list_modelscope(self, repository: str, query: dict[str, list[str]]) -> None:
        files = self.server.repositories.get(repository)
        if files is None:
            answer: dict[str, Any] = {"Success": False, "Message": "no such dataset"}
        else:
            entries: list[dict[str, Any]] = [{"Path": "data", "Type": "tree", "Size": 0}]
            entries += [
                {"Path": path, "Type": "blob", "Size": len(content), "Sha256": sha(content)}
                for path, content in files.items()
            ]
            first = (int(query["PageNumber"][0]) - 1) * int(query["PageSize"][0])
            page = entries[first : first + int(query["PageSize"][0])]
            answer = {"Success": True, "Data": {"Files": page}}
        self._send(json.dumps(answer).encode())

    def _end(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**self.server.headers, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes) -> None:
        remote = self.server
        tag = f'"{sha(content)[:16]}"'
        start = 0
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        if span and remote.ranges and self.headers.get("if-range", tag) == tag:
            start = int(span[1])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if remote.validators:
            self.send_header("ETag", tag)
        if remote.lengths:
            self.send_header("Content-Length", str(len(content) - start))
        for name, value in remote.headers.items():
            self.send_header(name, value)
        self.end_headers()
        cut = remote.cuts.pop(0) if remote.cuts else None
        body = content[start:] if cut is None else content[start : start + cut]
        if urlsplit(self.path).path in remote.stalls:
            self.wfile.write(body[:BLOCK])
            self.wfile.flush()
            remote.released.wait(30)
            return
        for at in range(0, len(body), BLOCK):
            self.wfile.write(body[at : at + BLOCK])

    def log_message(self, *args: Any) -> None:
        pass
