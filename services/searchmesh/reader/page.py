"""What is read, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class Source:
    """A document as it came."""

    body: bytes
    content_type: str = ""
    """Media type in lower case, without parameters; empty: told from the body."""
    charset: str = ""
    """As the server or the caller says; empty: told from the body."""
    url: str = ""
    """Where it was found; relative links are resolved against it."""
    field: str = "page.data"
    """Path in the request that an InvalidArgument names."""


@dataclass(frozen=True, slots=True)
class PageInfo:
    """Empty where the page says nothing."""

    url: str = ""
    canonical_url: str = ""
    title: str = ""
    description: str = ""
    language: str = ""
    """BCP 47, as the page has it."""
    authors: tuple[str, ...] = ()
    published_time: str = ""
    """ISO 8601: a date, or a date and a time."""
    modified_time: str = ""
    site_name: str = ""
    image_url: str = ""
    content_type: str = ""
    charset: str = ""
    bytes: int = 0


class Ending(Enum):
    """Why a text ends where it does."""

    STOP = "stop"
    """It is complete."""
    LENGTH = "length"
    """It reached the caller's bound."""
    OVERRUN = "overrun"
    """The model wrote more than the page has."""
    LOOP = "loop"
    """The model repeated itself."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A link or an image of a text."""

    url: str
    text: str
    """Of a link, or the alternative text of an image."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known at the end of a reading."""

    ending: Ending = Ending.STOP
    output_bytes: int = 0
    links: tuple[Reference, ...] = field(default=())
    images: tuple[Reference, ...] = field(default=())
