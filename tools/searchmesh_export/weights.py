"""Tensors of safetensors files, read one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from searchmesh.runtime.errors import InvalidArgument


@dataclass(frozen=True)
class _Entry:
    file: Path
    published: str
    shape: tuple[int, ...]


class Weights:
    """Names and shapes of a checkpoint's tensors. The tensors themselves stay on the disk until they are read."""

    def __init__(self, entries: Mapping[str, _Entry], file: Path) -> None:
        self._entries = entries
        self._file = file

    @classmethod
    def of(cls, file: Path) -> Weights:
        """Those of one safetensors file. Raises InvalidArgument if it is not there or not one."""
        try:
            with safe_open(file, framework="pt") as tensors:
                names = tensors.keys()
                shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
        except FileNotFoundError:
            raise wrong(file, "does not exist") from None
        except (SafetensorError, OSError) as error:
            raise wrong(file, f"cannot be read: {error}") from error
        return cls({name: _Entry(file, name, shape) for name, shape in shapes.items()}, file)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __or__(self, other: Weights) -> Weights:
        """Both; the errors of `wrong` name the first's file."""
        return Weights({**self._entries, **other._entries}, self._file)

    def named(self, file: Path) -> Weights:
        """The same with another file for the errors of `wrong`."""
        return Weights(self._entries, file)

    def renamed(self, rename: Callable[[str], str | None]) -> Weights:
        """With other names, without those that `rename` gives None: known, and of no use."""
        entries = ((rename(name), entry) for name, entry in self._entries.items())
        return Weights({name: entry for name, entry in entries if name is not None}, self._file)

    def published(self, name: str) -> str:
        """The name in the file."""
        return self._entries[name].published

    def shape(self, name: str) -> tuple[int, ...]:
        """Of one tensor."""
        return self._entries[name].shape

    def read(self, name: str) -> torch.Tensor:
        """One tensor, a floating one as float32."""
        entry = self._entries[name]
        with safe_open(entry.file, framework="pt") as tensors:
            tensor: torch.Tensor = tensors.get_tensor(entry.published)
        return tensor.float() if tensor.is_floating_point() else tensor

    def wrong(self, problem: str) -> InvalidArgument:
        """The error of the file as a whole."""
        return wrong(self._file, problem)


def wrong(file: Path, problem: str) -> InvalidArgument:
    """The error of a file of a checkpoint."""
    return InvalidArgument("--from", f"{file} {problem}", reason="BAD_CHECKPOINT")
