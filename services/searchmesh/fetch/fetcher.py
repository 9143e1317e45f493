"""GET, for URLs that strangers chose.

Every hop of a redirect goes the same way: the URL is checked (`policy`), its host is resolved once, all addresses are
checked and one of them is connected to (`backend`), the body is bounded (`body`). The client under it is httpcore's
pool, the one that httpx stands on: no cookies, no proxies from the environment, no redirects of its own, nothing
decoded.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import httpcore
import httpx

from searchmesh.fetch import body
from searchmesh.fetch.backend import CheckedBackend
from searchmesh.fetch.policy import Policy, url_port
from searchmesh.fetch.problems import FetchProblem, Reason
from searchmesh.fetch.resolver import Resolver, SystemResolver
from searchmesh.fetch.responses import Fetched, Headers, Opened, accepted
from searchmesh.fetch.settings import FetchSettings
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import DeadlineExceeded, InvalidArgument

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

_KEEPALIVE_S = 5.0
"""Long enough for the next hop or the next image of one page. The address behind an idle connection stays checked."""


class Fetcher:
    """Fetches URLs within the limits of its settings. One a process; `close` it at the end.

    Raises InvalidArgument, naming the field, for whatever is the URL's or its server's fault, and where fetching is
    switched off, with a reason of `problems.Reason`; DeadlineExceeded if the caller's time is over.
    """

    def __init__(
        self,
        settings: FetchSettings,
        *,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._policy = Policy(settings.fetch_allow, settings.fetch_deny, only_allowed=settings.fetch_allow_only)
        self._system_resolver = SystemResolver() if resolver is None else None
        self._slots = asyncio.Semaphore(settings.fetch_concurrency)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or httpcore.default_ssl_context(),
            max_connections=None,
            max_keepalive_connections=settings.fetch_concurrency,
            keepalive_expiry=_KEEPALIVE_S,
            network_backend=CheckedBackend(self._policy, resolver or self._system_resolver or SystemResolver()),
        )

    async def get(
        self, url: str, *, field: str, accept: Sequence[str], deadline: Deadline, max_bytes: int | None = None
    ) -> Fetched:
        """The whole response. `accept` lists media types (``text/html``, ``image/*``, ``*/*``); `max_bytes` bounds the
        decoded body below what the settings allow."""
        async with self.open(url, field=field, accept=accept, deadline=deadline, max_bytes=max_bytes) as opened:
            content = b"".join([chunk async for chunk in opened.chunks])
            return Fetched(opened.url, opened.content_type, opened.charset, content)

    @asynccontextmanager
    async def open(
        self, url: str, *, field: str, accept: Sequence[str], deadline: Deadline, max_bytes: int | None = None
    ) -> AsyncIterator[Opened]:
        """The response as it comes in. What goes wrong with the body is raised while it is read, except that the time
        is up: that is raised at the end of the context, and the time the caller takes between reads counts."""
        if not self._settings.fetch_enabled:
            raise InvalidArgument(
                field,
                "is a URL, and this service does not fetch any; send the content, or set SEARCHMESH_FETCH_ENABLED",
                reason=Reason.DISABLED.value,
            )
        async with self._slot(deadline):
            most = self._settings.fetch_timeout_s
            left = deadline.bounded(most)
            timer = asyncio.timeout(left)
            try:
                async with timer, self._follow(url, field, accept, max_bytes) as opened:
                    yield opened
            except TimeoutError as error:
                if not timer.expired():
                    raise
                if left < most:
                    raise DeadlineExceeded("the deadline passed before the URL was fetched") from error
                raise InvalidArgument(
                    field, f"was not fetched within {most:g} s", reason=Reason.TIMEOUT.value
                ) from error

    @asynccontextmanager
    async def _slot(self, deadline: Deadline) -> AsyncIterator[None]:
        """One of the fetches that may run at once. Waiting for it is not the URL's fault: only the caller's deadline
        ends it."""
        try:
            async with asyncio.timeout(deadline.remaining_s()):
                await self._slots.acquire()
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before the URL's turn to be fetched came") from None
        try:
            yield
        finally:
            self._slots.release()

    @asynccontextmanager
    async def _follow(
        self, text: str, field: str, accept: Sequence[str], max_bytes: int | None
    ) -> AsyncIterator[Opened]:
        """The first response that is not a redirect."""
        with _problems(field):
            url = self._policy.parse(text)
        for hop in range(self._settings.fetch_max_redirects + 1):
            behind = "redirects to a URL that " if hop else ""
            with _problems(field, behind):
                self._policy.check_url(url)
                async with self._request(url, accept) as response:
                    headers = Headers(response)
                    if response.status not in _REDIRECTS:
                        chunks = self._body(response, headers, accept, max_bytes)
                        yield Opened(str(url), headers.content_type, headers.charset, _telling(chunks, field, behind))
                        return
            with _problems(field):
                url = _joined(url, headers.location)
        problem = f"redirects more than {self._settings.fetch_max_redirects} times"
        raise InvalidArgument(field, problem, reason=Reason.REFUSED.value)

    def _request(self, url: httpx.URL, accept: Sequence[str]) -> AbstractAsyncContextManager[httpcore.Response]:
        idle = self._settings.fetch_idle_timeout_s
        return self._pool.stream(
            "GET",
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url_port(url), target=url.raw_path),
            headers=[
                (b"Host", url.netloc),
                (b"User-Agent", self._settings.fetch_user_agent.encode("latin-1", "replace")),
                (b"Accept", ", ".join(accept).encode("ascii")),
                (b"Accept-Encoding", body.ACCEPT_ENCODING),
            ],
            extensions={
                "timeout": {
                    "connect": self._settings.fetch_connect_timeout_s,
                    "read": idle,
                    "write": idle,
                    "pool": None,
                }
            },
        )

    def _body(
        self, response: httpcore.Response, headers: Headers, accept: Sequence[str], max_bytes: int | None
    ) -> AsyncIterator[bytes]:
        if not 200 <= response.status < 300:
            raise FetchProblem(f"answered with status {response.status}", Reason.UNREACHABLE)
        if not accepted(headers.content_type, accept):
            raise FetchProblem(f"has a content type other than {', '.join(accept)}", Reason.REFUSED)
        most_decoded = self._settings.fetch_max_decoded_bytes
        if max_bytes is not None:
            most_decoded = min(most_decoded, max_bytes)
        most = min(self._settings.fetch_max_bytes, most_decoded)
        if headers.content_length > most:
            raise body.too_large(most)
        return body.bounded(
            response.aiter_stream(), headers.content_encoding, max_bytes=most, max_decoded_bytes=most_decoded
        )

    async def close(self) -> None:
        """Close idle connections and end the resolver's threads."""
        await self._pool.aclose()
        if self._system_resolver is not None:
            self._system_resolver.close()


