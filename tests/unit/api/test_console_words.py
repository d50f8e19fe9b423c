"""The console's words: each of our codes has some, what is left is said as our books have it, and all is escaped."""

from datetime import UTC, datetime

import pytest

from api.console_deeds import (
    ENDPOINT_DEEDS,
    JOB_DEEDS,
    MAIL_DEEDS,
    ORDER_DEEDS,
    SCHEDULE_DEEDS,
    LetterDeed,
    OrderDeed,
    ScheduleDeed,
)
from api.console_ids import page_of
from api.console_page import ATTENTION, LETTERS, OUTCOMES, REASONS, STEPS, rendered
from api.order_resource import OrderResource
from api.order_standing import deeds_for, what_is_left
from api.temporal_links import TemporalLinks
from contracts.attention import AttentionKind
from contracts.dead_letters import DeadLetterKind
from contracts.fulfilments import Fulfilment, FulfilmentStatus, OrderLine
from contracts.money import Money
from contracts.orders import EventType, Order, OrderStatus, Phase, TimelineEntry
from contracts.steps import Step, StepName, StepOutcome

AT = datetime(2026, 3, 1, tzinfo=UTC)
ID = "ord_3ZGVBHQ8S1KX5M7T2N4R6W8Y0C"
CHARGE, SHIP, CALL_BACK, REFUND = StepName.CHARGE, StepName.SHIP, StepName.CANCEL_SHIPMENT, StepName.REFUND


def order(
    steps: dict[StepName, StepOutcome | None] | None = None,
    *,
    status: OrderStatus = OrderStatus.NEEDS_ATTENTION,
    undoing: bool = False,
    detail: str = "",
) -> Order:
    line = OrderLine(sku="TEE", name="T-shirt", quantity=2, unit_price=Money(amount=1_999))
    return Order(
        id=ID,
        customer_id="ada",
        status=status,
        phase=Phase.UNDOING if undoing else Phase.FORWARD,
        lines=(line,),
        total=Money(amount=3_998),
        ship_to=None,
        fulfilments=(
            Fulfilment(
                number=1,
                warehouse="wh_default",
                lines=(line,),
                status=FulfilmentStatus.PROCESSING,
                ends_as=FulfilmentStatus.FAILED if undoing else None,
            ),
        ),
        timeline=(TimelineEntry(sequence=1, at=AT, type=EventType.NEEDS_ATTENTION, detail=detail),),
        steps=tuple(Step(name=name, key=name, begun_at=AT, outcome=how) for name, how in (steps or {}).items()),
        created_at=AT,
        updated_at=AT,
    )


def test_every_code_has_words() -> None:
    assert LETTERS.keys() == set(DeadLetterKind)
    assert STEPS.keys() == set(StepName)
    assert OUTCOMES.keys() == {*StepOutcome, None}
    assert ATTENTION.keys() == set(AttentionKind)
    assert {f"stuck_at_{step}" for step in StepName} <= REASONS.keys()
    assert ORDER_DEEDS.keys() == set(OrderDeed)
    assert SCHEDULE_DEEDS.keys() == set(ScheduleDeed)
    assert JOB_DEEDS.keys() == MAIL_DEEDS.keys() == ENDPOINT_DEEDS.keys() == set(LetterDeed)


DONE = StepOutcome.SUCCEEDED
BACK = "Put the items back into stock."


@pytest.mark.parametrize(
    ("steps", "undoing", "left"),
    [
        ({}, False, ["Charge 39.98 USD.", "Ship the parcel."]),
        ({CHARGE: DONE, SHIP: None}, False, ["Ship the parcel."]),
        ({CHARGE: DONE, SHIP: DONE}, True, ["Call the shipment back.", "Refund 39.98 USD.", BACK]),
        ({CHARGE: DONE, SHIP: StepOutcome.REFUSED}, True, ["Refund 39.98 USD.", BACK]),
        ({CHARGE: DONE, REFUND: DONE}, True, [BACK]),
        ({CHARGE: StepOutcome.REFUSED}, True, [BACK]),
        (
            {CHARGE: None},
            True,
            ["Find out whether the card was charged, and if so refund 39.98 USD.", BACK],
        ),
        (
            {CHARGE: DONE, SHIP: None, CALL_BACK: None},
            True,
            ["Find out whether the carrier has the parcel, and if so call it back.", "Refund 39.98 USD.", BACK],
        ),
    ],
)
def test_what_is_left_is_what_our_books_have_not_settled(
    steps: dict[StepName, StepOutcome | None], undoing: bool, left: list[str]
) -> None:
    assert what_is_left(order(steps, undoing=undoing)) == left


def test_what_may_be_done_depends_on_how_it_stands() -> None:
    mend = (OrderDeed.RETRY, OrderDeed.RESOLVE)
    assert deeds_for(order()) == (*mend, OrderDeed.CANCEL)
    assert deeds_for(order(undoing=True)) == mend
    assert deeds_for(order(status=OrderStatus.AWAITING_APPROVAL))[:2] == (OrderDeed.APPROVE, OrderDeed.REJECT)
    assert deeds_for(order(status=OrderStatus.PROCESSING)) == (OrderDeed.CANCEL,)
    assert deeds_for(order({SHIP: None}, status=OrderStatus.PROCESSING)) == ()
    assert deeds_for(order(status=OrderStatus.COMPLETED)) == ()


@pytest.mark.parametrize(
    ("id", "where"),
    [
        (ID, f"/console/orders/{ID}"),
        (f"{ID}-2", f"/console/orders/{ID}"),
        (ID.replace("ord", "job"), f"/console/jobs/{ID.replace('ord', 'job')}"),
        (ID.replace("ord", "bat"), f"/console/batches/{ID.replace('ord', 'bat')}"),
        (ID.replace("ord", "acct"), f"/console/accounts/{ID.replace('ord', 'acct')}"),
        (ID.replace("ord", "rpt"), f"/console/reports/{ID.replace('ord', 'rpt')}"),
        (ID.replace("ord", "whe"), f"/console/webhooks/{ID.replace('ord', 'whe')}"),
        (ID.replace("ord", "whd"), f"/console/deliveries/{ID.replace('ord', 'whd')}"),
        (ID.lower(), None),
        (f"{ID}/x", None),
        ("//evil.example", None),
        ("", None),
        (None, None),
    ],
)
def test_an_id_has_a_page_and_nothing_else_has(id: str | None, where: str | None) -> None:  # noqa: A002
    assert page_of(id) == where


def test_links_into_the_web_ui_name_the_workflow_and_are_left_out_without_one() -> None:
    links = TemporalLinks("https://temporal.example.com/", "followthrough")

    assert links.of_order(ID) == f"https://temporal.example.com/namespaces/followthrough/workflows/order%2F{ID}"
    assert TemporalLinks(None, "followthrough").of_order(ID) is None


def test_what_people_and_systems_said_is_escaped() -> None:
    found = order({SHIP: None}, detail="<script>alert(1)</script>")

    text = rendered(
        "order_now.html",
        None,
        order=found,
        resource=OrderResource.from_projection(found),
        why=found.timeline[0].detail,
        left=(),
        deeds=(),
        pending=(),
        web_ui=None,
        audit=_NoAudit(),
    )

    assert "<script>" not in text
    assert text.count("&lt;script&gt;") == 2


class _NoAudit:
    items = ()
    next_cursor = None
