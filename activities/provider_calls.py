"""How an activity calls a provider: what is tried locally, what is retried and when, what settles a doubt."""

import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.clock import attempt_time
from activities.metrics import UNSEEN, WorkerMetrics
from contracts.books import Progress, ProviderStep
from contracts.orders import OrderStatus, Phase
from contracts.providers import ProviderFailed, ProviderNeedsSearch, ProviderRefused, ProviderSilent
from contracts.steps import Step, StepName, StepOutcome

if TYPE_CHECKING:
    from database.books import Books
    from database.open_order import OpenOrder

log = structlog.get_logger()

# The whole local try has 1.2 s (workflows/calls.py); the HTTP call must end before that, to leave time for the booking.
LOCAL_TIMEOUT_S = 1.0

COUNTED_AS: Mapping[type[Exception], str] = {
    ProviderRefused: "refused",
    ProviderNeedsSearch: "unclear",
    ProviderFailed: "failed",
    ProviderSilent: "silent",
}

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0


class CallRefused(Exception):
    """The provider said no, for good, to this step's key."""

    def __init__(self, step: Step, message: str) -> None:
        super().__init__(message)
        self.step = step
        self.message = message


class NeverHappened(Exception):
    """The call was looked for long enough to be sure that it had no effect under this step's key."""

    def __init__(self, step: Step) -> None:
        super().__init__(f"{step.name} had no effect under {step.key}")
        self.step = step


class CircuitBreaker:
    """Opens when a provider failed several times in a row, for a while: local tries are pointless then."""

    def __init__(self, *, failures: int = 3, open_for_s: float = 5.0) -> None:
        self._allowed = failures
        self._open_for_s = open_for_s
        self._failures = 0
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        return time.monotonic() < self._open_until

    def succeeded(self) -> None:
        self._failures = 0
        self._open_until = 0.0

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= self._allowed:
            self._open_until = time.monotonic() + self._open_for_s


class ProviderCaller:
    """Makes the calls to one provider for its activities.

    With `try_locally` off every local try is handed over to the regular activity at once.
    """

    def __init__(
        self, books: "Books", *, try_locally: bool, settling_window_s: float, metrics: WorkerMetrics = UNSEEN
    ) -> None:
        self._books = books
        self._metrics = metrics
        self._try_locally = try_locally
        self._settling_window = timedelta(seconds=settling_window_s)
        self._breaker = CircuitBreaker()

    async def call(
        self,
        announced: ProviderStep[Any],
        make: Callable[[Step, float | None], Awaitable[str]],
        *,
        find: Callable[[], Awaitable[str | None]] | None = None,
    ) -> str:
        """Make the call and return the provider's id of its effect.

        `make` gets the step with the key to use and the time-out to keep to (None: the provider's own). `find` looks
        for the effect when repeating the call can tell no more.

        Raises CallRefused, NeverHappened, or an ApplicationError that has Temporal try again.
        """
        local = activity.info().is_local
        if local and (self._breaker.is_open or not self._try_locally):
            raise ApplicationError(
                "left to the regular activity",
                type="handed_over",
                non_retryable=True,
                category=ApplicationErrorCategory.BENIGN,
            )
        # An earlier attempt of a regular activity may have announced a new key.
        step = announced.step if local else await self._current_step(announced)
        if step.outcome is StepOutcome.SUCCEEDED and step.reference is not None:
            # An attempt that was lost has booked it, or an event of the provider has: there is no doubt to settle.
            return step.reference
        try:
            effect = await self._counted(step, make(step, LOCAL_TIMEOUT_S if local else None))
        except ProviderRefused as no:
            self._breaker.succeeded()
            raise CallRefused(step, str(no)) from no
        except ProviderNeedsSearch as doubt:
            self._breaker.succeeded()
            if local or find is None:
                raise try_again(doubt, "provider_silent") from doubt
            return await self._search(find, step, doubt)
        except ProviderFailed as error:
            self._breaker.failed()
            raise try_again(error, "provider_failed", error.retry_after_s) from error
        except ProviderSilent as error:
            self._breaker.failed()
            raise try_again(error, "provider_silent") from error
        self._breaker.succeeded()
        return effect

    async def _counted(self, step: Step, call: Awaitable[str]) -> str:
        with self._metrics.provider_call(step.name) as counted:
            try:
                effect = await call
            except tuple(COUNTED_AS) as error:
                counted.outcome = COUNTED_AS[type(error)]
                raise
            counted.outcome = "succeeded"
            return effect

    async def _current_step(self, announced: ProviderStep[Any]) -> Step:
        return await self._books.step(announced.order_id, announced.step.name, announced.step.fulfilment)

    async def _search(self, find: Callable[[], Awaitable[str | None]], step: Step, doubt: ProviderNeedsSearch) -> str:
        """Look for an effect that repeating cannot show.

        A provider's search lags behind, so absence counts only when the doubt is older than the settling window. The
        attempts of an activity hand its age on in their heartbeats.
        """
        key, since = (*activity.info().heartbeat_details, None, None)[:2]
        if key != step.key:
            since = datetime.now(UTC).isoformat()
        activity.heartbeat(step.key, since)
        try:
            effect = await find()
        except ProviderRefused as no:
            raise CallRefused(step, str(no)) from no
        except (ProviderFailed, ProviderSilent) as error:
            raise try_again(error, "provider_silent") from error
        if effect is not None:
            return effect
        if datetime.now(UTC) - datetime.fromisoformat(str(since)) < self._settling_window:
            raise try_again(doubt, "provider_silent")
        raise NeverHappened(step)


