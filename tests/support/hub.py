"""A Hugging Face hub with one repository, over HTTP."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HEAD = "0123456789ab" + "8" * 28
PINNED = "ab036b023d30" + "7" * 28
"""The one that the card of jina-embeddings-v3 abbreviates."""


@dataclass
class Hub:
    """What the server has, how it behaves, and what it was asked for."""

    repository: str
    files: dict[str, bytes]
    gated: bool = False
    break_after: dict[str, int] = field(default_factory=dict)
    """Files whose next download ends after so many bytes, with the connection."""
    stays_broken: bool = False
    """Whether nothing is answered from then on."""
    broken: bool = False
    """Answers nothing any more."""
    ranges: bool = True
    """Whether parts of files can be asked for."""
    checksums: dict[str, str] = field(default_factory=dict)
    """SHA-256 that is announced for a file."""
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and Range header."""

    def downloads(self) -> dict[str, str | None]:
        """Files that were downloaded, with the Range that was asked for last."""
        return {
            path.split("/", 5)[-1]: part for method, path, part in self.asked if method == "GET" and "/resolve/" in path
        }


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """Run the server; gives its address."""

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def files_of(folder: Path) -> dict[str, bytes]:
    """Of a checkpoint, by their paths below the folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.asked.append((self.command, path, self.headers.get("Range")))
        if self.hub.broken:
            self.close_connection = True
            return
        repository = re.escape(self.hub.repository)
        if re.fullmatch(rf"/api/models/{repository}/commits/main", path):
            commits = [{"id": id, "authors": [], "date": "2026-01-01T00:00:00.000Z"} for id in (HEAD, PINNED)]
            self._json([commit | {"title": "a commit", "message": ""} for commit in commits])
        elif found := re.fullmatch(rf"/api/models/{repository}(?:/revision/(.*))?", path):
            if found[1] in (HEAD, PINNED, "main", None):
                self._json({"id": self.hub.repository, "sha": PINNED if found[1] == PINNED else HEAD})
            else:
                self._error(404, "RevisionNotFound")
        elif found := re.fullmatch(rf"/api/models/{repository}/tree/(.*)", path):
            if found[1] in (HEAD, PINNED):
                self._json([self._described(name) for name in self.hub.files])
            else:
                self._error(404, "RevisionNotFound")
        elif found := re.fullmatch(rf"/{repository}/resolve/([^/]*)/(.*)", path):
            self._file(found[1], found[2])
        else:
            self._error(404, "RepoNotFound")

    def _described(self, name: str) -> dict[str, object]:
        content = self.hub.files[name]
        described: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": _etag(content)}
        if name in self.hub.checksums:
            described["lfs"] = {"oid": self.hub.checksums[name], "size": len(content), "pointerSize": 130}
        return described

    def _file(self, revision: str, name: str) -> None:
        if self.hub.gated:
            self._error(403, "GatedRepo")
            return
        content = self.hub.files[name]
        start = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0]) if self.hub.ranges else 0
        part = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{_etag(content)}"')
        self.send_header("X-Repo-Commit", revision)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        if (limit := self.hub.break_after.pop(name, None)) is not None:
            self.hub.broken = self.hub.stays_broken
            self.close_connection = True
            part = part[:limit]
        self.wfile.write(part)

    def _json(self, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _error(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
