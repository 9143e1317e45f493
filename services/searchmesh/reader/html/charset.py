"""Bytes of a page as text.

The order of the WHATWG's encoding sniffing, with one change: what is valid UTF-8 and not plain ASCII is read as UTF-8
whatever its headers say, since text in another encoding practically never is.
"""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_LABELS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
"""What pages mean by a name, which is a superset of what it is the name of (WHATWG Encoding Standard)."""

_PRESCAN = 4096
_META = re.compile(rb"<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]+)", re.IGNORECASE)
_XML = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9_:.-]+)", re.IGNORECASE)
_SAMPLE = 16 * 1024
_FEW = 0.01
"""Share of characters that may be broken in what is taken as UTF-8 that somebody cut or mixed."""


def decode(body: bytes, declared: str = "") -> tuple[str, str]:
    """The text, and the encoding that it was read in. Never fails: what cannot be read becomes U+FFFD.

    `declared`: the charset of the HTTP header.
    """
    for mark, name in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace"), name
    said = _codec(declared) or _codec(_declared_inside(body))
    if said.startswith(("utf-16", "utf-32", "iso2022")):
        return body.decode(said, "replace"), said
    try:
        return body.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    name = said if said and said != "utf-8" else _guessed(body)
    return body.decode(name, "replace"), name


def _declared_inside(body: bytes) -> str:
    start = body[:_PRESCAN]
    found = _XML.search(start) or _META.search(start)
    if not found:
        return ""
    name = found[1].decode("ascii")
    # A page that could be read this far is not in UTF-16.
    return "utf-8" if name.lower().startswith(("utf-16", "utf-32", "ucs")) else name


def _codec(label: str) -> str:
    """The codec's name in Python; empty for labels that name none."""
    try:
        name = codecs.lookup(label.strip().strip("\"'")).name if label else ""
    except (LookupError, ValueError):
        return ""
    return _LABELS.get(name, name)


def _guessed(body: bytes) -> str:
    if body.decode("utf-8", "replace").count("\ufffd") <= _FEW * sum(byte > 127 for byte in body[:_SAMPLE]):
        return "utf-8"
    best = from_bytes(_without_ascii_edges(body)).best()
    return _codec(best.encoding) if best is not None else "cp1252"


def _without_ascii_edges(body: bytes) -> bytes:
    """A sample that begins near the first byte that is not ASCII: only those tell."""
    first = next((position for position, byte in enumerate(body) if byte > 127), 0)
    return body[max(0, first - 200) : first + _SAMPLE]
