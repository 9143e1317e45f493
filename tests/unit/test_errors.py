"""Every error of the tree maps to a status with a stable reason, and comes back as itself on the other side."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2

from searchmesh.runtime import errors
from searchmesh.runtime.errors import STATUS_DETAILS, SearchmeshError, from_rpc_error, from_status, to_status


def _tree(kind: type[SearchmeshError]) -> Iterator[type[SearchmeshError]]:
    yield kind
    for sub in kind.__subclasses__():
        yield from _tree(sub)


ALL = [
    kind for kind in _tree(SearchmeshError) if kind.__module__ == errors.__name__ and not kind.__name__.startswith("_")
]


def _make(kind: type[SearchmeshError]) -> SearchmeshError:
    if issubclass(kind, errors.InvalidArgument):
        return kind("inputs[3].text", "has 9 tokens, the limit is 8")
    return kind("something happened")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_code_reason_and_domain(kind: type[SearchmeshError]) -> None:
    error = _make(kind)
    status = to_status(error)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert status.code == kind.code.value[0] != 0
    assert info.domain == "searchmesh"
    assert info.reason == error.reason
    assert info.reason.isupper()


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_survives_the_wire(kind: type[SearchmeshError]) -> None:
    sent = _make(kind)
    trailing = grpc.aio.Metadata((STATUS_DETAILS, to_status(sent).SerializeToString()))
    received = from_rpc_error(grpc.aio.AioRpcError(kind.code, grpc.aio.Metadata(), trailing, sent.message))
    assert received.code == sent.code
    assert received.reason == sent.reason
    assert received.message == sent.message


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_survives_inside_a_response(kind: type[SearchmeshError]) -> None:
    sent = _make(kind)
    received = from_status(to_status(sent))
    assert (received.code, received.reason, received.message) == (sent.code, sent.reason, sent.message)


def test_retry_delay_survives_the_wire() -> None:
    sent = errors.Overloaded("queue is full", retry_after_s=0.75)
    trailing = grpc.aio.Metadata((STATUS_DETAILS, to_status(sent).SerializeToString()))
    received = from_rpc_error(grpc.aio.AioRpcError(sent.code, grpc.aio.Metadata(), trailing, sent.message))
    assert isinstance(received, errors.Overloaded)
    assert received.retry_after_s == 0.75


def test_the_field_of_a_bad_request_survives_the_wire() -> None:
    sent = errors.InvalidArgument("dimensions", "must be one of 384, got 7")
    trailing = grpc.aio.Metadata((STATUS_DETAILS, to_status(sent).SerializeToString()))
    received = from_rpc_error(grpc.aio.AioRpcError(sent.code, grpc.aio.Metadata(), trailing, sent.message))
    assert isinstance(received, errors.InvalidArgument)
    assert received.field == "dimensions"
    assert received.problem == "must be one of 384, got 7"


def test_overload_is_not_a_code_that_clients_retry_blindly() -> None:
    assert errors.Overloaded.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_the_documented_tree_is_the_real_one() -> None:
    assert errors.__doc__ is not None
    for kind in ALL:
        assert kind.__name__ in errors.__doc__
