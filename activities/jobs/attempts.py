"""Which attempt of a job this is, over all its series: an operator may have one that failed begin anew."""

from contextvars import ContextVar

_number: ContextVar[int] = ContextVar("attempt_of_job")


def begins(number: int) -> None:
    """Note the number of the attempt that begins in this context."""
    _number.set(number)


def attempt_number() -> int:
    """The number of the attempt that runs, counted from the job's first."""
    return _number.get()
