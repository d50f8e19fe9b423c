"""A watcher's place at something that changes."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, TypeVar

from prometheus_client import Gauge

Item = TypeVar("Item")


class Following(ABC, Generic[Item]):
    """An iterator that waits for what comes next. It ends when it is complete, or closed.

    A `next` that is cancelled takes nothing: the same comes again.
    """

    def __init__(self, followers: set[Any], watchers: Gauge, leave: Callable[[], None]) -> None:
        """`followers`, who are told to `look`, have this one while it is open; `leave` is called when it has gone."""
        self._followers = followers
        self._watchers = watchers
        self._leave = leave
        self._news = asyncio.Event()
        self._closed = False
        followers.add(self)
        watchers.inc()

    @property
    @abstractmethod
    def is_complete(self) -> bool:
        """Whether nothing more comes."""

    @abstractmethod
    def take(self) -> Item | None:
        """What is next, if it is there."""

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        while not self._closed and not self.is_complete:
            item = self.take()
            if item is not None:
                return item
            self._news.clear()
            await self._news.wait()
        raise StopAsyncIteration

    def look(self) -> None:
        self._news.set()

    def close(self) -> None:
        """Free the place, and end the iteration wherever it is. Closing twice changes nothing."""
        if not self._closed:
            self._closed = True
            self._followers.discard(self)
            self._leave()
            self._watchers.dec()
            self.look()
