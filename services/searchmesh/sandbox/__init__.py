"""Work on what strangers wrote, in processes of its own, each with a limit on time and on memory.

Documents are parsed by libraries in C that were made for pages, not for attacks, and the patterns of a JSON Schema are
regular expressions. A thread would not do: one that hangs in a regular expression or in libxml2 cannot be ended, holds
the interpreter's lock for all the others, and takes the memory of the service when it takes too much. A process is
killed, and the next one takes its place.
"""

from searchmesh.sandbox.pool import Pool

__all__ = ["Pool"]
