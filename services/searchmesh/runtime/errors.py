"""Everything that can go wrong, as one tree, and the one table that says how it is told to a caller.

::

    SearchmeshError
    ├── InvalidArgument        INVALID_ARGUMENT      the request is wrong; names the field and the limit
    ├── Unauthenticated        UNAUTHENTICATED       no API key, or none that is known
    ├── NotFound               NOT_FOUND             a named thing does not exist
    ├── AlreadyExists          ALREADY_EXISTS        a named thing exists with other content
    ├── FailedPrecondition     FAILED_PRECONDITION   the system's state forbids it; says how to change that
    ├── Overloaded             RESOURCE_EXHAUSTED    shed; says when to try again
    ├── Unavailable            UNAVAILABLE           draining, not ready yet, or a needed dependency is down
    │   ├── BackendUnavailable
    │   └── IndexUnavailable
    ├── DeadlineExceeded       DEADLINE_EXCEEDED     cannot or did not finish in the caller's time
    ├── Cancelled              CANCELLED             the caller went away
    ├── Unimplemented          UNIMPLEMENTED         the method is not served here
    └── Internal               INTERNAL              ours; the text stays in the log, the caller gets a trace id

The code is the retry policy: clients retry UNAVAILABLE alone (AIP-194), and RESOURCE_EXHAUSTED only after the
delay they were told. Every error carries a google.rpc.ErrorInfo with a stable `reason`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

import grpc
import grpc.aio
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "searchmesh"

STATUS_DETAILS = "grpc-status-details-bin"
"""Trailing metadata that carries the google.rpc.Status."""

_UNHEALTHY = "backend unhealthy"
"""What gRPC says where every replica answers and none says SERVING."""


class SearchmeshError(Exception):
    """Base of all errors of the mesh. `reason` is UPPER_SNAKE_CASE and stable; `metadata` must hold no content."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    reason: str = "INTERNAL"

    def __init__(self, message: str, *, reason: str | None = None, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: Mapping[str, str] = metadata
        if reason is not None:
            self.reason = reason

    def details(self) -> list[error_details_pb2.BadRequest | error_details_pb2.RetryInfo]:
        """The google.rpc messages that go with the code, besides ErrorInfo."""
        return []


class InvalidArgument(SearchmeshError):
    """The request is wrong. `field` is the path in the request message, such as ``inputs[3].text``."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_ARGUMENT"

    def __init__(self, field: str, problem: str, *, reason: str | None = None, **metadata: str) -> None:
        super().__init__(f"{field}: {problem}", reason=reason, **metadata)
        self.field = field
        self.problem = problem

    def details(self) -> list[error_details_pb2.BadRequest | error_details_pb2.RetryInfo]:
        violation = error_details_pb2.BadRequest.FieldViolation(field=self.field, description=self.problem)
        return [error_details_pb2.BadRequest(field_violations=[violation])]


class Unauthenticated(SearchmeshError):
    """The caller shows no API key that is known."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"


class NotFound(SearchmeshError):
    """Something the caller named does not exist."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "NOT_FOUND"


class AlreadyExists(SearchmeshError):
    """Something of that name exists and is not the same."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "ALREADY_EXISTS"


class FailedPrecondition(SearchmeshError):
    """The system's state forbids the call, for example a model that was not exported. Retrying alone won't help."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "FAILED_PRECONDITION"


class _Retryable(SearchmeshError):
    """An error that tells the caller when to try again."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0, reason: str | None = None, **metadata: str) -> None:
        super().__init__(message, reason=reason, **metadata)
        self.retry_after_s = retry_after_s

    def details(self) -> list[error_details_pb2.BadRequest | error_details_pb2.RetryInfo]:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(max(1, round(self.retry_after_s * 1000)))
        return [error_details_pb2.RetryInfo(retry_delay=delay)]


class Overloaded(_Retryable):
    """Shed before any work was done. As UNAVAILABLE, clients' retries would multiply the overload."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "OVERLOADED"


class Unavailable(_Retryable):
    """Draining or not ready yet; the same call may succeed elsewhere or soon."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "UNAVAILABLE"


class BackendUnavailable(Unavailable):
    """The inference backend cannot be reached, or a model that should be loaded is not."""

    reason = "BACKEND_UNAVAILABLE"


class IndexUnavailable(Unavailable):
    """The index cannot be reached."""

    reason = "INDEX_UNAVAILABLE"


class DeadlineExceeded(SearchmeshError):
    """The caller's deadline has passed, or certainly will before the work is done."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class Cancelled(SearchmeshError):
    """The caller went away."""

    code = grpc.StatusCode.CANCELLED
    reason = "CANCELLED"


class Unimplemented(SearchmeshError):
    """The method or combination is not served."""

    code = grpc.StatusCode.UNIMPLEMENTED
    reason = "UNIMPLEMENTED"


class Internal(SearchmeshError):
    """A bug or a broken dependency. What the caller sees never holds the text of the cause."""

    code = grpc.StatusCode.INTERNAL
    reason = "INTERNAL"


def to_status(error: SearchmeshError) -> status_pb2.Status:
    """The google.rpc.Status of an error: code, message, ErrorInfo, then its own details."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    packed = []
    for detail in (info, *error.details()):
        box = any_pb2.Any()
        box.Pack(detail)
        packed.append(box)
    return status_pb2.Status(code=error.code.value[0], message=error.message, details=packed)


_BY_CODE: dict[grpc.StatusCode, type[SearchmeshError]] = {
    kind.code: kind
    for kind in (
        Unauthenticated, NotFound, AlreadyExists, FailedPrecondition, Overloaded, Unavailable, DeadlineExceeded,
        Cancelled, Unimplemented, Internal,
    )
}  # fmt: skip


def from_rpc_error(error: grpc.aio.AioRpcError) -> SearchmeshError:
    """The error a called service meant, with its reason, field and retry delay. Unknown codes become Internal."""
    status = status_pb2.Status()
    trailing: Iterable[tuple[str, str | bytes]] = error.trailing_metadata() or ()  # type: ignore[assignment]
    for key, value in trailing:
        if key == STATUS_DETAILS and isinstance(value, bytes):
            status.ParseFromString(value)
    details = error.details() or ""
    if error.code() is grpc.StatusCode.UNAVAILABLE and details.endswith(_UNHEALTHY):
        return Unavailable("the service is not ready to serve", reason="NOT_READY")
    return _from_parts(error.code(), details, status)


def from_status(status: status_pb2.Status) -> SearchmeshError:
    """The error of a google.rpc.Status, as responses of streams carry it."""
    return _from_parts(_CODES.get(status.code, grpc.StatusCode.UNKNOWN), status.message, status)


_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def _from_parts(code: grpc.StatusCode, message: str, status: status_pb2.Status) -> SearchmeshError:
    reason: str | None = None
    field = ""
    retry_after_s = 1.0
    info, bad, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    for detail in status.details:
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad) and bad.field_violations:
            field = bad.field_violations[0].field
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidArgument(field or "request", message.removeprefix(f"{field}: "), reason=reason)
    kind = _BY_CODE.get(code, Internal)
    if issubclass(kind, _Retryable):
        return kind(message, retry_after_s=retry_after_s, reason=reason)
    return kind(message, reason=reason)