def is_awaited(order: "OpenOrder", step: Step) -> bool:
    """Whether the outcome of a call is still to be booked.

    The attempt of a regular activity that ends after its order was parked is one that the workflow has given up on:
    its outcome stays unknown until the operator has the order go on, or books and workflow would part.
    """
    given_up = order.status is OrderStatus.NEEDS_ATTENTION and not activity.info().is_local
    return order.phase is not Phase.CLOSED and order.step(step.name, step.fulfilment).outcome is None and not given_up


async def renew_key(books: "Books", announced: ProviderStep[Any], spent: Step) -> Progress:
    """Announce the call under a new key, since it is known to have had no effect under the spent one.

    A provider answers the old key with its old answer. Once the fulfilment goes back, a charge needs no new key.
    """
    async with books.order(announced.order_id) as order:
        if order.fulfilment(spent.fulfilment).goes_forward or spent.name in (StepName.CANCEL_SHIPMENT, StepName.REFUND):
            order.announce_again(spent, attempt_time(announced.at))
        return order.progress(announced.known, fulfilment=announced.step.fulfilment)


def refusal(code: str, message: str, progress: Progress) -> ApplicationError:
    """A business refusal: it is booked, it is not retried, and the workflow learns where the books stand."""
    return ApplicationError(message, progress, type=code, non_retryable=True, category=ApplicationErrorCategory.BENIGN)


def try_again(error: Exception, kind: str, after_s: float | None = None) -> ApplicationError:
    """Trouble that passes; tried again `after_s` seconds when the provider asked for that.

    Temporal's retries have no jitter of their own, so the delay is set here: doubling, capped, spread by a fifth.
    """
    info = activity.info()
    if after_s is None:
        after_s = min(FIRST_RETRY_S * 2 ** (info.attempt - 1), LONGEST_RETRY_S) * random.uniform(0.8, 1.0)  # noqa: S311
    log.warning("provider call failed", kind=kind, error=str(error), retry_in_s=round(after_s, 1))
    # The line above is all there is to log: a stack trace of ours explains nothing about a provider's trouble.
    return ApplicationError(
        str(error),
        type=kind,
        next_retry_delay=timedelta(seconds=after_s),
        category=ApplicationErrorCategory.BENIGN,
    )
