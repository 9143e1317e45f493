"""A request's way through the reader: fetch, choose who reads, read, and read again where a model failed."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from searchmesh.fetch import Fetcher
from searchmesh.fetch.problems import Reason
from searchmesh.reader import jobs
from searchmesh.reader.events import Event, Finished, Started
from searchmesh.reader.images import ImageReader
from searchmesh.reader.kinds import ACCEPTED, Kind, kind_of
from searchmesh.reader.model.generator import Generators
from searchmesh.reader.model.planning import DoesNotFit, Plan, Planner
from searchmesh.reader.model.writing import Outcome, write
from searchmesh.reader.options import BYTES_PER_TOKEN, Engine, Format, ReadOptions
from searchmesh.reader.page import Ending, PageInfo, Source, Summary
from searchmesh.reader.settings import ReaderSettings
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, Overloaded, Unavailable
from searchmesh.runtime.rpc import Call
from searchmesh.sandbox import Pool


class PageReader:
    """Reads pages with models, where there are any, and with rules; has images read."""

    def __init__(
        self, settings: ReaderSettings, pool: Pool, fetcher: Fetcher, generators: Generators, images: ImageReader
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._fetcher = fetcher
        self._generators = generators
        self._images = images
        self._planner = Planner(pool, settings)

    async def fetch(self, url: str, timeout_s: float | None, call: Call) -> Source:
        """The document at a URL. Raises what `Fetcher.get` raises, naming `url`."""
        within = Deadline(min(call.deadline.at, Deadline.after(timeout_s).at))
        with call.stages.measure("fetch"):
            try:
                found = await self._fetcher.get(
                    url, field="url", accept=ACCEPTED, deadline=within, max_bytes=self._settings.max_page_bytes
                )
            except DeadlineExceeded:
                call.deadline.check()
                problem = f"was not fetched within {timeout_s:g} s"
                raise InvalidArgument("url", problem, reason=Reason.TIMEOUT.value) from None
        return Source(found.body, found.content_type, found.charset or "", found.url, field="url")

    async def read(self, source: Source, options: ReadOptions, call: Call) -> AsyncGenerator[Event, None]:
        """The events of a reading, as they come. Raises the errors of the tree, also in the middle of a text."""
        kind, _ = kind_of(source)
        if options.json_schema:
            await self._pool.call(jobs.check_schema, options.json_schema, deadline=call.deadline, field="json_schema")
        if kind is Kind.IMAGE and options.engine is not Engine.RULES:
            async with aclosing(self._images.read(source, options, call)) as seen:
                async for event in seen:
                    yield event
            return
        plan, reason = await self._choose(source, kind, options, call)
        if plan is not None:
            may_fall_back = options.engine is Engine.AUTO and not options.needs_model
            failure = ""
            try:
                async with aclosing(self._by_model(plan, reason, options, call)) as events:
                    async for event in events:
                        if may_fall_back and isinstance(event, Finished) and (failure := self._failure(event)):
                            break
                        yield event
            except (Unavailable, Overloaded) as error:
                if not may_fall_back:
                    raise
                failure = f"failed: {error.message}"
            if not failure:
                return
            reason = f"{plan.generator.card.name} {failure}"
        async with aclosing(self._by_rules(source, reason, options, call)) as events:
            async for event in events:
                yield event

    async def _choose(self, source: Source, kind: Kind, options: ReadOptions, call: Call) -> tuple[Plan | None, str]:
        """A plan for a model, or None for the rules; and why, in words."""
        if options.engine is Engine.RULES:
            return None, "as requested"
        must = options.engine is Engine.MODEL or options.needs_model
        if problem := _only_rules(kind, options):
            if must:
                raise InvalidArgument("engine", f"a model cannot be used: {problem}")
            return None, problem
        try:
            generator = await self._generators.get(options.model)
            plan = await self._planner.plan(source, options, generator, call)
        except (FailedPrecondition, Unavailable, Overloaded, DoesNotFit) as error:
            if must or error.reason == "NO_TEXT":
                raise
            return None, f"no model reads it: {error.message}"
        name = plan.generator.card.name
        fits = "the page fits" if len(plan.parts) == 1 else f"the page fits in {len(plan.parts)} parts"
        return plan, "as requested" if options.engine is Engine.MODEL else f"{name} is loaded and {fits}"

    async def _by_model(self, plan: Plan, reason: str, options: ReadOptions, call: Call) -> AsyncGenerator[Event, None]:
        yield Started(Engine.MODEL, plan.generator.card.name, reason, plan.info)
        async with aclosing(write(self._pool, plan, options, call)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Outcome):
                    yield Finished(
                        piece.ending, piece.fidelity, piece.input_tokens, piece.output_tokens, len(plan.parts)
                    )
                else:
                    yield piece

    def _failure(self, end: Finished) -> str:
        """What is wrong with what a model wrote; empty: nothing."""
        if end.ending is Ending.LOOP:
            return "repeated itself"
        if end.ending is Ending.OVERRUN:
            return "wrote more than the page has"
        if end.fidelity is not None and end.fidelity < self._settings.min_fidelity:
            return f"wrote what the page does not say (fidelity {end.fidelity:.2f})"
        return ""

    async def _by_rules(
        self, source: Source, reason: str, options: ReadOptions, call: Call
    ) -> AsyncGenerator[Event, None]:
        start = time.perf_counter()
        frames = self._pool.run(jobs.read, source, options, deadline=call.deadline, field=source.field)
        async with aclosing(frames):
            async for frame in frames:
                match frame:
                    case PageInfo():
                        # Text follows at once, so what follows is not worth a stage of its own.
                        call.stages.add("read", time.perf_counter() - start)
                        yield Started(Engine.RULES, "", reason, frame)
                    case Summary():
                        yield _finished(source, frame)
                    case _:
                        yield frame


def _only_rules(kind: Kind, options: ReadOptions) -> str:
    """Why only rules can read this, in words; empty: a model can."""
    if kind is not Kind.HTML:
        return "models read HTML alone"
    if options.whole_page:
        return "models read the main content alone"
    if options.needs_model or options.format is Format.MARKDOWN:
        return ""
    return f"models write {options.format.name} only for a schema or an instruction"


def _finished(source: Source, summary: Summary) -> Finished:
    return Finished(
        summary.ending,
        1.0,
        -(-len(source.body) // BYTES_PER_TOKEN),
        -(-summary.output_bytes // BYTES_PER_TOKEN),
        links=summary.links,
        images=summary.images,
    )
