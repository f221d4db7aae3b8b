"""What a child writes on stdout and stderr, read as it comes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

_TAIL: Final = 8192  # bytes kept to say why a child died


class Logs:
    """Args:
    descriptor: the end of the pipe that is ours; not blocking.
    take: what to do with what comes.
    """

    def __init__(self, descriptor: int, take: Callable[[bytes], None]) -> None:
        self.tail = b""
        self._descriptor = descriptor
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self.read)

    def read(self) -> None:
        """Take all that stands in the pipe."""
        while True:
            try:
                data = os.read(self._descriptor, 65536)
            except BlockingIOError:
                return
            if not data:  # nobody can write any more
                self._loop.remove_reader(self._descriptor)
                return
            self.tail = (self.tail + data)[-_TAIL:]
            self._take(data)

    def close(self) -> None:
        """Take what is left; called once."""
        self.read()
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
