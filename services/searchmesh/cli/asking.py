"""``searchmesh ask``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from searchmesh.cli.connection import TimeoutOption, connected
from searchmesh.cli.output import JsonOption, counted, note, print_json, stages
from searchmesh.cli.reading import schema_of

if TYPE_CHECKING:
    from searchmesh.client import AnswerFinished


def ask(
    question: Annotated[str, typer.Argument(help="What to ask; not needed with --preset.", show_default=False)] = "",
    image: Annotated[
        list[str] | None, typer.Option("--image", metavar="FILE|URL", help="An image; may be repeated.")
    ] = None,
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="Ask for a caption, alt_text or read_text.", show_default=False)
    ] = "",
    system: Annotated[str, typer.Option(metavar="TEXT", help="System message.", show_default=False)] = "",
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the model.", show_default="the service's default")
    ] = "",
    json_schema: Annotated[
        str, typer.Option(metavar="FILE|JSON", help="JSON Schema that the answer has to satisfy.", show_default=False)
    ] = "",
    max_tokens: Annotated[int, typer.Option(metavar="N", help="Bound of the answer.", show_default="512")] = 0,
    temperature: Annotated[float, typer.Option(metavar="T", help="0: the likeliest answer.")] = 0.0,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Makes a random answer repeatable.")] = None,
    timeout: TimeoutOption = 120.0,
    json: JsonOption = False,
) -> None:
    """Ask a vision-language model about images.

    Prints the answer as it comes.
    """
    from searchmesh.client import AnswerFinished, AskOptions, Image, Message

    if bool(question) == bool(preset):
        from searchmesh.runtime.errors import InvalidArgument

        raise InvalidArgument("QUESTION", "give either a question or --preset")
    images = [Image(url=each) if "://" in each else Image.from_file(each) for each in image or ()]
    options = AskOptions(
        model=model,
        preset=preset,
        max_tokens=max_tokens,
        json_schema=schema_of(json_schema) or None,
        temperature=temperature,
        seed=seed,
    )
    messages = [Message(system, "system")] if system else []
    messages.append(Message([*images, *([question] if question else [])]))
    with connected(timeout) as client:
        events = client.ask_stream(messages, options=options)
        if json:
            from searchmesh.client.asking import collected

            print_json(collected(events))
            return
        for event in events:
            if isinstance(event, AnswerFinished):
                sys.stdout.write("\n")
                note(_remark(event))
            else:
                sys.stdout.write(event)
                sys.stdout.flush()


def _remark(finished: AnswerFinished) -> str:
    parts = [
        finished.finish_reason if finished.finish_reason != "stop" else "",
        f"read {counted(finished.input_tokens, 'token')}, {finished.image_tokens} of them for images",
        f"wrote {counted(finished.output_tokens, 'token')}",
        f"ms: {stages(finished.timings)}",
    ]
    return " · ".join(filter(None, parts))
