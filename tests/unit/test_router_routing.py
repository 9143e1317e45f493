"""Which vector spaces a query goes to, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from searchmesh.router.index import Collection, Image, Space
from searchmesh.router.query import FusionOptions, Mode, SearchQuery
from searchmesh.router.routing import check_spaces, route
from searchmesh.router.tasks import passage_task, query_task
from searchmesh.runtime.errors import InvalidArgument
from support.router import BOTH, CLIP, CODE, MODEL, OMNI, TEXT

IMAGE = Image(url="http://a/b.png")
WORDS = "heat transfer in the layers"
ALL = Collection(
    "all", (Space("text", MODEL, 4, TEXT), Space("code", CODE, 4, TEXT), Space("image", CLIP, 4, BOTH)), "english"
)


def routes(query: SearchQuery, collection: Collection = ALL) -> dict[str, tuple[bool, str]]:
    return {one.space: (one.searched, one.reason) for one in route(query, collection)}


def asking(content: str | Image, **options: object) -> SearchQuery:
    return replace(SearchQuery(content, ("all",)), **options)  # type: ignore[arg-type]


def test_a_text_goes_to_every_space_that_reads_text_and_has_no_code_to_look_for() -> None:
    assert routes(asking(WORDS)) == {
        "text": (True, "READS_THE_QUERY"),
        "code": (False, "NO_CODE_IN_QUERY"),
        "image": (True, "READS_THE_QUERY"),
        "lexical": (True, "READS_THE_QUERY"),
    }


@pytest.mark.parametrize("query", ["def add_numbers", "a function that returns a list"])
def test_code_goes_to_the_code_space_too(query: str) -> None:
    assert {space for space, (searched, _) in routes(asking(query)).items() if searched} == {
        "text", "code", "image", "lexical"
    }  # fmt: skip
    assert routes(asking(query))["code"] == (True, "CODE_IN_QUERY")


def test_the_sign_of_code_is_told() -> None:
    messages = {one.space: one.message for one in route(asking("what is a tuple"), ALL)}
    assert messages["code"] == "the query has the word 'tuple'"
    assert messages["text"] == f"{MODEL} reads text"


def test_a_code_space_that_is_alone_is_searched_for_anything() -> None:
    alone = replace(ALL, spaces=(ALL.spaces[1],))
    assert routes(asking(WORDS), alone)["code"] == (True, "NO_OTHER_SPACE")


def test_where_the_language_hides_the_signs_the_code_space_is_searched() -> None:
    german = "wie wird die Wärme in den Schichten übertragen"
    assert routes(asking(german))["code"] == (True, "CODE_UNCERTAIN")


def test_an_image_goes_to_the_spaces_whose_model_reads_images() -> None:
    assert routes(asking(IMAGE)) == {
        "text": (False, "CANNOT_READ_THE_QUERY"),
        "code": (False, "CANNOT_READ_THE_QUERY"),
        "image": (True, "READS_THE_QUERY"),
        "lexical": (False, "CANNOT_READ_THE_QUERY"),
    }
    omni = replace(ALL, spaces=tuple(Space(name, OMNI, 4, BOTH) for name in ("text", "code", "image")))
    assert routes(asking(IMAGE), omni) == {
        "text": (True, "READS_THE_QUERY"),
        "code": (True, "CODE_UNCERTAIN"),
        "image": (True, "READS_THE_QUERY"),
        "lexical": (False, "CANNOT_READ_THE_QUERY"),
    }


def test_named_spaces_are_searched_whatever_the_query_is_and_no_others() -> None:
    assert routes(asking(WORDS, spaces=("code", "image"))) == {
        "text": (False, "NOT_NAMED"),
        "code": (True, "NAMED"),
        "image": (True, "NAMED"),
        "lexical": (True, "READS_THE_QUERY"),
    }


def test_the_mode_rules_out_a_kind_of_search() -> None:
    assert {
        reason for space, (_, reason) in routes(asking(WORDS, mode=Mode.LEXICAL)).items() if space != "lexical"
    } == {"MODE"}
    assert routes(asking(WORDS, mode=Mode.DENSE))["lexical"] == (False, "MODE")


def test_words_of_another_language_are_looked_up_and_count_half_unless_the_search_weighs() -> None:
    query = asking("wie wird die Wärme in den Schichten übertragen")
    (lexical,) = [one for one in route(query, ALL) if one.space == "lexical"]
    assert (lexical.searched, lexical.reason) == (True, "OTHER_LANGUAGE")
    assert "the query is in German, the collection in english; their ranking counts half" in lexical.message
    (weighed,) = [
        one for one in route(replace(query, fusion=FusionOptions(dense_weight=0.4)), ALL) if one.space == "lexical"
    ]
    assert "half" not in weighed.message
    assert [query.fusion.lexical(foreign=foreign) for foreign in (False, True)] == [1, 0.5]
    assert FusionOptions(dense_weight=0.25).lexical(foreign=True) == 1.5
    assert FusionOptions(dense_weight=0.25).dense == 0.5


@pytest.mark.parametrize(
    ("content", "spaces", "field", "problem"),
    [
        (WORDS, ("text", "video"), "spaces[1]", "'video' is not a vector space here; there are: code, image, text"),
        (IMAGE, ("image", "text"), "spaces[1]", f"cannot be searched: {MODEL} does not read images"),
    ],
)
def test_spaces_that_cannot_be_searched_are_refused(
    content: str | Image, spaces: tuple[str, ...], field: str, problem: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_spaces(asking(content, spaces=spaces), [ALL])
    assert (caught.value.field, caught.value.problem) == (field, problem)
    check_spaces(asking(content, spaces=spaces[:1]), [ALL])


@pytest.mark.parametrize(
    ("model", "space", "tasks"),
    [
        ("jina-embeddings-v3", "text", ("retrieval.query", "retrieval.passage")),
        ("jina-embeddings-v3", "code", ("retrieval.query", "retrieval.passage")),
        ("jina-embeddings-v4", "image", ("retrieval.query", "retrieval.passage")),
        ("jina-embeddings-v4", "code", ("code.query", "code.passage")),
        ("jina-code-embeddings-0.5b", "code", ("nl2code.query", "nl2code.passage")),
        ("jina-clip-v2", "image", ("retrieval.query", "")),
        ("all-MiniLM-L6-v2", "text", ("", "")),
        ("a model without a card", "text", ("", "")),
    ],
)
def test_the_card_says_which_tasks_a_space_is_embedded_with(model: str, space: str, tasks: tuple[str, str]) -> None:
    assert (query_task(model, space), passage_task(model, space)) == tasks
