"""A thread for what has to wait for others, so that the next step of the model need not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

import triton_python_backend_utils as pb_utils

Work = Callable[[], None]


class Post:
    """Does one thing after the other, in the order in which they were put."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="post", daemon=True)
        self._thread.start()

    def put(self, work: Work) -> None:
        """Have it done soon. May be called by any thread."""
        self._queue.put(work)

    def close(self) -> None:
        """End when all is done."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                work()
            except Exception as error:
                pb_utils.Logger.log_warn(f"a response cannot be sent: {error}")
