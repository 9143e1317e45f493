"""Which of a model's tasks a vector space is embedded with. The model's card says it."""

from __future__ import annotations

from functools import cache

from searchmesh.catalog import load_card
from searchmesh.runtime.errors import NotFound


def query_task(model: str, space: str) -> str:
    """The task of searches in a space. Empty (the model's own default) if its card names none or there is no card."""
    return _tasks(model, space)[0]


def passage_task(model: str, space: str) -> str:
    """The task of what is found in a space; see `query_task`."""
    return _tasks(model, space)[1]


@cache
def _tasks(model: str, space: str) -> tuple[str, str]:
    try:
        card = load_card(model)
    except NotFound:
        return "", ""
    # A model for several kinds of content has a pair of tasks that is called as the space.
    own = f"{space}.query", f"{space}.passage"
    if all(task in card.tasks for task in own):
        return own
    return card.query_task or "", card.passage_task or ""
