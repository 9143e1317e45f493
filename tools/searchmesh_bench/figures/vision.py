"""The vision tower of a vision-language model through tritonserver, and in ONNX Runtime alone."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from PIL import Image

from searchmesh.batching import Lane
from searchmesh.catalog import Card, Export, ExportedModel, Parity, load_card
from searchmesh.catalog.repository import VISION
from searchmesh.encoding import Context, Held
from searchmesh.fetch import Fetcher
from searchmesh.images import Cropping, Crops, ImageLimits, ImageLoader, decode
from searchmesh.local import MeshSettings, free_port_offset, running
from searchmesh.local.ports import LOOPBACK
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.stages import Stages
from searchmesh.triton import TritonBackend
from searchmesh.v1 import common_pb2
from searchmesh.vlm.settings import VlmSettings
from searchmesh.vlm.sight import Sight
from searchmesh_bench.figures.figure import Comparison, Figure, at_least
from searchmesh_bench.figures.graphs import random_weights
from searchmesh_bench.figures.rounds import alternating
from searchmesh_bench.mesh import Mesh

if TYPE_CHECKING:  # all of torch is behind it
    from searchmesh_export.siglip import Shape

_MODEL = "jina-vlm"
_LAYERS = 2
"""Of 27: a layer of a crop takes half a second of a core."""

_SIZES = ((640, 480), (300, 300))
"""Five and two crops."""

_BATCHES = (1, 2, 4, 7)
"""Crops at once in ONNX Runtime alone."""

_ROUNDS = 5


async def vision(_: Mesh) -> Figure:
    """Images per second. The mesh that other figures are measured on has no part in it: this one has its own."""
    files = [_picture(*size, seed=number) for number, size in enumerate(_SIZES)]
    card = _card()
    with tempfile.TemporaryDirectory(prefix="searchmesh-bench-") as folder:
        file = await asyncio.to_thread(_export, Path(folder) / "repository", card)
        alone = _Alone(file, card)
        async with _sight(Path(folder), card) as sight:
            await _seen(sight, files)
            await asyncio.to_thread(alone.choose, files)
            rounds = await alternating(_ROUNDS, partial(_seen, sight, files), partial(alone.seen, files))
    count = len(files)
    return Figure(
        name="vision",
        title="Images through the vision tower in tritonserver ÷ ONNX Runtime alone",
        measured="mesh, images/s",
        reference="alone, images/s",
        result="ratio",
        comparisons=[
            Comparison(
                what,
                median(count / ours for ours, _ in rounds),
                median(count / theirs[way] for _, theirs in rounds),
                median(theirs[way] / ours for ours, theirs in rounds),
                at_least(0.9),
            )
            for way, what in enumerate(("one session with a thread a core", "a session with one thread a core"))
        ],
        conditions=[
            f"{_LAYERS} layers with the sizes and the connector of {_MODEL}, random weights, fp32; PNG images of"
            f" {', '.join(f'{width} x {height}' for width, height in _SIZES)}, all at once.",
            f"Both sides decode and cut. Alone: {' and '.join(map(str, alone.batches))} crops at once, the fastest of"
            f" {', '.join(map(str, _BATCHES))}.",
            f"Median of {_ROUNDS} rounds in turns.",
        ],
    )


def _picture(width: int, height: int, *, seed: int) -> bytes:
    numbers = np.random.default_rng(seed)
    coarse = Image.fromarray(numbers.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height))
    buffer = BytesIO()
    coarse.save(buffer, "PNG")
    return buffer.getvalue()


def _card() -> Card:
    card = load_card(_MODEL)
    image = card.image and card.image.model_copy(update={"resample": "bilinear"})
    return card.model_copy(update={"image": image})


def _shape(cropping: Cropping) -> Shape:
    from searchmesh_export.siglip import Shape

    return Shape(
        side=cropping.side,
        values=3 * cropping.patch**2,
        width=1152,
        heads=16,
        intermediate=4304,
        eps=1e-6,
        layers=(_LAYERS - 1, 0),
        depth=27,
        window=cropping.crops.pool,
        pool_heads=16,
        pool_width=1152,
        pooled=1152,
        projected=6144,
        output=2048,
    )


def _export(repository: Path, card: Card) -> Path:
    """The graph as ``models export --flavour python`` writes it; returns its file."""
    from torch.nn import functional

    from searchmesh_export import saving
    from searchmesh_export.built import Graph
    from searchmesh_export.lowering import lowered
    from searchmesh_export.serving import Serving
    from searchmesh_export.siglip import CropVision
    from searchmesh_export.tensors import Sizes

    if card.image is None:
        raise ValueError(f"{card.name} reads no images")
    shape = _shape(Cropping.of(card.image))
    module = random_weights(CropVision(shape, partial(functional.gelu, approximate="tanh")))
    sizes = Sizes(hidden=shape.output, values=shape.values, patches=shape.side**2, features=shape.windows)
    graph = Graph(module, ("crops", "coverage"), ("image_features",), sizes, suffix=VISION)
    folder = repository / (card.name + VISION)
    (folder / "1").mkdir(parents=True)
    model = lowered(graph, "fp32", "python")
    serving = Serving(graph, card, "fp32", "python", saving.weight_bytes(model))
    (file, *_) = saving.save(model, folder / "1")
    serving.write(folder)
    return file


@asynccontextmanager
async def _sight(home: Path, card: Card) -> AsyncIterator[Sight]:
    """What the service looks with, on a tritonserver of its own."""
    settings = MeshSettings(home=home, port_offset=free_port_offset(), models=(card.name + VISION,), only=("triton",))
    cores = len(os.sched_getaffinity(0))
    own = VlmSettings(slots=cores + 1, vlm_images_at_once=len(_SIZES))
    export = Export(
        model_digest="", tokenizer_digest="", precision="fp32", flavour="python", outputs=(), hidden_size=2048,
        parity=Parity(cosine_error=0, cosine_tolerance=0, absolute_error=0),
    )  # fmt: skip
    async with running(settings):
        backend = TritonBackend(f"{LOOPBACK}:{settings.ports.triton_grpc}")
        fetcher = Fetcher(own)
        loader = ImageLoader(fetcher, own.image_limits, threads=cores)
        try:
            yield Sight(ExportedModel(card, home, export), backend, loader, own, Held(100))
        finally:
            loader.close()
            await fetcher.close()
            await backend.close()


async def _seen(sight: Sight, files: Sequence[bytes]) -> float:
    """Seconds for all."""
    start = time.perf_counter()
    deadline = Deadline.after(600)
    loaded = await sight.load({f"[{n}]": common_pb2.Image(data=data) for n, data in enumerate(files)}, deadline)
    await sight.look(loaded, Context(Lane.INTERACTIVE, deadline, Stages()))
    return time.perf_counter() - start


class _Alone:
    """The same graph in this process: in one session with a thread a core, and in a session with one thread a core."""

    def __init__(self, file: Path, card: Card) -> None:
        cores = len(os.sched_getaffinity(0))
        self._ways = ([_session(file, threads=cores)], [_session(file, threads=1) for _ in range(cores)])
        self.batches = [_BATCHES[0]] * len(self._ways)
        """Crops that each way takes at once."""
        if card.image is None:
            raise ValueError(f"{card.name} reads no images")
        self._cropping = Cropping.of(card.image)

    def choose(self, files: Sequence[bytes]) -> None:
        """Find the batch that each way is fastest with, best of two tries each."""
        for way, sessions in enumerate(self._ways):
            seconds = {size: min(self._seen(sessions, files, size) for _ in range(2)) for size in _BATCHES}
            self.batches[way] = min(seconds, key=seconds.__getitem__)

    async def seen(self, files: Sequence[bytes]) -> list[float]:
        """Seconds for all, in each way."""
        return [
            await asyncio.to_thread(self._seen, sessions, files, batch)
            for sessions, batch in zip(self._ways, self.batches, strict=True)
        ]

    def _seen(self, sessions: Sequence[onnxruntime.InferenceSession], files: Sequence[bytes], batch: int) -> float:
        start = time.perf_counter()
        with ThreadPoolExecutor() as workers:
            found = list(workers.map(self._cut, files))
            crops = np.concatenate([each.patches for each in found])
            coverage = np.concatenate([each.coverage for each in found])
            waiting = iter(range(0, len(crops), batch))

            def work(session: onnxruntime.InferenceSession) -> None:
                for first in waiting:
                    part = slice(first, first + batch)
                    session.run(None, {"crops": crops[part], "coverage": coverage[part]})

            list(workers.map(work, sessions))
        return time.perf_counter() - start

    def _cut(self, data: bytes) -> Crops:
        return self._cropping.cut(decode(data, field="image", limits=ImageLimits()))


def _session(file: Path, *, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
