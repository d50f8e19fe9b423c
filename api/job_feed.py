"""The states of watched jobs, as they change: asked for once for each process, however many watch.

Between the changes that our books hear of, Temporal alone knows how far a job is, and tells nobody by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial

import structlog

from api.following import Following
from api.job_resource import JobState
from api.metrics import JOB_WATCHERS
from api.outages import Unreachable

LOOK_EVERY_S = 1.0

log = structlog.get_logger()

Look = Callable[[str], Awaitable[JobState | None]]


class WatchedJob:
    """A job, how it was last found, who follows it, and who looks."""

    def __init__(self) -> None:
        self.state: JobState | None = None
        self.followers: set[FollowingJob] = set()
        self.looking: asyncio.Task[None] | None = None

    def found(self, state: JobState) -> None:
        if state != self.state:
            self.state = state
            for follower in self.followers:
                follower.look()


class FollowingJob(Following[JobState]):
    """The states of a job until the final one; who is slow misses some."""

    def __init__(self, job: WatchedJob, leave: Callable[[], None]) -> None:
        super().__init__(job.followers, JOB_WATCHERS, leave)
        self._job = job
        self._given: JobState | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the final state was given."""
        return self._given is not None and self._given.status.is_final

    def take(self) -> JobState | None:
        if self._job.state == self._given:
            return None
        self._given = self._job.state
        return self._given


class JobFeed:
    """What one process knows of the jobs that are watched through it.

    `look` finds a job's state; None while that cannot be known for certain.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        # Of no request: what is looked at for several is in nobody's trace, and in nobody's lines of the log.
        self._context = copy_context()
        self._jobs: dict[str, WatchedJob] = {}

    @contextmanager
    def follow(self, job_id: str) -> Iterator[FollowingJob]:
        """How the job is now, and then each change, while this is open. During an outage nothing comes."""
        job = self._jobs.get(job_id)
        if job is None:
            job = self._jobs[job_id] = WatchedJob()
            job.looking = asyncio.create_task(self._keep_looking(job_id, job), context=self._context.copy())
        following = FollowingJob(job, partial(self._forget_unfollowed, job_id, job))
        try:
            yield following
        finally:
            following.close()

    def _forget_unfollowed(self, job_id: str, job: WatchedJob) -> None:
        if not job.followers:
            del self._jobs[job_id]
            if job.looking is not None:
                job.looking.cancel()

    async def _keep_looking(self, job_id: str, job: WatchedJob) -> None:
        while job.state is None or not job.state.status.is_final:
            try:
                state = await self._look(job_id)
            except Unreachable:
                state = None
            except Exception as error:
                # Whatever it is, who watches waits, and nothing is lost but time.
                log.warning("a watched job cannot be read", job_id=job_id, exc_info=error)
                state = None
            if state is not None:
                job.found(state)
            await asyncio.sleep(LOOK_EVERY_S)
