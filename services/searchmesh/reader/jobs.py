"""The work of the sandbox's processes, in one place: each of them imports it all before its first job."""

from searchmesh.reader.model.json_output import check_schema, validate
from searchmesh.reader.model.preparing import divide, prepare
from searchmesh.reader.model.words import fidelity
from searchmesh.reader.rules.reading import read

__all__ = ["check_schema", "divide", "fidelity", "prepare", "read", "validate"]
