"""The program of a process of the sandbox: ``python -m searchmesh.sandbox.process MEMORY_MB SERVICE MODULE…``.

It reads jobs from its standard input, one at a time, and writes what each yields to its standard output.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from searchmesh.runtime.errors import SearchmeshError, to_status
from searchmesh.runtime.telemetry import configure_logging
from searchmesh.sandbox import frames

log = logging.getLogger(__name__)

_WORN = 0.4
"""Share of its memory that a process has once held in full."""


def main() -> None:
    """Work until there is no more."""
    memory_mb, service, *modules = sys.argv[1:]
    memory_bytes = int(memory_mb) * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    configure_logging(service, "INFO")
    # Ctrl-C goes to the whole group of processes; the service decides when its own end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, results = sys.stdin.buffer, _claimed_stdout()
    for module in modules:
        importlib.import_module(module)
    _send(results, frames.READY, None)
    while (message := frames.read(requests)) is not None:
        _, (job, arguments, limit_s) = message
        # In time of the processor, so that a busy machine refuses nothing, and by the kernel: no handler of this
        # interpreter runs while it hangs in a library. SIGPROF ends the process.
        signal.setitimer(signal.ITIMER_PROF, limit_s)
        _send(results, *_work(results, job, arguments))
        signal.setitimer(signal.ITIMER_PROF, 0)


def _claimed_stdout() -> BinaryIO:
    """The pipe of the results, out of reach of whatever a library prints."""
    own = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return own


def _work(results: BinaryIO, job: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[str, Any]:
    """Send what the job yields or returns; the message about how it ended."""
    try:
        result = job(*arguments)
        for item in result if isinstance(result, Iterator) else (result,):
            _send(results, frames.ITEM, item)
    except SearchmeshError as error:
        return frames.FAILED, to_status(error).SerializeToString()
    except MemoryError:
        problem = "takes more memory to read than it may"
    except RecursionError:
        problem = "is nested too deeply to be read"
    except Exception:
        log.exception("unexpected error in %s", job.__name__)
        problem = None
    else:
        # Memory that one large document took, the allocator keeps: such a process makes room for a fresh one.
        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        return frames.DONE, _peak_bytes() > _WORN * most
    # Only here, after the handler, is the memory free that the job held.
    return frames.BROKEN, problem


def _peak_bytes() -> int:
    """The most memory that this process has held. `getrusage` would not do: its maximum outlives `exec`, and so is at
    least what the service held when it started the process."""
    status = Path("/proc/self/status").read_text()
    (kilobytes,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kilobytes) * 1024


def _send(results: BinaryIO, kind: str, value: Any) -> None:
    data = memoryview(frames.packed(kind, value))
    while data:
        data = data[results.write(data) :]


if __name__ == "__main__":
    main()
