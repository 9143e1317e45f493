"""A web server that answers as a test says, byte by byte where it matters."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
"""What is sent, or who sends it."""


@dataclass
class Request:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]


@dataclass
class WebServer:
    """Serves `answers` by path on a free port; remembers the requests and counts the connections."""

    host: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None
    greeting: bytes = b""
    """Sent to whoever connects, before anything is asked."""
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    async def __aenter__(self) -> WebServer:
        self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task, writer in list(self._serving.items()):
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*self._serving, return_exceptions=True)
        for writer in self._closing:
            writer.transport.abort()
        await asyncio.sleep(0.001)  # transports close on the loop

    def __post_init__(self) -> None:
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._closing: list[asyncio.StreamWriter] = []

    def url(self, path: str = "/", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        """Of a path, under any name for the host."""
        return f"{scheme}://{host}:{self.port}{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = writer
        self.connections += 1
        try:
            writer.write(self.greeting)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            request = Request(lines[0].split(" ")[1], headers)
            self.requests.append(request)
            answer = self.answers.get(request.path, response(status=404))
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                await answer(writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side has hung up, which is what some tests are about, or the test is over
        finally:
            del self._serving[task]
            self._closing.append(writer)
            writer.close()


def response(body: bytes = b"", *, status: int = 200, content_type: str | None = "text/html", **headers: str) -> bytes:
    """A whole response that ends the connection. Underscores in names of headers are dashes."""
    fields = {"content-length": str(len(body)), "connection": "close"}
    if content_type is not None:
        fields["content-type"] = content_type
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode() + body


def redirect(location: str, status: int = 302) -> bytes:
    """A redirect."""
    return response(status=status, location=location)
