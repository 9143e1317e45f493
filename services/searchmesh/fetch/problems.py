"""What stops a fetch, before it is known which field of which request asked for it."""

from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """Stable reasons of the InvalidArgument that a caller gets."""

    INVALID = "URL_INVALID"
    FORBIDDEN = "URL_FORBIDDEN"
    UNREACHABLE = "URL_UNREACHABLE"
    REFUSED = "URL_CONTENT_REFUSED"
    TOO_LARGE = "URL_TOO_LARGE"
    TIMEOUT = "URL_TIMEOUT"
    DISABLED = "FETCH_DISABLED"


class FetchProblem(Exception):
    """`problem` is a predicate of the URL, such as "has no host". It never holds an address or a name that was learned
    on the way: those may be internal ones."""

    def __init__(self, problem: str, reason: Reason) -> None:
        super().__init__(problem)
        self.problem = problem
        self.reason = reason
