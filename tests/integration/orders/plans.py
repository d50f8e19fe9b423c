"""Random plans of what goes wrong with an order, and who interferes with it."""

from dataclasses import dataclass
from enum import StrEnum

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

BEHAVIOURS = ("decline", "error_before", "error_after", "timeout_after", "slow", "rate_limit", "unavailable")
DELAYS_S = (0.1, 0.6, 1.4, 1.9, 2.3)


class Approval(StrEnum):
    """What an operator says to an order over the threshold; `absent` orders are below it."""

    ABSENT = "absent"
    EARLY = "early"
    GIVEN = "given"
    REFUSED = "refused"
    TIMES_OUT = "times_out"


class Shortage(StrEnum):
    """What the customer says to an order that lacks a unit; `absent` orders lack nothing."""

    ABSENT = "absent"
    AMENDED = "amended"
    DECLINED = "declined"
    UNANSWERED = "unanswered"


class CancelBy(StrEnum):
    """The customer's way and that of the Web UI's button."""

    UPDATE = "update"
    HANDLE = "handle"


class Operator(StrEnum):
    """What an operator does with an order that is parked on its way forward."""

    RETRY = "retry"
    CANCEL = "cancel"
    RESOLVE_CANCELLED = "resolve_cancelled"
    RESOLVE_REJECTED = "resolve_rejected"
    RESOLVE_COMPLETED = "resolve_completed"
    RESOLVE_PARTIALLY_COMPLETED = "resolve_partially_completed"


@dataclass(frozen=True)
class Fault:
    """A provider misbehaves this often; `delay_s` counts for slow answers and rate limits.

    It is the order's requests that meet it, or those of one of its fulfilments.
    """

    operation: str
    behaviour: str
    times: int
    delay_s: float
    fulfilment: int | None


@dataclass(frozen=True)
class Cancel:
    """A cancel as soon as providers have answered `after_requests` of the order, repeats included."""

    by: CancelBy
    after_requests: int


@dataclass(frozen=True)
class Plan:
    """One order's bad day, and the journey of what is sent of it afterwards.

    It wants all that its warehouses have, the `stock` of each, and one more if it is short.
    """

    faults: tuple[Fault, ...]
    stock: tuple[int, ...]
    shortage: Shortage
    moves: bool
    approval: Approval
    cancel: Cancel | None
    operators: tuple[Operator, ...]
    retry_window_s: int
    journey: tuple[str, ...]

    @property
    def warehouses(self) -> dict[str, int]:
        return {f"wh_{number}": units for number, units in enumerate(self.stock, start=1)}

    @property
    def wanted(self) -> int:
        return sum(self.stock) + (self.shortage is not Shortage.ABSENT)


def _fault(*operations: str) -> st.SearchStrategy[Fault]:
    return st.builds(
        Fault,
        operation=st.sampled_from(operations),
        behaviour=st.sampled_from(BEHAVIOURS),
        times=st.integers(1, 2),
        delay_s=st.sampled_from(DELAYS_S),
        fulfilment=st.sampled_from((None, None, 1, 2)),
    )


PLANS = st.builds(
    Plan,
    # The first is met by every order that is not stopped before; those on the way back wait for orders that turn.
    faults=st.builds(
        lambda first, more: (first, *more),
        _fault("charge", "ship"),
        st.lists(_fault("charge", "ship", "refund", "cancel_shipment"), max_size=3),
    ),
    stock=st.sampled_from(((1,), (2,), (1, 2), (2, 1), (1, 1, 1))),
    shortage=st.sampled_from((*(Shortage.ABSENT,) * 16, *Shortage)),
    moves=st.sampled_from((False, False, True)),
    approval=st.sampled_from((*(Approval.ABSENT,) * 8, *Approval)),
    cancel=st.none() | st.builds(Cancel, by=st.sampled_from(CancelBy), after_requests=st.integers(0, 4)),
    operators=st.lists(st.sampled_from(Operator), max_size=3).map(tuple),
    retry_window_s=st.sampled_from((1, 2)),
    journey=st.sampled_from(
        (
            *((),) * 4,
            ("dispatched", "delivered"),
            ("delivered", "dispatched"),
            ("dispatched", "dispatched", "delivered", "delivered"),
            ("delivered", "lost", "dispatched", "delivered"),
        )
    ),
)


def draw(number: int) -> list[Plan]:
    """This many different plans, always the same ones."""
    drawn: dict[Plan, None] = {}

    @settings(
        max_examples=number * 2,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(PLANS)
    def collect(plan: Plan) -> None:
        drawn.setdefault(plan)

    collect()
    return list(drawn)[:number]
