"""Jobs in processes of their own: whatever they compute, the worker goes on, and a process can always be ended.

docs/decisions/jobs-in-processes.md
"""

import asyncio
import json
import multiprocessing
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import Any

from pydantic import BaseModel
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.jobs import in_process
from activities.jobs.attempts import job_that_runs
from activities.jobs.registry import type_of
from contracts.jobs import MAX_RESULT_BYTES, RunsIn

# What a job that is told to stop has for tidying up; then it is killed.
TIDIES_WITHIN_S = 2.0
# JSON may write a character as six.
LONGEST_LINE = 8 * MAX_RESULT_BYTES


class FailedInProcess(Exception):
    """Where a job failed in its process, for the log."""


class JobProcesses:
    """Gives each attempt at a job a process, forked from a server that did nothing but import what jobs import.

    The server starts with the first of them. No process outlives its attempt, or this one.
    """

    def __init__(self, memory_bytes: int | None = None) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([in_process.__name__, "activities.jobs.functions"])
        self._memory_bytes = memory_bytes
        # Starting blocks, and is not made for several threads.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="job processes")

    def close(self) -> None:
        self._starter.shutdown()

    def hosting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as the worker is to run it: as it is, unless it runs in a process."""
        job_type = type_of(function)
        if job_type.runs_in is not RunsIn.PROCESS:
            return function

        async def hosted(arguments: BaseModel) -> BaseModel:
            return job_type.result.model_validate_json(await self._result_of(function, arguments))

        hosted.__annotations__ = {"arguments": job_type.arguments, "return": job_type.result}
        return activity.defn(name=job_type.name)(hosted)

    async def _result_of(self, function: Callable[..., Any], arguments: BaseModel) -> str:
        """Run a function to its end, and return its result as JSON. Raises ApplicationError."""
        receiving, sending = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=in_process.run,
            args=(function, arguments, activity.info(), job_that_runs(), sending, self._memory_bytes),
            daemon=True,
        )
        async with _lines(receiving) as lines, self._running(process, sending):
            async for line in lines:
                message = json.loads(line)
                match message["kind"]:
                    case "heartbeat":
                        activity.heartbeat(*message["details"])
                    case "result":
                        return str(message["text"])
                    case "failure":
                        raise ApplicationError(
                            message["message"], type=message["type"], non_retryable=message["non_retryable"]
                        ) from (FailedInProcess(message["traceback"]) if message["traceback"] else None)
        raise ApplicationError(
            f"the process of this attempt ended by itself, with {process.exitcode}", type="process_died"
        )

    @asynccontextmanager
    async def _running(
        self, process: "multiprocessing.context.ForkServerProcess", sending: Connection
    ) -> AsyncIterator[None]:
        """Start a process, and see to it that it has ended afterwards, whatever happens."""
        starting = asyncio.get_running_loop().run_in_executor(self._starter, process.start)
        try:
            await asyncio.shield(starting)
            # The process alone holds this end now: what it leaves is the end of the lines.
            sending.close()
            yield
        finally:
            # Also when the attempt is cancelled once more meanwhile.
            await asyncio.shield(asyncio.create_task(self._end(process, starting)))
            sending.close()

    async def _end(self, process: "multiprocessing.context.ForkServerProcess", starting: Awaitable[None]) -> None:
        await starting
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(process.sentinel, ended.set)
        try:
            if process.is_alive():
                process.terminate()
            try:
                async with asyncio.timeout(TIDIES_WITHIN_S):
                    await ended.wait()
            except TimeoutError:
                process.kill()
                await ended.wait()
        finally:
            loop.remove_reader(process.sentinel)
        await loop.run_in_executor(self._starter, process.join)


@asynccontextmanager
async def _lines(receiving: Connection) -> AsyncIterator[asyncio.StreamReader]:
    """What a process says, until it ends."""
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(receiving.fileno()), "rb", buffering=0)
    )
    receiving.close()
    try:
        yield reader
    finally:
        transport.close()
