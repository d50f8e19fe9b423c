"""Jobs to try the system with."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from contracts.jobs import JobType, Retries

MAX_SLEEP_S = 300


class EchoArguments(BaseModel):
    """What to say again, after how many failures and how many seconds of sleep in each attempt."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, json_schema_extra={"examples": [{"message": "hello"}]}
    )

    message: str
    fail_times: NonNegativeInt = 0
    sleep_s: Annotated[float, Field(ge=0, le=MAX_SLEEP_S)] = 0


class EchoResult(BaseModel, frozen=True):
    """The message, and which attempt said it."""

    message: str
    attempt: PositiveInt


ECHO = JobType(
    "diagnostics.echo",
    summary="Says its message again; fails and sleeps as told.",
    arguments=EchoArguments,
    result=EchoResult,
    retries=Retries(attempts=5, first_after_s=0.5, at_most_s=0.5),
    timeout_s=MAX_SLEEP_S + 30,
)
