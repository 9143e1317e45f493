"""What a reading consists of."""

from __future__ import annotations

from dataclasses import dataclass

from searchmesh.reader.options import Engine
from searchmesh.reader.page import Ending, PageInfo, Reference


@dataclass(frozen=True, slots=True)
class Started:
    """An engine begins; text that came before is void."""

    engine: Engine
    model: str
    reason: str
    info: PageInfo


@dataclass(frozen=True, slots=True)
class Finished:
    """The end."""

    ending: Ending
    fidelity: float | None
    """None: there is no text to compare with."""
    input_tokens: int
    output_tokens: int
    parts: int = 1
    links: tuple[Reference, ...] = ()
    images: tuple[Reference, ...] = ()


Event = Started | str | Finished
