"""A service without a decoder: it knows which models there are, and that none is loaded."""

from __future__ import annotations

from searchmesh.catalog import ModelRepository, load_card
from searchmesh.reader.model.generator import Generator
from searchmesh.reader.settings import ReaderSettings
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument
from searchmesh.v1 import models_pb2


class Undecoded:
    """The `Generators` of a service that has no decoder behind it."""

    def __init__(self, settings: ReaderSettings) -> None:
        self._default = settings.reader_model
        self._repository = ModelRepository(settings.model_repository)

    async def get(self, name: str) -> Generator:
        """See `Generators.get`; there is nothing to get."""
        name = name or self._default
        card = load_card(name)
        if card.generation is None or card.generation.html is None:
            raise InvalidArgument("model", f"{name} is of kind {card.kind} and reads no HTML")
        self._repository.load(name)
        raise FailedPrecondition(
            f"model {name} is exported in {self._repository.path}, but the inference backend has no decoder for it",
            reason="MODEL_NOT_LOADED",
        )

    async def describe(self) -> list[models_pb2.Model]:
        """None."""
        return []

    async def close(self) -> None:
        """There is nothing to let go of."""
