"""What an extraction library kept is found again in the page."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from searchmesh.reader.document.blocks import Paragraph, Text
from searchmesh.reader.html.tree import parse
from searchmesh.reader.rules.alignment import align
from searchmesh.reader.rules.passages import Passage, letters

LONG_A = "The first boat came in at noon with all of its crew."
LONG_B = "Its nets were carried across the quay by everybody."
LONG_C = "Gulls circled above them until it was nearly dark."


def _kept(page: Sequence[str | list[str]], extracted: str) -> list[int]:
    """Positions of the passages that are found; a list is the parts of one passage."""
    root = parse("<p>")
    assert root is not None
    passages = [
        Passage(Paragraph([Text(part) for part in ([text] if isinstance(text, str) else text)]), root) for text in page
    ]
    align(passages, letters(extracted))
    return [position for position, passage in enumerate(passages) if passage.kept]


@pytest.mark.parametrize(
    ("page", "extracted", "kept"),
    [
        ([LONG_A, LONG_B, LONG_C], f"{LONG_A} {LONG_C}", [0, 2]),
        ([LONG_A, "Short", LONG_B], f"{LONG_A} Short {LONG_B}", [0, 1, 2]),
        ([LONG_A, "Share", LONG_B], f"{LONG_A} {LONG_B}", [0, 2]),
        (["Boats", LONG_A, LONG_B], f"{LONG_A} {LONG_B}", [1, 2]),
        (["The harbour", "News", "The harbour", LONG_A], f"The harbour {LONG_A}", [2, 3]),
        ([LONG_A, "nets", "nets", LONG_B], f"{LONG_A} nets {LONG_B}", [0, 1, 3]),
        ([LONG_C, LONG_A, LONG_B, LONG_C], f"{LONG_A} {LONG_B} {LONG_C}", [1, 2, 3]),
        ([LONG_A, ["By a link that was removed ", LONG_B], LONG_C], f"{LONG_A} {LONG_B} {LONG_C}", [0, 1, 2]),
        ([LONG_A, ["A much longer text that was all removed but for this: ", "a word"], LONG_B],
         f"{LONG_A} a word {LONG_B}", [0, 2]),
        (["“Quoted – text, with signs!” And more of it."], "Quoted text with signs And more of it", [0]),
        (["short", "words"], "short words", [0, 1]),
        (["***", LONG_A], LONG_A, [1]),
        ([LONG_A], "", []),
        ([], LONG_A, []),
    ],
)  # fmt: skip
def test_passages_are_found_where_they_come_from(page: list[str | list[str]], extracted: str, kept: list[int]) -> None:
    assert _kept(page, extracted) == kept
