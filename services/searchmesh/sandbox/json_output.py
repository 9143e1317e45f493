"""JSON that has to satisfy a schema. Runs in a process of the sandbox: a pattern in a schema can take for ever."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument

_SHOWN = 200
"""Characters of a violation."""


def check_schema(text: str) -> None:
    """Raises InvalidArgument for a schema that is none."""
    _validator(text)


def _validator(text: str) -> Validator:
    try:
        schema: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument("json_schema", f"is not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise InvalidArgument("json_schema", "is no JSON Schema: it has to be an object")
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise InvalidArgument("json_schema", f"is no JSON Schema: {_where(error)}{_short(error.message)}") from None
    # Without a registry of its own, the library would fetch what a $ref names.
    return kind(schema, registry=Registry())


def validate(schema: str, output: str) -> None:
    """Raises FailedPrecondition with the violation for an output that is no JSON or breaks the schema."""
    try:
        value = json.loads(output)
    except (ValueError, RecursionError) as error:
        raise _violation(f"is not JSON: {error}") from None
    if schema:
        try:
            violation = best_match(_validator(schema).iter_errors(value))
        except Unresolvable as missing:
            raise InvalidArgument("json_schema", f"has a $ref that leads out of it: {missing.ref}") from None
        if violation is not None:
            raise _violation(f"breaks the schema: {_where(violation)}{_short(violation.message)}")


def _where(error: ValidationError | SchemaError) -> str:
    return f"at {error.json_path} " if error.absolute_path else ""


def _short(message: str) -> str:
    return message if len(message) <= _SHOWN else f"{message[: _SHOWN - 1]}…"


def _violation(problem: str) -> FailedPrecondition:
    return FailedPrecondition(f"what the model wrote {problem}", reason="SCHEMA_VIOLATION")
