"""What runs or ran last, as the supervisor writes it to ``mesh.json`` and everybody else reads it.

Whether it still runs, the lock of the home tells.
"""

from __future__ import annotations

import os
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


class Phase(StrEnum):
    """Where a child is in its life."""

    WAITING = "waiting"
    """For children that it needs."""
    STARTING = "starting"
    """Started and not ready yet."""
    READY = "ready"
    SILENT = "not answering"
    """Was ready and runs, and does not answer now; found by whoever asks for the status."""
    RESTARTING = "restarting"
    """Ended by itself; waits for its next start."""
    STOPPED = "stopped"


class ChildState(BaseModel):
    """One child."""

    model_config = ConfigDict(frozen=True)

    name: str
    phase: Phase = Phase.WAITING
    since: float
    """When the phase began, seconds since the epoch."""
    pid: int | None = None
    ports: dict[str, int]
    restarts: int = 0
    detail: str = ""
    """Why it is being restarted."""


class MeshState(BaseModel):
    """The mesh of one home."""

    model_config = ConfigDict(frozen=True)

    pid: int
    """Of the supervisor."""
    pid_start: int
    """When that process started, in the kernel's ticks: tells it from a later process of the same pid."""
    started: float
    """Seconds since the epoch."""
    settings: dict[str, Any] = {}
    """Fields of the MeshSettings it runs with."""
    children: tuple[ChildState, ...] = ()
    error: str = ""
    """Why it could not start."""
    reason: str = ""
    """The error's stable reason."""

    @classmethod
    def of_this_process(cls) -> MeshState:
        """The first state of a supervisor."""
        pid = os.getpid()
        return cls(pid=pid, pid_start=_start_ticks(pid), started=time.time())

    @classmethod
    def read(cls, file: Path) -> MeshState | None:
        """The last written state, None if there is none that can be read."""
        try:
            return cls.model_validate_json(file.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, file: Path) -> None:
        """Replace the file at once, so that no reader sees half of it."""
        draft = file.with_suffix(".new")
        draft.write_text(self.model_dump_json(indent=2), encoding="utf-8")
        draft.replace(file)

    @property
    def ready(self) -> bool:
        """Whether every child is ready."""
        return bool(self.children) and all(child.phase is Phase.READY for child in self.children)

    def owner_lives(self) -> bool:
        """Whether the process that wrote this still runs, and is not another one with its pid."""
        return _start_ticks(self.pid) == self.pid_start


def _start_ticks(pid: int) -> int:
    """When a process started, -1 if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return -1
    # The program's name stands in parentheses and may hold spaces; the start time is field 22 of proc(5).
    return int(stat.rpartition(")")[2].split()[19])
