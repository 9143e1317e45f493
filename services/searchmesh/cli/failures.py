"""Failures of commands: one clean line on stderr and an exit code, never a traceback.

::

    0    done
    1    failed, also in part: documents that could not be indexed
    2    the command or an argument of it is wrong
    3    the mesh, or a part that was needed, is not there, too busy or too slow
    130  interrupted
"""

from __future__ import annotations

import os
import re
from typing import Any

import typer
from typer.core import TyperGroup

from searchmesh.cli.output import problem

_REFUSED = re.compile(r"ipv[46]:(\S+): Failed to connect to remote host")
"""How gRPC says that no process listens there."""

INVALID, UNAVAILABLE, OTHER = 2, 3, 1


class Commands(TyperGroup):
    """Commands whose errors of the tree in `searchmesh.runtime.errors` become a line and an exit code.

    SEARCHMESH_DEBUG=1 lets everything through, with its traceback.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        if os.environ.get("SEARCHMESH_DEBUG", "0") not in ("", "0"):
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except Exception as raised:
            failure = _explained(raised)
            if failure is None:
                raise
            message, code = failure
            problem(message)
            raise typer.Exit(code) from None


def _explained(raised: Exception) -> tuple[str, int] | None:
    """Message and exit code of what a command raised; None for typer's own exceptions, which it handles itself."""
    if type(raised).__module__.split(".")[0] == "typer" or isinstance(raised, BrokenPipeError):
        return None
    from searchmesh.runtime.errors import SearchmeshError  # it draws in grpc, which most of --help does without

    if isinstance(raised, SearchmeshError):
        return _message(raised), _exit_code(raised)
    if isinstance(raised, OSError) and raised.filename is not None:
        return f"{raised.filename}: {(raised.strerror or str(raised)).lower()}", OTHER
    return f"{type(raised).__name__}: {raised} (SEARCHMESH_DEBUG=1 shows where)", OTHER


def _exit_code(error: Any) -> int:
    from searchmesh.runtime.errors import DeadlineExceeded, InvalidArgument, Overloaded, Unavailable

    if isinstance(error, InvalidArgument):
        return INVALID
    return UNAVAILABLE if isinstance(error, Unavailable | Overloaded | DeadlineExceeded) else OTHER


def _message(error: Any) -> str:
    from searchmesh.runtime.errors import Unavailable

    message = str(error.message) or type(error).__name__
    if isinstance(error, Unavailable) and (refused := _REFUSED.search(message)):
        return f"nothing answers at {refused[1]}; start the mesh with `searchmesh up`, or see `searchmesh status`"
    return message
