"""Memory and time that the export of a large model takes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from searchmesh.runtime.errors import FailedPrecondition
from searchmesh_bench.figures.figure import Comparison, Figure, at_most
from searchmesh_bench.mesh import Mesh

_PRECISIONS = ("fp32", "int8")
_LIMIT_GIB = 24.0
_GIB = 1 << 30


async def exporting(_: Mesh) -> Figure:
    """``searchmesh models export`` of a checkpoint with the sizes of jina-embeddings-v3. The mesh has no part in it."""
    from searchmesh_bench import random_checkpoint  # with all of torch behind it
    from searchmesh_export.parity import LONG_TEXTS, TEXTS

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint"
        weights = await asyncio.to_thread(random_checkpoint.write, checkpoint, (*TEXTS, *LONG_TEXTS))
        comparisons, processor_s = [], []
        for precision in _PRECISIONS:
            cost = await asyncio.to_thread(
                export, random_checkpoint.MODEL, checkpoint, Path(folder) / "repository", precision
            )
            processor_s.append(f"{precision} {cost.processor_s:.0f} s")
            comparisons.append(Comparison(precision, cost.seconds, cost.size_gib, cost.peak_gib, at_most(_LIMIT_GIB)))
    return Figure(
        name="exporting",
        title=f"Export of a model with {weights / 1e6:,.0f} million weights, the layout of {random_checkpoint.MODEL}",
        measured="seconds",
        reference="graph, GiB",
        result="peak memory, GiB",
        comparisons=comparisons,
        conditions=[
            "Random weights, published in bfloat16. Each export is a process of its own: reading, running the source"
            " model, graph, files, comparison. Its largest resident memory, mapped files included."
            f" Processor time: {', '.join(processor_s)}.",
        ],
    )


@dataclass(frozen=True)
class Cost:
    """What one export took, and the size of what it made."""

    seconds: float
    processor_s: float
    """Of all cores."""
    peak_gib: float
    size_gib: float


def export(model: str, checkpoint: Path, repository: Path, precision: str) -> Cost:
    """Run the command. Raises FailedPrecondition, with what it said last, if it fails."""
    command = ["models", "export", model, "--precision", precision]
    folders = ["--from", str(checkpoint), "--repository", str(repository)]
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "searchmesh.cli", *command, *folders], stdout=subprocess.DEVNULL, stderr=said
        )
        # Waited for like this it tells its own peak; that of all children would be the largest of them.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise FailedPrecondition(f"the export failed: {said.read().strip().splitlines()[-1]}")
    size = sum(file.stat().st_size for file in (repository / model / "1").iterdir())
    return Cost(
        seconds=time.monotonic() - start,
        processor_s=usage.ru_utime + usage.ru_stime,
        peak_gib=usage.ru_maxrss * 1024 / _GIB,
        size_gib=size / _GIB,
    )
