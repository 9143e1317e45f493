"""A real redis-server with the search module, for tests."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import redis

from searchmesh.local import binaries
from support.ports import free_port


class RedisServer:
    """A child process on a port of its own. A context manager."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Return when it answers."""
        command = [str(binaries.redis_server()), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--dir", str(self._folder), "--logfile", str(self._folder / "redis.log"), *self._arguments]
        self._process = subprocess.Popen([*command, "--loadmodule", str(binaries.redisearch_module())])
        with self.client() as client:
            for _ in range(500):
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    time.sleep(0.02)
        raise RuntimeError(f"redis-server does not answer: {(self._folder / 'redis.log').read_text()}")

    def client(self) -> redis.Redis:
        """A plain client, to look at what was written."""
        return redis.Redis.from_url(self.url, protocol=2)

    def pause(self) -> None:
        """Stop it from answering; connections stay open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
