"""Pages with gold texts, and how a text is measured against one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from searchmesh.runtime.errors import NotFound
from searchmesh_bench.pages import load_pages, token_f1


@pytest.mark.parametrize(
    ("text", "gold", "f1"),
    [
        ("a b c", "a b c", 1.0),
        ("a, b! C", "C b a", 1.0),
        ("a b", "a b c d", 2 / 3),
        ("a a a", "a", 0.5),
        ("x", "a", 0.0),
        ("", "a", 0.0),
        ("", "", 0.0),
    ],
)
def test_token_f1(text: str, gold: str, f1: float) -> None:
    assert token_f1(text, gold) == pytest.approx(f1)


def test_pages_come_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    for folder in ("pages", "gold"):
        (tmp_path / folder).mkdir()
    names = ["b", "a"]
    for name in names:
        (tmp_path / "pages" / f"{name}.html").write_bytes(b"<p>\xe9")
        (tmp_path / "gold" / f"{name}.txt").write_text(f"text of {name}")
    lines = [json.dumps({"name": name, "url": f"https://e.example/{name}", "more": 1}) for name in names]
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
    pages = load_pages(tmp_path)
    assert [(page.name, page.url, page.gold) for page in pages] == [
        ("b", "https://e.example/b", "text of b"),
        ("a", "https://e.example/a", "text of a"),
    ]
    assert pages[0].html == b"<p>\xe9"
    (tmp_path / "gold" / "a.txt").unlink()
    with pytest.raises(NotFound, match=r"a\.txt: No such file"):
        load_pages(tmp_path)
