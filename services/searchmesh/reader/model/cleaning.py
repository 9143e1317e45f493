"""HTML without what a model should not have to read, by the substitutions of its card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce

from searchmesh.catalog.sections import Replacement


def cleaned(html: str, replacements: Sequence[Replacement]) -> str:
    """The text after all substitutions, in their order.

    Some patterns take quadratic time on a page that opens many elements and closes none: run it in the sandbox.
    """
    for replacement in replacements:
        flags = reduce(lambda all_flags, name: all_flags | re.RegexFlag[name], replacement.flags, re.NOFLAG)
        html = re.sub(replacement.pattern, replacement.replace, html, flags=flags)
    return html
