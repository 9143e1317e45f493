"""How much of a model one request may have."""

from __future__ import annotations

from searchmesh.runtime.errors import InvalidArgument


def check_tokens(tokens: int, limit: int) -> None:
    """Raise InvalidArgument if a request makes the model read more tokens than `limit`."""
    if tokens > limit:
        raise InvalidArgument(
            "documents",
            f"make the model read {tokens} tokens, the limit of a request is {limit}; send fewer or shorter ones",
            reason="REQUEST_TOO_LONG",
        )


def too_long(field: str, tokens: int, limit: int) -> InvalidArgument:
    """The error for an input that may not be cut."""
    return InvalidArgument(
        field, f"has {tokens} tokens, the limit is {limit}; shorten it or set truncation", reason="INPUT_TOO_LONG"
    )