def _joined(url: httpx.URL, location: str) -> httpx.URL:
    if not location:
        raise FetchProblem("redirects to nowhere", Reason.REFUSED)
    try:
        return url.join(location).copy_with(fragment=None)
    except httpx.InvalidURL as error:
        raise FetchProblem("redirects to something that is not a URL", Reason.INVALID) from error


@contextmanager
def _problems(field: str, behind: str = "") -> Iterator[None]:
    """Turns what goes wrong into the InvalidArgument that a caller gets; `behind` says if that was after a redirect."""
    try:
        yield
    except FetchProblem as error:
        raise InvalidArgument(field, behind + error.problem, reason=error.reason.value) from error
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as error:
        found = _network_problem(error)
        raise InvalidArgument(field, behind + found.problem, reason=found.reason.value) from error


async def _telling(chunks: AsyncIterator[bytes], field: str, behind: str) -> AsyncIterator[bytes]:
    with _problems(field, behind):
        async for chunk in chunks:
            yield chunk


def _network_problem(error: Exception) -> FetchProblem:
    # httpcore's exceptions hold the one they stand for; what breaks TLS after the handshake comes as it is.
    cause = error if isinstance(error, ssl.SSLError) else next(iter(error.args), None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return FetchProblem(f"has an invalid certificate: {cause.verify_message}", Reason.UNREACHABLE)
    if isinstance(cause, ssl.SSLError):
        return FetchProblem("does not speak TLS as it should", Reason.UNREACHABLE)
    if isinstance(error, httpcore.ConnectTimeout | httpcore.ConnectError):
        return FetchProblem("cannot be connected to", Reason.UNREACHABLE)
    if isinstance(error, httpcore.TimeoutException):
        return FetchProblem("stopped answering", Reason.TIMEOUT)
    if isinstance(error, httpcore.ProtocolError):
        return FetchProblem("did not answer with whole, valid HTTP", Reason.UNREACHABLE)
    return FetchProblem("closed the connection", Reason.UNREACHABLE)
