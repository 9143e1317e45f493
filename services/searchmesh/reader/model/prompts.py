"""The prompts of a model that reads HTML, as its card has them."""

from __future__ import annotations

import re

from searchmesh.catalog import Card
from searchmesh.catalog.sections import HtmlPrompts
from searchmesh.reader.options import ReadOptions
from searchmesh.runtime.errors import Internal

_SPECIAL = re.compile(r"<\|[^<>|\s]{1,40}\|>")


def prompt_of(card: Card, html: str, options: ReadOptions) -> str:
    """The whole prompt, chat template included, for cleaned HTML.

    What looks like one of the template's own tokens is taken out of everything that comes from outside: a page that
    could end its turn could speak for the user.
    """
    prompts = html_prompts(card)
    if options.json_schema:
        text = prompts.json_prompt.format(
            instruction=_harmless(options.instruction) or prompts.json_instruction,
            html=_harmless(html),
            schema=_harmless(options.json_schema),
        )
    else:
        text = prompts.markdown_prompt.format(
            instruction=_harmless(options.instruction) or prompts.markdown_instruction, html=_harmless(html)
        )
    generation = card.generation
    if generation is None or generation.chat_template is None:
        raise Internal(f"the card of {card.name} has no chat template")
    return generation.chat_template.format(system=generation.system, prompt=text)


def html_prompts(card: Card) -> HtmlPrompts:
    """What the card says of reading HTML."""
    if card.generation is None or card.generation.html is None:
        raise Internal(f"the card of {card.name} does not say how it reads HTML")
    return card.generation.html


def _harmless(text: str) -> str:
    return _SPECIAL.sub("", text)
