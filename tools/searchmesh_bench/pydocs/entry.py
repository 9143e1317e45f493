"""A documented name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TITLE_CHARACTERS = 120
"""Longest title; an encoder reads it before the text, and a signature may have thirty parameters."""

Kind = Literal["module", "class", "function", "method", "property"]


@dataclass(frozen=True)
class Entry:
    """One public name of the standard library and its docstring."""

    name: str
    """Qualified as users write it: ``zipfile.ZipFile.extract``."""
    module: str
    kind: Kind
    signature: str
    """Parameters with their parentheses, empty where there are none to show."""
    text: str
    """The docstring, cleaned of indentation, not empty."""

    @property
    def title(self) -> str:
        """The name with its parameters, as many as fit into TITLE_CHARACTERS."""
        full = self.name + self.signature
        if len(full) <= TITLE_CHARACTERS:
            return full
        return f"{full[: TITLE_CHARACTERS - 3].rsplit(', ', 1)[0]}, …)"
