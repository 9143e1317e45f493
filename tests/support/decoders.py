"""Decoders that are exported by the user's command and served by a tritonserver of their own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
import torch
from transformers import PreTrainedModel

from searchmesh.catalog import ModelRepository
from searchmesh.generation import Decoder, GenerationSettings, Options, Written
from searchmesh.generation.writing import stream
from searchmesh.local import MeshSettings, free_port_offset
from searchmesh.local.control import down, up_detached
from searchmesh.runtime.deadlines import Deadline
from searchmesh.triton import TritonBackend
from support.exports import export

MODEL = "ReaderLM-v2"


@contextmanager
def tritonserver(home: Path, checkpoint: Path, *, precision: str = "fp32", **parameters: int) -> Iterator[MeshSettings]:
    """tritonserver alone, with the exported checkpoint and with `parameters` of its config.pbtxt changed."""
    export(MODEL, checkpoint, home / "repository", precision)
    file = home / "repository" / MODEL / "config.pbtxt"
    config = file.read_text()
    for name, value in parameters.items():
        config, changed = re.subn(rf'(key: "{name}"\s+value {{\s+string_value: )"\d+"', rf'\1"{value}"', config)
        assert changed == 1, name
    file.write_text(config)
    settings = MeshSettings(home=home, port_offset=free_port_offset(), only=("triton",), default_model=MODEL)
    up_detached(settings)
    try:
        yield settings
    finally:
        down(home)


@asynccontextmanager
async def backend_of(mesh: MeshSettings) -> AsyncIterator[TritonBackend]:
    backend = TritonBackend(f"127.0.0.1:{mesh.ports.triton_grpc}")
    try:
        yield backend
    finally:
        await backend.close()


@asynccontextmanager
async def decoder_of(mesh: MeshSettings, **settings: int) -> AsyncIterator[Decoder]:
    """The service's own way to the model."""
    repository = mesh.folder.repository
    async with backend_of(mesh) as backend:
        own = GenerationSettings(model_repository=repository, **settings)  # type: ignore[arg-type]
        decoder = Decoder(ModelRepository(repository).load(MODEL), backend, own)
        yield decoder
        decoder.close()


@dataclass(frozen=True)
class Text:
    """What came of a request."""

    pieces: list[str]
    end: Written

    @property
    def text(self) -> str:
        return "".join(self.pieces)


async def written(decoder: Decoder, ids: Sequence[int], options: Options, timeout_s: float = 60.0) -> Text:
    """A text to its end."""
    pieces: list[str] = []
    prompt = {"input_ids": np.array(ids, np.int64)}
    async for piece in decoder.write(prompt, options, deadline=Deadline.after(timeout_s)):
        if isinstance(piece, Written):
            return Text(pieces, piece)
        assert piece
        pieces.append(piece)
    raise AssertionError("a text without an end")


async def tokens(backend: TritonBackend, ids: Sequence[int], options: Options) -> list[int]:
    """A text's tokens, as tritonserver sends them."""
    found: list[int] = []
    deadline = Deadline.after(60)
    prompt = {"input_ids": np.array(ids, np.int64)}
    async for new, end in stream(backend, MODEL, prompt, options, deadline):
        found += new
        if end is not None:
            assert end["output_tokens"] == len(found)
    return found


def spelled(decoder: Decoder, ids: Sequence[int]) -> str:
    """The text of tokens, by the tokenizers library alone."""
    text: str = tokenizers.Tokenizer.from_file(str(decoder.model.tokenizer_path)).decode(list(ids))
    return text


def expected(model: PreTrainedModel, ids: Sequence[int], most: int, **options: object) -> list[int]:
    """What transformers writes behind the prompt, without the token that ends it."""
    # On a busy machine the threads of a small model wait for one another most of the time.
    torch.set_num_threads(1)
    prompt = torch.tensor([list(ids)])
    mask = torch.ones_like(prompt)
    found = model.generate(prompt, attention_mask=mask, max_new_tokens=most, do_sample=False, **options)
    ends = model.generation_config.eos_token_id
    new: list[int] = found[0, len(ids) :].tolist()
    return new[:-1] if new[-1] in ends else new
