"""The folder of a mesh: its models, its data, its logs, and who runs it.

::

    HOME/                      working directory of the children
    HOME/repository/           exported models (see `catalog.repository`)
    HOME/checkpoints/          what `models pull` downloaded, by model and commit
    HOME/state/mesh.json       what runs (see `local.state`)
    HOME/state/lock            locked by the running supervisor for its whole life
    HOME/state/logs/NAME.log   of each child, NAME.log.1 of the run before
    HOME/state/redis-index/    the index on disk
    HOME/state/redis-cache/    empty: the cache is not persistent
    HOME/state/backends/       tritonserver's backend folder
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from searchmesh.runtime.errors import FailedPrecondition


def default_path() -> Path:
    """``$XDG_DATA_HOME/searchmesh``, or ``~/.local/share/searchmesh``."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "searchmesh"


class Home:
    """Paths below one folder, and the lock that lets one mesh run on it."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()

    @property
    def id(self) -> str:
        """Names this home, which must exist, among the processes of the machine; the same for every run.

        The folder itself and not its path: a container may have another folder at the same path.
        """
        status = self.state.stat()
        return f"searchmesh-{status.st_dev:x}-{status.st_ino:x}"

    @property
    def repository(self) -> Path:
        return self.path / "repository"

    def checkpoint(self, model: str, commit: str) -> Path:
        """Where a commit of a model is downloaded to; it may be abbreviated to 12 digits."""
        return self.path / "checkpoints" / model / commit[:12]

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def state_file(self) -> Path:
        return self.state / "mesh.json"

    @property
    def backends(self) -> Path:
        return self.state / "backends"

    def data(self, name: str) -> Path:
        """Where the child of that name keeps its files."""
        return self.state / name

    def log(self, name: str) -> Path:
        return self.state / "logs" / f"{name}.log"

    def fresh_log(self, name: str) -> Path:
        """An empty log for a new run; the one of the run before is kept beside it."""
        log = self.log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists():
            log.replace(log.with_name(f"{log.name}.1"))
        log.touch()
        return log

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock, which the kernel releases if this process is killed. Raises FailedPrecondition if taken."""
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / "lock").open("a") as file:
            if not _try_lock(file.fileno()):
                raise already_running(self)
            yield

    def is_locked(self) -> bool:
        """Whether a supervisor runs on this home."""
        try:
            with (self.state / "lock").open() as file:
                return not _try_lock(file.fileno())
        except FileNotFoundError:
            return False


def already_running(home: Home) -> FailedPrecondition:
    """The error of a second `up`."""
    return FailedPrecondition(
        f"a mesh is already running on {home.path}; see `searchmesh status`, stop it with `searchmesh down`",
        reason="ALREADY_RUNNING",
    )


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
