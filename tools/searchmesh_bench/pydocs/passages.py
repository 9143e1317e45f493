"""Long texts in pieces that an encoder reads whole."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_CHARACTERS = 900
"""About 220 tokens of English for a BERT tokenizer; its small encoders read 256."""


def passages(text: str, max_characters: int = MAX_CHARACTERS) -> list[str]:
    """The text cut between paragraphs, else between lines, else between words, in pieces up to `max_characters`.

    Pieces are as long as they can be; joined by whitespace they are the text again. Only a single word may be
    longer than the limit.
    """
    made = [""]
    for joint, part in _parts(text.strip(), max_characters):
        if made[-1] and len(made[-1]) + len(joint) + len(part) > max_characters:
            made.append(part)
        else:
            made[-1] += joint + part if made[-1] else part
    return [piece for piece in made if piece]


def _parts(text: str, limit: int) -> Iterator[tuple[str, str]]:
    """(joint before it, part) of the text: paragraphs, but lines or words of those above the limit."""
    for paragraph in re.split(r"\n\s*\n", text):
        joint = "\n\n"
        if len(paragraph) <= limit:
            yield joint, paragraph
            continue
        for line in paragraph.split("\n"):
            if len(line) <= limit:
                yield joint, line
            else:
                for word in line.split():
                    yield joint, word
                    joint = " "
            joint = "\n"
