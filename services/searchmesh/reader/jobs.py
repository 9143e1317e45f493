"""The work of the sandbox's processes."""

from searchmesh.reader.model.fidelity import fidelity
from searchmesh.reader.model.preparing import divide, prepare
from searchmesh.reader.rules.reading import read
from searchmesh.sandbox.json_output import check_schema, validate

__all__ = ["check_schema", "divide", "fidelity", "prepare", "read", "validate"]
