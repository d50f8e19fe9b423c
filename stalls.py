"""Notices when the event loop is blocked, and logs the stack that blocks it: nobody is served meanwhile.

A thread asks the loop for a sign of life now and then, which costs next to nothing. asyncio's own debug mode would slow
down every callback, and says of a slow one only afterwards which it was.
"""

import asyncio
import contextvars
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import structlog

log = structlog.get_logger()


def _say_nothing(_: float) -> None:
    """Nobody wants to know."""


@contextmanager
def noticed(after_s: float, blocked: Callable[[float], None] = _say_nothing) -> Iterator[None]:
    """While this is open, log what blocks the running loop for longer than `after_s` seconds, and for how long.

    `blocked` is told the latter, in seconds, from another thread.
    """
    watch = _Watch(asyncio.get_running_loop(), after_s, blocked)
    watch.start()
    try:
        yield
    finally:
        # It is not waited for, since it may be waiting for us.
        watch.stopping.set()


class _Watch(threading.Thread):
    def __init__(self, loop: asyncio.AbstractEventLoop, after_s: float, blocked: Callable[[float], None]) -> None:
        super().__init__(name="stalls", daemon=True)
        self.stopping = threading.Event()
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._after_s = after_s
        self._blocked = blocked
        self._sign_of_life = threading.Event()
        self._idle: FrameType | None = None
        # Whatever our log lines are to say besides.
        self._context = contextvars.copy_context()

    def run(self) -> None:
        self._context.run(self._look)

    def _look(self) -> None:
        while not self._wait(self.stopping, self._after_s / 2):
            asked_at = time.monotonic()
            self._sign_of_life.clear()
            try:
                self._loop.call_soon_threadsafe(self._live)
            except RuntimeError:
                # The loop was closed without a word to us.
                return
            if self._wait(self._sign_of_life, self._after_s):
                continue
            frame = sys._current_frames().get(self._loop_thread)
            were_kept_waiting = time.monotonic() - asked_at > 2 * self._after_s
            # What kept us waiting is over, or no Python runs in the loop, which waits for a processor.
            if frame is None or frame is self._idle or were_kept_waiting or self.stopping.is_set():
                continue
            log.warning("the event loop is blocked", after_s=self._after_s, stack=_stack(frame))
            while not self._sign_of_life.wait(self._after_s) and not self.stopping.is_set():
                pass
            blocked_s = time.monotonic() - asked_at
            log.warning("the event loop was blocked", blocked_s=round(blocked_s, 3))
            self._blocked(blocked_s)

    def _wait(self, event: threading.Event, within_s: float) -> bool:
        """Whether the event happens by then. Tells of what kept even us waiting: C code that does not let go of Python.

        Unless it used no processor, since the whole process was stopped.
        """
        begun, used_s = time.monotonic(), time.process_time()
        happened = event.wait(within_s)
        kept_waiting_s = time.monotonic() - begun - within_s
        if kept_waiting_s > self._after_s and not self.stopping.is_set():
            used_s = time.process_time() - used_s
            frame = sys._current_frames().get(self._loop_thread)
            if used_s > self._after_s and frame is not None:
                log.warning("the event loop was blocked", blocked_s=round(used_s, 3), stack=_stack(frame))
                self._blocked(used_s)
        return happened

    def _live(self) -> None:
        self._idle = sys._getframe(1)
        self._sign_of_life.set()


def _stack(frame: FrameType) -> str:
    return "".join(traceback.format_stack(frame))
