"""Whatever text a page has, a reader of Markdown sees that text, and the marks around it."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from searchmesh.reader.document.blocks import (
    Block,
    Cell,
    Code,
    Heading,
    Item,
    ListBlock,
    Mark,
    Paragraph,
    Quote,
    Table,
    Text,
)
from searchmesh.reader.document.markdown import markdown
from searchmesh.reader.document.plain import plain_line
from searchmesh.reader.document.spacing import tidy

_MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
_CHARACTERS = st.sampled_from("ab1 _*`~[]()<>#+-=.!|\\&;:\"'/é中\n")
_TEXTS = st.text(_CHARACTERS, min_size=1, max_size=12)
_MARKS = st.sampled_from(
    [Mark.NONE, Mark.NONE, Mark.STRONG, Mark.EMPHASIS, Mark.STRIKE, Mark.STRONG | Mark.EMPHASIS, Mark.CODE]
)
_PIECES = st.builds(Text, _TEXTS, _MARKS, st.sampled_from(["", "", "https://e.example/a(b)c"]))
_LINES = st.lists(_PIECES, min_size=1, max_size=5).map(tidy).filter(lambda line: _is_usable(plain_line(line)))


def _is_usable(text: str) -> bool:
    """Some text, and none that is a formula: those are read as such."""
    return bool(text) and "\\(" not in text and "\\[" not in text


def _shown(tokens: list[Token]) -> Iterator[str]:
    """The text of each inline block that a reader sees, tags of HTML left out."""
    for token in tokens:
        if token.type == "inline":
            yield "".join(
                " " if child.type in ("softbreak", "hardbreak") else child.content for child in token.children or []
            )
        elif token.type in ("fence", "code_block", "html_block"):
            yield token.content


def _read(blocks: list[Block]) -> list[str]:
    return list(_shown(_MARKDOWN.parse("".join(markdown(blocks)))))


@given(_LINES)
@example([Text("a*b*"), Text("c", Mark.EMPHASIS)])
@example([Text("1. a")])
@example([Text("a "), Text("b ", Mark.STRONG), Text("c")])
@example([Text("a\\"), Text("b", href="https://e.example/")])
@settings(max_examples=400, deadline=None)
def test_a_paragraph_is_read_as_its_text(line: list[Text]) -> None:
    assert _read([Paragraph(line)]) == [plain_line(line)]


@given(_LINES)
@example([Text("C #")])
@settings(max_examples=60, deadline=None)
def test_a_heading_is_read_as_its_text(line: list[Text]) -> None:
    tokens = _MARKDOWN.parse("".join(markdown([Heading(2, line)])))
    assert tokens[0].tag == "h2"
    assert list(_shown(tokens)) == [plain_line(line)]


@given(st.lists(_LINES, min_size=2, max_size=4))
@settings(max_examples=60, deadline=None)
def test_containers_hold_their_paragraphs_apart(lines: list[list[Text]]) -> None:
    texts = [plain_line(line) for line in lines]
    paragraphs: list[Block] = [Paragraph(line) for line in lines]
    assert _read([Quote(paragraphs)]) == texts
    assert _read([ListBlock(ordered=True, items=[Item(paragraphs), Item([Paragraph(lines[0])])])]) == [*texts, texts[0]]
    items = [Item([paragraph, ListBlock(ordered=False, items=[Item([paragraph])])]) for paragraph in paragraphs]
    assert _read([ListBlock(ordered=False, items=items)]) == [text for text in texts for _ in range(2)]


@given(st.lists(st.lists(_LINES, min_size=2, max_size=2), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_a_table_keeps_every_cell(rows: list[list[list[Text]]]) -> None:
    table = Table([[Cell(line, header=number == 0) for line in row] for number, row in enumerate(rows)])
    assert _read([table]) == [plain_line(line) for row in rows for line in row]


@given(st.text(st.sampled_from("a`~ \n#-"), max_size=40), st.sampled_from(["", "python"]))
@settings(max_examples=60, deadline=None)
def test_code_is_read_as_it_was_written(text: str, language: str) -> None:
    (fence,) = _MARKDOWN.parse("".join(markdown([Code(text, language)])))
    assert (fence.type, fence.info) == ("fence", language)
    assert fence.content == text + "\n"


@given(_LINES)
@settings(max_examples=150, deadline=None)
def test_marks_that_are_written_are_the_pieces_own(line: list[Text]) -> None:
    (_, inline, _) = _MARKDOWN.parse("".join(markdown([Paragraph(line)])))
    wanted = {"strong": Mark.STRONG, "em": Mark.EMPHASIS, "s": Mark.STRIKE}
    texts = [piece for piece in line if isinstance(piece, Text)]
    marked = {tag: "".join(piece.text for piece in texts if wanted[tag] & piece.marks) for tag in wanted}
    letters = {tag: "".join(text.split()) for tag, text in marked.items()}
    opened: list[str] = []
    for token in inline.children or []:
        if token.nesting == 1:
            opened.append(token.tag)
        elif token.nesting == -1:
            opened.pop()
        else:
            for tag in set(opened) & set(wanted):
                assert "".join(token.content.split()) in letters[tag]
