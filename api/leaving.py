"""A process that is told to stop says so first, and goes on answering while those who send it requests take note."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Leaving:
    """Whether this process was told to stop, and how many seconds it keeps on from then."""

    def __init__(self, drain_s: float) -> None:
        self._drain_s = drain_s
        self.is_told = False

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """While this is open, SIGTERM reaches the server late; a second one reaches it at once."""
        if not self._drain_s or threading.current_thread() is not threading.main_thread():
            yield
            return
        stop = signal.getsignal(signal.SIGTERM)
        assert callable(stop)
        loop = asyncio.get_running_loop()

        def tell(number: int, frame: FrameType | None) -> None:
            if self.is_told:
                stop(number, frame)
                return
            self.is_told = True
            loop.call_soon_threadsafe(loop.call_later, self._drain_s, stop, number, None)

        signal.signal(signal.SIGTERM, tell)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, stop)
