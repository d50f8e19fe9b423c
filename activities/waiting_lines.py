"""Where attempts wait for one of their endpoint's places, in this worker."""

import asyncio
from dataclasses import dataclass, field

# Each who waits keeps one of the worker's slots for activities.
LONGEST_LINE = 30


@dataclass
class _Line:
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    waiting: int = 0
    # Somebody waited in vain: it is no use to wait here before a place is left again.
    is_stuck: bool = False


class WaitingLines:
    """A line for each endpoint: first come, first served. Nobody waits where it does not move."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    async def wait(self, endpoint_id: str, until: float) -> bool:
        """Wait for a place that may be free; False when there is none by then, on the loop's clock, nor soon."""
        line = self._lines.setdefault(endpoint_id, _Line())
        if line.is_stuck or line.waiting == LONGEST_LINE:
            return False
        line.waiting += 1
        try:
            async with asyncio.timeout_at(until):
                await line.turns.acquire()
        except TimeoutError:
            line.is_stuck = True
            return False
        finally:
            line.waiting -= 1
        return True

    def left(self, endpoint_id: str) -> None:
        """An attempt of this worker has left its place: the next one may have it."""
        line = self._lines.get(endpoint_id)
        if line is None:
            return
        line.is_stuck = False
        if line.waiting:
            line.turns.release()
        else:
            del self._lines[endpoint_id]
