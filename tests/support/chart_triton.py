"""The real tritonserver on the command line of a rendered pod."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from searchmesh.local import MeshSettings, binaries
from searchmesh.local.triton import _environment as triton_environment
from support.chart import Object, containers, named, template
from support.models import MODEL
from support.ports import free_port


class Triton:
    """The real tritonserver, started by the shell command and the arguments of a rendered pod."""

    def __init__(self, mesh: MeshSettings, objects: list[Object], **paths: str) -> None:
        container = containers(template(named(objects, "Deployment", "triton-encoders")))[0]
        self.grpc, self.http, self.metrics = (free_port() for _ in range(3))
        self._log = mesh.folder.path / f"triton-{self.grpc}.log"
        paths |= {"/models": str(mesh.folder.repository)}
        arguments = [replaced(argument, paths) for argument in container["args"]]
        arguments += [f"--{name}-port={getattr(self, name)}" for name in ("grpc", "http", "metrics")]
        arguments += [
            f"--backend-directory={mesh.folder.backends}",
            "--backend-config=python,shm-region-prefix-name=chart",
        ]
        self._command = [*container["command"], *arguments]

    @contextmanager
    def running(self, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """The process, ready; it is stopped at the end."""
        environment = triton_environment() | variables
        environment["PATH"] = f"{binaries.tritonserver().parent}:{environment['PATH']}"
        with self._log.open("w") as log:
            process = subprocess.Popen(self._command, env=environment, stderr=log)
        try:
            for _ in range(600):
                if self.status(f"/v2/models/{MODEL}/ready") == 200:
                    break
                assert process.poll() is None, self._log.read_text()[-2000:]
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()
            process.wait(timeout=60)

    def status(self, path: str, data: bytes | None = None) -> int:
        """Of a request to the HTTP port; 0 if nothing listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", data, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


def replaced(text: str, words: Mapping[str, str]) -> str:
    """The text with each word replaced by its own, in order."""
    for old, new in words.items():
        text = text.replace(old, new)
    return text
