"""What needs attention, as it changes: looked for once for each process while anybody watches, however many do."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import structlog

from api.dead_letter_resource import DeadLetterList
from api.following import Following
from api.metrics import ATTENTION_WATCHERS
from api.outages import Unreachable
from contracts.attention import KeptItem

LOOK_EVERY_S = 2.0

log = structlog.get_logger()


@dataclass(frozen=True)
class NeedsAttention:
    """The first page of dead letters, and of the items that somebody has to look at; each may go on."""

    letters: DeadLetterList
    items: tuple[KeptItem, ...]
    next_cursor: str | None

    @cached_property
    def digest(self) -> str:
        """Tells one state of it from another."""
        items = "".join(item.model_dump_json() for item in self.items)
        return sha256(f"{self.letters.model_dump_json()}{items}".encode()).hexdigest()[:16]


Look = Callable[[], Awaitable[NeedsAttention]]


class FollowingAttention(Following[NeedsAttention]):
    """The states of the list behind the one that is shown; who is slow misses some. It never ends by itself."""

    def __init__(self, feed: "AttentionFeed", shown: str | None) -> None:
        super().__init__(feed.followers, ATTENTION_WATCHERS, feed.rest_unfollowed)
        self._feed = feed
        self._shown = shown

    @property
    def is_complete(self) -> bool:
        return False

    def take(self) -> NeedsAttention | None:
        found = self._feed.found
        if found is None or found.digest == self._shown:
            return None
        self._shown = found.digest
        return found


class AttentionFeed:
    """What one process knows of the list while it is watched."""

    def __init__(self, look: Look) -> None:
        self._look = look
        # Of no request: what is looked at for several is in nobody's trace, and in nobody's lines of the log.
        self._context = copy_context()
        self._looking: asyncio.Task[None] | None = None
        self.followers: set[FollowingAttention] = set()
        self.found: NeedsAttention | None = None

    @contextmanager
    def follow(self, shown: str | None) -> Iterator[FollowingAttention]:
        """Each change from the state with this digest on, while this is open. During an outage nothing comes."""
        following = FollowingAttention(self, shown)
        if self._looking is None:
            self._looking = asyncio.create_task(self._keep_looking(), context=self._context.copy())
        try:
            yield following
        finally:
            following.close()

    def rest_unfollowed(self) -> None:
        if not self.followers and self._looking is not None:
            self._looking.cancel()
            self._looking = self.found = None

    async def _keep_looking(self) -> None:
        while True:
            try:
                self.tell(await self._look())
            except Unreachable:
                pass
            except Exception as error:
                # Whatever it is, who watches waits, and nothing is lost but time.
                log.warning("what needs attention cannot be read", exc_info=error)
            await asyncio.sleep(LOOK_EVERY_S)

    def tell(self, found: NeedsAttention) -> None:
        """Have everybody know who watches."""
        self.found = found
        for follower in self.followers:
            follower.look()
