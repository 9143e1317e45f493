"""PDF documents become paragraphs."""

from __future__ import annotations

import pytest

from searchmesh.reader.page import Source
from searchmesh.reader.pdf import paragraphs, read_pdf
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument
from support.pages import read_all
from support.pdf import pdf_of

_LINES = [
    "The first boat came in at noon, and its crew carried the",
    "nets across the quay while gulls circled above them.",
    "",
    "The second came an hour after it, and everybody won-",
    "dered where it had been.",
    "It was late in the year and the days were short already, so",
]


def test_lines_become_paragraphs() -> None:
    info, text, _ = read_all(
        Source(pdf_of([_LINES, ["nobody waited for the third."]], title="Boats", author="Ida"), "application/pdf")
    )
    assert text.split("\n\n")[0] == (
        "The first boat came in at noon, and its crew carried the nets across the quay while gulls circled above them."
    )
    assert "everybody wondered where it had been." in text
    assert text.endswith("nobody waited for the third.")
    assert (info.title, info.authors, info.content_type) == ("Boats", ("Ida",), "application/pdf")
    assert info.published_time == "2019-11-18T09:30:00"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["a line of usual length that goes", "on here.", "Another one of the usual length."],
         ["a line of usual length that goes on here.", "Another one of the usual length."]),
        (["Choose:", "• one", "• two", "1. three", "(2) four"], ["Choose:", "• one", "• two", "1. three", "(2) four"]),
        (["a well-", "Known name"], ["a well- Known name"]),
        (["hyphen\ufffe", "ated"], ["hyphenated"]),
        ([], []),
        (["", ""], []),
    ],
)  # fmt: skip
def test_where_paragraphs_end(lines: list[str], expected: list[str]) -> None:
    assert list(paragraphs(lines)) == expected


def test_a_document_is_told_from_its_first_bytes() -> None:
    assert read_all(Source(pdf_of([["Hello there."]]), "application/octet-stream"))[1] == "Hello there."


def test_a_scan_has_no_text() -> None:
    with pytest.raises(FailedPrecondition, match="has no text to read"):
        read_all(Source(pdf_of([[], []]), "application/pdf"))


@pytest.mark.parametrize("body", [b"%PDF-1.4", b"%PDF-1.4\n" + b"\x00" * 1000, b"<html>", pdf_of([["x"]])[:200]])
def test_what_is_no_document_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidArgument, match=r"page\.data: is not a PDF document"):
        read_pdf(Source(body, "application/pdf"))
