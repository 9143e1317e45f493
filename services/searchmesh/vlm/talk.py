"""One model's way from a conversation to its answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from searchmesh.batching import Lane
from searchmesh.catalog import Card, ExportedModel
from searchmesh.encoding import Context, Held
from searchmesh.images import ImageLoader
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.runtime.rpc import Call
from searchmesh.text import Tokenizer
from searchmesh.triton import Backend
from searchmesh.vlm.chat import ChatTemplate
from searchmesh.vlm.prompt import Prompt, Prompts
from searchmesh.vlm.requests import Conversation, Decoding
from searchmesh.vlm.settings import VlmSettings
from searchmesh.vlm.sight import Sight
from searchmesh.vlm.writing import Written, write


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer."""

    written: Written
    input_tokens: int
    image_tokens: int


class Talker:
    """Answers with one exported model."""

    def __init__(
        self, model: ExportedModel, backend: Backend, loader: ImageLoader, settings: VlmSettings, held: Held
    ) -> None:
        """Raises FailedPrecondition for a model that lacks what a conversation about images needs."""
        self._model = model
        self._backend = backend
        self._default_tokens = settings.vlm_default_tokens
        self._template = ChatTemplate(model.card)
        self._tokenizer = Tokenizer(model.tokenizer_path, threads=settings.tokenizer_threads)
        self._sight = Sight(model, backend, loader, settings, held)
        self._prompts = Prompts(model, self._tokenizer, self._sight.cropping)

    @property
    def card(self) -> Card:
        """What the catalog says of the model."""
        return self._model.card

    @property
    def special_words(self) -> Sequence[str]:
        """What a text must not spell out."""
        return self._tokenizer.special_words

    async def answer(
        self, conversation: Conversation, decoding: Decoding, call: Call
    ) -> AsyncGenerator[str | Finished, None]:
        """The answer piece by piece, and how it ended. Leaving early ends the generation.

        Raises InvalidArgument for images that cannot be read and for conversations that are too long, Overloaded,
        DeadlineExceeded, and what fetching and the backend raise.
        """
        with call.stages.measure("tokenize"):
            ids = await self._prompts.read(self._template.render(conversation.messages))
        async with self._sight.holding(len(conversation.images)):
            files = await self._sight.load(conversation.images, call.deadline)
            # Refused before any pixel is decoded.
            self._bounded(self._prompts.illustrated(ids, [file.tiling for file in files.values()]), decoding)
            seen = await self._sight.look(files, Context(Lane.INTERACTIVE, call.deadline, call.stages))
            del files
            prompt = self._prompts.illustrated(ids, [tiling for _, tiling in seen.values()])
            decoding = self._bounded(prompt, decoding)
            tensors = prompt.tensors([features for features, _ in seen.values()])
            pieces = write(
                self._backend, self._model.name, tensors, decoding, self._tokenizer.spelling(), call.deadline
            )
            with call.stages.measure("write"):
                async with aclosing(pieces):
                    async for piece in pieces:
                        if isinstance(piece, Written):
                            yield Finished(piece, len(prompt.ids), prompt.image_tokens)
                        else:
                            yield piece

    def _bounded(self, prompt: Prompt, decoding: Decoding) -> Decoding:
        """With a number of tokens that the prompt leaves room for. Raises InvalidArgument if there is none."""
        read, limit = len(prompt.ids), self._model.max_tokens
        if read + max(decoding.max_tokens, 1) > limit:
            more = f" and max_tokens {decoding.max_tokens}" if decoding.max_tokens else ""
            raise InvalidArgument(
                "messages",
                f"have {read} tokens, {prompt.image_tokens} of them for images{more}; the limit is {limit}",
                reason="INPUT_TOO_LONG",
            )
        return replace(decoding, max_tokens=decoding.max_tokens or min(self._default_tokens, limit - read))

    async def warm(self, deadline: Deadline) -> None:
        """Run the vision graph once."""
        await self._sight.warm(deadline)

    def close(self) -> None:
        """End the threads."""
        self._tokenizer.close()
