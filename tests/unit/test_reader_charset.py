"""Bytes of a page become the text that was meant, whatever its headers say."""

from __future__ import annotations

import pytest

from searchmesh.reader.html.charset import decode

_RUSSIAN = "Рыбацкая лодка вернулась в гавань в полдень, и команда вынесла сети на причал. " * 5
_JAPANESE = "漁船は正午に港に戻り、乗組員は網を岸壁に運んだ。カモメが頭上を旋回していた。" * 5
_META = '<html><head><meta charset="{}"></head><body>{}</body></html>'


@pytest.mark.parametrize(
    ("body", "declared", "expected", "name"),
    [
        ("é".encode(), "", "é", "utf-8"),
        ("é".encode(), "iso-8859-1", "é", "utf-8"),  # a server's default, and a page that is not what it says
        ("é".encode("latin-1"), "iso-8859-1", "é", "cp1252"),
        ("“é”".encode("cp1252"), "ISO-8859-1", "“é”", "cp1252"),
        (b"\xef\xbb\xbfa", "latin-1", "a", "utf-8"),
        ("\ufeffé".encode("utf-16-le"), "utf-8", "é", "utf-16-le"),
        ("é".encode("utf-16-be"), "utf-16be", "é", "utf-16-be"),
        ("漁船".encode("iso-2022-jp"), "iso-2022-jp", "漁船", "iso2022_jp"),
        ("漁船".encode("cp932"), "shift_jis", "漁船", "cp932"),
        ("漁船".encode("gbk"), "gb2312", "漁船", "gb18030"),
        (b"plain", "no-such-charset", "plain", "utf-8"),
        (b"", "", "", "utf-8"),
    ],
)
def test_declared_and_certain(body: bytes, declared: str, expected: str, name: str) -> None:
    assert decode(body, declared) == (expected, name)


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [("windows-1251", "cp1251", _RUSSIAN), ("koi8-r", "koi8_r", _RUSSIAN), ("euc-jp", "euc_jp", _JAPANESE)],
)
def test_declared_in_the_page(label: str, codec: str, text: str) -> None:
    html = _META.format(label, text)
    assert decode(html.encode(codec))[0] == html
    assert decode(f'<?xml version="1.0" encoding="{label}"?>{text}'.encode(codec))[0].endswith(text)


def test_a_page_that_can_be_read_is_not_in_utf_16() -> None:
    html = _META.format("utf-16", "é")
    assert decode(html.encode())[0] == html


@pytest.mark.parametrize(("codec", "text"), [("cp1251", _RUSSIAN), ("cp932", _JAPANESE)])
def test_not_declared_at_all(codec: str, text: str) -> None:
    html = f"<html><body><p>{text}</p></body></html>"
    assert decode(html.encode(codec))[0] == html


def test_utf_8_with_a_cut_character_is_utf_8() -> None:
    text = _JAPANESE * 20
    assert decode(text.encode()[:-1]) == (text[:-1] + "\ufffd", "utf-8")


def test_noise_becomes_something() -> None:
    text, _ = decode(bytes(range(256)) * 10)
    assert "A" in text
