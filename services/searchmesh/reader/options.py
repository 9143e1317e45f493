"""What a caller wants of a page."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Engine(Enum):
    """Who reads."""

    AUTO = "auto"
    MODEL = "model"
    RULES = "rules"


class Format(Enum):
    """What a page becomes."""

    MARKDOWN = "markdown"
    TEXT = "text"
    JSON = "json"


class Retention(Enum):
    """What of links and images comes into the text."""

    ALL = "all"
    TEXT = "text"
    """The text of links, the alternative text of images."""
    NONE = "none"


BYTES_PER_TOKEN = 4
"""How the rules count tokens: they have no tokenizer."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """One request's, checked."""

    engine: Engine = Engine.AUTO
    model: str = ""
    format: Format = Format.MARKDOWN
    instruction: str = ""
    json_schema: str = ""
    target_selectors: tuple[str, ...] = ()
    remove_selectors: tuple[str, ...] = ()
    whole_page: bool = False
    links: Retention = Retention.ALL
    images: Retention = Retention.ALL
    links_summary: bool = False
    images_summary: bool = False
    max_tokens: int = 0
    """0: no bound but the page's own length."""

    @property
    def needs_model(self) -> bool:
        """Whether rules cannot do what is asked."""
        return bool(self.instruction or self.json_schema)

    @property
    def main_content(self) -> bool:
        """Whether it is for the reader to find what of the page is worth reading."""
        return not self.whole_page and not self.target_selectors
