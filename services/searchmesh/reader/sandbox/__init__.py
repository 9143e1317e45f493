"""Parsing in processes of its own, each with a limit on time and on memory.

What is parsed comes from strangers, and the parsers are libraries in C that were made for pages, not for attacks. A
thread would not do: one that hangs in a regular expression or in libxml2 cannot be ended, holds the interpreter's lock
for all the others, and takes the memory of the service when it takes too much. A process is killed, and the next one
takes its place.
"""

from searchmesh.reader.sandbox.pool import Pool

__all__ = ["Pool"]
