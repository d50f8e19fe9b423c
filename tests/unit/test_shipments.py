"""What our books make of a step, whatever the order in which a carrier tells them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.inbound import InboundEvent, InboundProvider
from contracts.shipments import (
    JOURNEY,
    CarrierRecord,
    ShipmentStatus,
    TrackingOutcome,
    TrackingStep,
    in_order_of_journey,
    verdict_on,
)
from providers.carrier_events import read_event

BOOKED, DISPATCHED, DELIVERED = JOURNEY
CANCELLED = ShipmentStatus.CANCELLED
APPLIED, DUPLICATE, REFUSED, KEPT = (
    TrackingOutcome.APPLIED,
    TrackingOutcome.DUPLICATE,
    TrackingOutcome.REFUSED,
    TrackingOutcome.KEPT,
)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

# The table of docs/orders.md.
TABLE = {
    BOOKED: {"booked": DUPLICATE, "dispatched": APPLIED, "delivered": KEPT, "cancelled": REFUSED, "lost": REFUSED},
    DISPATCHED: {
        "booked": REFUSED,
        "dispatched": DUPLICATE,
        "delivered": APPLIED,
        "cancelled": REFUSED,
        "lost": REFUSED,
    },
    DELIVERED: {
        "booked": REFUSED,
        "dispatched": REFUSED,
        "delivered": DUPLICATE,
        "cancelled": REFUSED,
        "lost": REFUSED,
    },
    CANCELLED: {
        "booked": REFUSED,
        "dispatched": REFUSED,
        "delivered": REFUSED,
        "cancelled": DUPLICATE,
        "lost": REFUSED,
    },
}


@pytest.mark.parametrize("status", TABLE)
@pytest.mark.parametrize("step", TABLE[BOOKED])
def test_a_step_is_decided_by_how_far_the_parcel_is(status: ShipmentStatus, step: str) -> None:
    verdict = verdict_on(step, status, is_on_record=False)

    assert verdict.outcome is TABLE[status][step]
    assert (verdict.reason is None) == (verdict.outcome is APPLIED)


def test_only_an_early_step_is_believed_for_being_on_record() -> None:
    for status, row in TABLE.items():
        for step, outcome in row.items():
            expected = APPLIED if outcome is KEPT else outcome
            assert verdict_on(step, status, is_on_record=True).outcome is expected


@given(st.lists(st.sampled_from(["booked", "dispatched", "delivered", "lost"])))
def test_a_parcel_never_goes_back_and_skips_nothing(steps: list[str]) -> None:
    status = BOOKED
    for step in steps:
        if verdict_on(step, status, is_on_record=False).outcome is APPLIED:
            assert JOURNEY.index(ShipmentStatus(step)) == JOURNEY.index(status) + 1
            status = ShipmentStatus(step)
        else:
            assert verdict_on(step, status, is_on_record=False).reason


@given(st.permutations(["dispatched", "delivered", "dispatched", "delivered", "lost"]))
def test_in_order_of_the_journey_all_that_was_told_arrives(steps: list[str]) -> None:
    status = BOOKED
    for step in sorted(steps, key=in_order_of_journey):
        if verdict_on(step, status, is_on_record=False).outcome is APPLIED:
            status = ShipmentStatus(step)

    assert status is DELIVERED


@pytest.mark.parametrize(
    ("record", "steps"),
    [
        (CarrierRecord(status="booked"), {}),
        (CarrierRecord(status="dispatched"), {"dispatched": NOON}),
        (CarrierRecord(status="delivered"), {"delivered": NOON}),
        (CarrierRecord(status="in_transit"), {"in_transit": NOON}),
        (CarrierRecord(status="cancelled"), {"cancelled": NOON}),
        (
            CarrierRecord(status="delivered", dispatched_at=NOON.replace(hour=8), delivered_at=NOON.replace(hour=9)),
            {"dispatched": NOON.replace(hour=8), "delivered": NOON.replace(hour=9)},
        ),
    ],
    ids=lambda value: str(value),
)
def test_a_record_tells_the_steps_that_have_been(record: CarrierRecord, steps: dict[str, datetime]) -> None:
    assert record.steps(asked_at=NOON) == steps


def an_event(kind: str, body: str) -> InboundEvent:
    return InboundEvent(provider=InboundProvider.CARRIER, id="evt_1", type=kind, body=body)


def test_an_event_tells_a_step() -> None:
    body = """{"type": "shipment.dispatched", "timestamp": "2026-11-21T12:00:00Z",
        "data": {"shipment_id": "shp_1", "order_id": "ord_1", "reference": "ord_1-1", "more": null}}"""

    step = read_event(an_event("shipment.dispatched", body))

    assert step == TrackingStep(
        source="webhook", event_id="evt_1", carrier_id="shp_1", step="dispatched", occurred_at=NOON
    )


@pytest.mark.parametrize("kind", ["moon.risen", "shipment", "shipment.", "shipments.dispatched"])
def test_an_event_of_another_kind_tells_none(kind: str) -> None:
    assert read_event(an_event(kind, "no JSON at all")) is None


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "{}",
        '{"timestamp": "2026-11-21T12:00:00Z", "data": {"id": "shp_1"}}',
        '{"timestamp": "2026-11-21T12:00:00", "data": {"shipment_id": "shp_1"}}',
        '{"timestamp": "0001-01-01T00:00:00+14:00", "data": {"shipment_id": "shp_1"}}',
        '{"timestamp": "9999-12-31T23:59:59-14:00", "data": {"shipment_id": "shp_1"}}',
        '{"timestamp": "2026-11-21T12:00:00Z", "data": {"shipment_id": "shp\\u0000"}}',
    ],
)
def test_an_event_that_is_not_as_documented_is_an_error(body: str) -> None:
    with pytest.raises(ValidationError):
        read_event(an_event("shipment.dispatched", body))
