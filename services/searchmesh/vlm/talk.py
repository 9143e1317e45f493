"""One model's way from a conversation to its answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from searchmesh.batching import Lane
from searchmesh.catalog import Card
from searchmesh.encoding import Context
from searchmesh.generation import Decoder, Finish, LoopGuard, Options, Written
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.runtime.rpc import Call
from searchmesh.sandbox import Pool
from searchmesh.sandbox.json_output import check_schema, validate
from searchmesh.text.words import words_of
from searchmesh.vlm.chat import ChatTemplate
from searchmesh.vlm.prompt import Prompt, Prompts
from searchmesh.vlm.requests import Conversation
from searchmesh.vlm.sight import Sight

_PATIENCE = 128
"""Words in a row that have to be repetitions for a loop: an image may have a column of the same number."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer."""

    written: Written
    image_tokens: int
    """Of the input tokens, those that stand for images."""


class Talker:
    """Answers with one exported model."""

    def __init__(self, decoder: Decoder, sight: Sight, checker: Pool) -> None:
        """`checker` has the jobs of `json_output`. Raises FailedPrecondition for a model that lacks what a
        conversation needs."""
        self._decoder = decoder
        self._sight = sight
        self._checker = checker
        self._template = ChatTemplate(decoder.card)
        self._prompts = Prompts(decoder.model, decoder.tokenizer, sight.cropping)

    @property
    def card(self) -> Card:
        """What the catalog says of the model."""
        return self._decoder.card

    @property
    def special_words(self) -> Sequence[str]:
        """What a text must not spell out."""
        return self._decoder.tokenizer.special_words

    async def answer(
        self, conversation: Conversation, options: Options, call: Call, *, least: int = 1
    ) -> AsyncGenerator[str | Finished, None]:
        """The answer piece by piece, and how it ended. Leaving early ends the generation.

        Where the prompt leaves less room than `options` would have it, the answer is shorter, but there has to be room
        for `least` tokens. Raises InvalidArgument for images that cannot be read, for conversations that are too long
        and for a schema that is none, FailedPrecondition for JSON that breaks its schema, after its text, Overloaded,
        DeadlineExceeded, and what fetching and the backend raise.
        """
        schema = options.json_schema
        if schema:
            await self._checker.call(check_schema, schema, deadline=call.deadline, field="json_schema")
        text: list[str] = []
        async with aclosing(self._written(conversation, options, call, least)) as events:
            async for event in events:
                if isinstance(event, str):
                    text.append(event)
                elif schema and event.written.finish is Finish.STOP:
                    written = "".join(text)
                    await self._checker.call(validate, schema, written, deadline=call.deadline, field="json_schema")
                yield event

    async def _written(
        self, conversation: Conversation, options: Options, call: Call, least: int
    ) -> AsyncGenerator[str | Finished, None]:
        with call.stages.measure("tokenize"):
            ids = await self._prompts.read(self._template.render(conversation.messages))
        async with self._sight.holding(len(conversation.images)):
            files = await self._sight.load(conversation.images, call.deadline)
            # Refused before any pixel is decoded. While they wait for the decoder, images are files.
            self._bounded(self._prompts.illustrated(ids, [file.tiling for file in files.values()]), options, least)
            async with self._decoder.slot(call.deadline) as slot:
                seen = await self._sight.look(files, Context(Lane.INTERACTIVE, call.deadline, call.stages))
                del files
                prompt = self._prompts.illustrated(ids, [tiling for _, tiling in seen.values()])
                tensors = prompt.tensors([features for features, _ in seen.values()])
                options = self._bounded(prompt, options, least)
                guard = LoopGuard(words_of(conversation.text), patience=_PATIENCE)
                with call.stages.measure("write"):
                    async with aclosing(slot.write(tensors, options, guard)) as pieces:
                        async for piece in pieces:
                            if isinstance(piece, Written):
                                yield Finished(piece, prompt.image_tokens)
                            else:
                                yield piece

    def _bounded(self, prompt: Prompt, options: Options, least: int) -> Options:
        """With a number of tokens that the prompt leaves room for. Raises InvalidArgument if that is too few."""
        read, limit = len(prompt.ids), self._decoder.max_tokens
        if read + least > limit:
            more = f" and max_tokens {least}" if least > 1 else ""
            raise InvalidArgument(
                "messages",
                f"have {read} tokens, {prompt.image_tokens} of them for images{more}; the limit is {limit}",
                reason="INPUT_TOO_LONG",
            )
        return replace(options, max_new_tokens=min(options.max_new_tokens, limit - read))

    async def warm(self, deadline: Deadline) -> None:
        """Run the vision graph and the decoder once."""
        await self._sight.warm(deadline)
        await self._decoder.warm(deadline)
