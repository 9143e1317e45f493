"""Tables: those that hold data become tables, those that arrange the page do not."""

from __future__ import annotations

import pytest

from support.pages import markdown_of, text_of


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        (
            "<table><thead><tr><th>Name<th>Size</thead><tr><td>a<td>1<tr><td>b<td>2</table>",
            "| Name | Size |\n| --- | --- |\n| a | 1 |\n| b | 2 |",
        ),
        ("<table><tr><td>a<td>1<tr><td>b<td>2</table>", "|  |  |\n| --- | --- |\n| a | 1 |\n| b | 2 |"),
        (
            "<table><caption>Boats</caption><tr><th>a<th>b<tr><td>1<td>2</table>",
            "Boats\n\n| a | b |\n| --- | --- |\n| 1 | 2 |",
        ),
        ("<table><tr><th>a<th>b<tr><td>1|2<td>x<br>y</table>", "| a | b |\n| --- | --- |\n| 1\\|2 | x<br>y |"),
        (
            "<table><tr><th>a<th>b<tr><td><p>one</p><p>two</p><td><ul><li>x<li>y</ul></table>",
            "| a | b |\n| --- | --- |\n| one<br>two | • x<br>• y |",
        ),
        ("<table><tr><th>a<th>b<tr><td><code>x|y</code><td></table>", "| a | b |\n| --- | --- |\n| `x\\|y` |  |"),
        ("<table><tr><th>a<th>b<tr><td>1<tr><td>2<td>3<td>4</table>",
         "| a | b |  |\n| --- | --- | --- |\n| 1 |  |  |\n| 2 | 3 | 4 |"),
        ("<table><tr><th colspan=2>wide<th>c<tr><td>1<td>2<td>3</table>",
         "| wide |  | c |\n| --- | --- | --- |\n| 1 | 2 | 3 |"),
        ("<table><tr><th>a<th>b<tr><td rowspan=2>tall<td>1<tr><td>2<tr><td>x<td>3</table>",
         "| a | b |\n| --- | --- |\n| tall | 1 |\n|  | 2 |\n| x | 3 |"),
        ("<table><tr><td><b>a</b><td><b>b</b><tr><td>1<td>2</table>", "| a | b |\n| --- | --- |\n| 1 | 2 |"),
        ("<table><tr><td><b>a</b><td>b<tr><td>1<td>2</table>",
         "|  |  |\n| --- | --- |\n| **a** | b |\n| 1 | 2 |"),
        ("<table><tr><th>a<th>b</tr><tr><td><b>x</b><td><a href='https://e.example/'>y</a></table>",
         "| a | b |\n| --- | --- |\n| **x** | [y](https://e.example/) |"),
    ],
)  # fmt: skip
def test_data(html: str, expected: str) -> None:
    assert markdown_of(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<table><tr><td><h1>Title</h1><p>Text</p></td><td>side</td></tr></table>", "# Title\n\nText\n\nside"),
        ("<table role=presentation><tr><th>a<td>b<tr><td>c<td>d</table>", "a\n\nb\n\nc\n\nd"),
        ("<table><tr><td>only one cell</td></tr></table>", "only one cell"),
        ("<table><tr><td><table><tr><th>a<th>b<tr><td>1<td>2</table></td></tr></table>",
         "| a | b |\n| --- | --- |\n| 1 | 2 |"),
        ("<td>a cell without a table</td>", "a cell without a table"),
    ],
)  # fmt: skip
def test_layout(html: str, expected: str) -> None:
    assert markdown_of(html) == expected


def test_a_table_of_code_and_its_line_numbers_is_code() -> None:
    html = (
        '<div class="highlight"><table><tr><td class="gutter"><pre>1\n2</pre></td>'
        '<td class="code"><pre class="language-go">a := 1\nb := 2</pre></td></tr></table></div>'
    )
    assert markdown_of(html) == "```go\na := 1\nb := 2\n```"


def test_spans_that_claim_everything_take_no_memory() -> None:
    html = "<table><tr><th colspan=100000000 rowspan=100000000>a<th>b<tr><td>1<td>2</table>"
    assert len(markdown_of(html)) < 10_000


def test_plain_text_has_cells_apart_and_rows_on_lines() -> None:
    html = "<table><caption>Boats</caption><tr><th>a<th>b<tr><td>1<td>x<br>y</table>"
    assert text_of(html) == "Boats\na\tb\n1\tx y"
