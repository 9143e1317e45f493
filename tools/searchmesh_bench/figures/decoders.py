"""Decoders of known weights, exported and behind a tritonserver of their own, written with as services do."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from searchmesh.catalog import ExportedModel, Precision, load_card
from searchmesh.generation import Decoder, GenerationSettings, Options, Written
from searchmesh.local import MeshSettings, free_port_offset, running
from searchmesh.local.ports import LOOPBACK
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import Internal
from searchmesh.triton import TritonBackend
from searchmesh_bench import random_decoder

Prompts = Sequence[NDArray[np.int64]]

_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Texts:
    """What one side wrote, and how long it took from the prompts to the end of the last text."""

    seconds: float
    texts: Sequence[str]
    """Tokens as words: ``t5 t7``."""
    tokens: int
    drafted: int = 0
    accepted: int = 0

    @property
    def rate(self) -> float:
        """Tokens per second, of all texts together."""
        return self.tokens / self.seconds


def check_same(one: Texts, other: Texts) -> None:
    """Raise Internal for texts that differ: their times say nothing."""
    if one.texts != other.texts:
        raise Internal("both sides were to write the same texts, and did not")


@asynccontextmanager
async def exported(
    write: Callable[[Path], None], precision: Precision
) -> AsyncIterator[tuple[Path, Path, ExportedModel]]:
    """A folder, the checkpoint in it that `write` made, and what the export made of that."""
    from searchmesh_export.exporter import export_model  # with all of torch behind it

    with tempfile.TemporaryDirectory(prefix="searchmesh-bench-") as folder:
        home = Path(folder)
        await asyncio.to_thread(write, home / "checkpoint")
        model = await asyncio.to_thread(
            partial(export_model, precision=precision, flavour="python"),
            load_card(random_decoder.MODEL),
            home / "checkpoint",
            home / "repository",
        )
        yield home, home / "checkpoint", model


def with_parameter(model: ExportedModel, name: str, value: int) -> ExportedModel:
    """A copy of the model in the same repository with a parameter of its config.pbtxt changed."""
    other = f"{model.name}-{name}-{value}"
    path = model.path.with_name(other)
    shutil.copytree(model.path, path, copy_function=os.link)
    text = (path / "config.pbtxt").read_text(encoding="utf-8")
    text, count = re.subn(rf'(key: "{name}"\s+value {{\s+string_value: )"\d+"', rf'\1"{value}"', text)
    if count != 1:
        raise Internal(f"config.pbtxt of {model.name} has no {name}")
    (path / "config.pbtxt").unlink()
    (path / "config.pbtxt").write_text(text.replace(f'name: "{model.name}"', f'name: "{other}"'), encoding="utf-8")
    return replace(model, card=model.card.model_copy(update={"name": other}), path=path)


@asynccontextmanager
async def serving(home: Path, *models: ExportedModel) -> AsyncIterator[Sequence[Decoder]]:
    """The services' way to each of the models, which are in the repository of `home`."""
    names = tuple(model.name for model in models)
    mesh = MeshSettings(home=home, port_offset=free_port_offset(), models=names, only=("triton",))
    async with running(mesh):
        backend = TritonBackend(f"{LOOPBACK}:{mesh.ports.triton_grpc}")
        decoders = [Decoder(model, backend, GenerationSettings(model_repository=model.path.parent)) for model in models]
        try:
            yield decoders
        finally:
            for decoder in decoders:
                decoder.close()
            await backend.close()


async def written(decoder: Decoder, prompts: Prompts, options: Options) -> Texts:
    """Texts behind all prompts at once, greedily."""
    start = time.perf_counter()
    found = await asyncio.gather(*(_text(decoder, prompt, options) for prompt in prompts))
    return Texts(
        seconds=time.perf_counter() - start,
        texts=[text for text, _ in found],
        tokens=sum(end.output_tokens for _, end in found),
        drafted=sum(end.drafted for _, end in found),
        accepted=sum(end.accepted for _, end in found),
    )


async def _text(decoder: Decoder, prompt: NDArray[np.int64], options: Options) -> tuple[str, Written]:
    pieces: list[str] = []
    async with aclosing(decoder.write({"input_ids": prompt}, options, deadline=Deadline.after(_TIMEOUT_S))) as found:
        async for piece in found:
            if isinstance(piece, Written):
                return "".join(pieces), piece
            pieces.append(piece)
    raise Internal("a text has no end")
