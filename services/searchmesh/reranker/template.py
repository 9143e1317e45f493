"""The text around a query and a document that a model reads together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from searchmesh.runtime.errors import Internal

_QUERY, _DOCUMENT = "{query}", "{document}"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Template(Generic[T]):
    """What stands before the first side, between both, and after the second."""

    before: T
    between: T
    after: T
    document_first: bool

    def filled(self, query: T, document: T) -> tuple[T, T, T, T, T]:
        """The parts of the whole, in order."""
        first, second = (document, query) if self.document_first else (query, document)
        return self.before, first, self.between, second, self.after


def parsed(template: str) -> Template[str]:
    """A card's template. Raises Internal unless it has both sides once."""
    if template.count(_QUERY) != 1 or template.count(_DOCUMENT) != 1:
        raise Internal("the template of the model's card does not have query and document once each")
    document_first = template.index(_DOCUMENT) < template.index(_QUERY)
    first, second = (_DOCUMENT, _QUERY) if document_first else (_QUERY, _DOCUMENT)
    before, rest = template.split(first)
    between, after = rest.split(second)
    return Template(before, between, after, document_first)
