"""Shipments take the journeys that they are told to, and the carrier tells of each step as Standard Webhooks has it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from providers.webhook_signing import new_secret
from tests.integration.sandbox.conftest import Sandbox, running_sandbox
from tests.webhooks import Hook, answer, hook

SECRET = new_secret()
WITHIN_S = 20


@pytest.fixture
async def receiver() -> AsyncIterator[Hook]:
    async with hook() as opened:
        yield opened


@pytest.fixture
async def telling(receiver: Hook, tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A sandbox whose carrier tells this receiver."""
    async with running_sandbox(
        tmp_path / "ledger.sqlite",
        *("--carrier-webhooks-to", receiver.url()),
        FOLLOWTHROUGH_CARRIER_WEBHOOK_SECRET=SECRET,
    ) as running:
        yield running


async def test_a_shipment_stands_still_until_it_is_told_to_travel(sandbox: Sandbox, order_id: str) -> None:
    shipment = (await sandbox.ship(order_id, reference=f"{order_id}-1")).json()

    assert await sandbox.track(shipment["id"]) == shipment
    assert (shipment["status"], shipment["reference"]) == ("booked", f"{order_id}-1")
    assert shipment["dispatched_at"] is shipment["delivered_at"] is None
    assert await sandbox.tracking(order_id) == []


async def test_a_journey_moves_the_shipment_and_keeps_the_times(sandbox: Sandbox, order_id: str) -> None:
    shipment = (await sandbox.ship(order_id)).json()

    await sandbox.travels(shipment["id"], "dispatched", "delivered", delay_s=0.05)

    [dispatched, delivered] = await sandbox.has_taken(order_id, 2)
    arrived = await sandbox.track(shipment["id"])
    assert arrived == {
        **shipment,
        "status": "delivered",
        "dispatched_at": dispatched["occurred_at"],
        "delivered_at": delivered["occurred_at"],
    }
    assert dispatched["occurred_at"] < delivered["occurred_at"]
    assert [row["status"] for row in (await sandbox.effects(order_id))["shipments"]] == ["delivered"]


async def test_whatever_is_told_the_parcel_goes_forward_only(sandbox: Sandbox, order_id: str) -> None:
    shipment = (await sandbox.ship(order_id)).json()

    await sandbox.travels(order_id, "delivered", "dispatched", "booked", "teleported")

    taken = await sandbox.has_taken(order_id, 4)
    arrived = await sandbox.track(shipment["id"])
    assert arrived["status"] == "delivered"
    assert arrived["dispatched_at"] == arrived["delivered_at"]
    assert [row["step"] for row in taken] == ["delivered", "dispatched", "booked", "teleported"]
    assert [row["occurred_at"] for row in taken[:3]] == [
        arrived["delivered_at"],
        arrived["dispatched_at"],
        shipment["created_at"],
    ]


@pytest.mark.parametrize("name", ["order", "reference", "everything"])
async def test_shipments_that_are_booked_later_travel_too(telling: Sandbox, order_id: str, name: str) -> None:
    match = {"order": order_id, "reference": f"{order_id}-1", "everything": "*"}[name]
    await telling.travels(match, "dispatched", times=1)

    first = (await telling.ship(order_id, reference=f"{order_id}-1")).json()
    second = (await telling.ship(order_id, f"{order_id}/again", reference=f"{order_id}-1")).json()

    await telling.has_taken(order_id, 1)
    assert (await telling.track(first["id"]))["status"] == "dispatched"
    assert (await telling.track(second["id"]))["status"] == "booked"


async def test_cleared_plans_are_forgotten_and_journeys_end_where_they_are(sandbox: Sandbox, order_id: str) -> None:
    shipment = (await sandbox.ship(order_id)).json()
    await sandbox.travels(order_id, "dispatched", "delivered", delay_s=60)
    await sandbox.has_taken(order_id, 1)

    assert (await sandbox.http.delete("/journeys")).status_code == 204

    later = (await sandbox.ship(order_id, f"{order_id}/later")).json()
    assert (await sandbox.track(shipment["id"]))["status"] == "dispatched"
    assert (await sandbox.track(later["id"]))["status"] == "booked"


async def test_each_step_is_told_signed_and_in_order(telling: Sandbox, receiver: Hook, order_id: str) -> None:
    shipment = (await telling.ship(order_id, reference=f"{order_id}-1")).json()

    await telling.travels(order_id, "delivered", "dispatched", "teleported")

    messages = await receiver.until_got(3)
    about = {"shipment_id": shipment["id"], "order_id": order_id, "reference": f"{order_id}-1"}
    told = await telling.tracking(order_id)
    assert [message.verified(SECRET) for message in messages] == [
        {"type": f"shipment.{row['step']}", "timestamp": row["occurred_at"], "data": about} for row in told
    ]
    assert [message.webhook_id for message in messages] == [row["event_id"] for row in told]


async def test_copies_have_one_id_and_a_step_that_is_repeated_another(
    telling: Sandbox, receiver: Hook, order_id: str
) -> None:
    await telling.ship(order_id)

    await telling.travels(order_id, "dispatched", "dispatched", copies=3)

    messages = await receiver.until_got(6)
    ids = [message.webhook_id for message in messages]
    assert ids[:3] == ids[:1] * 3
    assert ids[3:] == ids[3:4] * 3
    assert ids[0] != ids[3]


async def test_what_is_not_received_is_sent_again_under_its_id(tmp_path: Path, order_id: str) -> None:
    async with (
        hook(answer(503), answer(500), answer(200)) as receiver,
        running_sandbox(
            tmp_path / "ledger.sqlite",
            *("--carrier-webhooks-to", receiver.url()),
            FOLLOWTHROUGH_CARRIER_WEBHOOK_SECRET=SECRET,
        ) as telling,
    ):
        await telling.ship(order_id)
        await telling.travels(order_id, "dispatched")

        messages = await receiver.until_got(3)

        assert len({message.webhook_id for message in messages}) == 1
        async with asyncio.timeout(WITHIN_S):
            while (told := await telling.tracking(order_id))[0]["answer"] != 200:
                pass
        assert told[0]["sent"] == 3


async def test_a_silent_journey_tells_nobody(telling: Sandbox, receiver: Hook, order_id: str) -> None:
    shipment = (await telling.ship(order_id)).json()

    await telling.travels(order_id, "dispatched", silent=True)
    await telling.has_taken(order_id, 1)

    assert (await telling.track(shipment["id"]))["status"] == "dispatched"
    await telling.travels(order_id, "delivered")
    [message] = await receiver.until_got(1)
    assert message.verified(SECRET)["type"] == "shipment.delivered"


async def test_a_parcel_on_its_way_cannot_be_called_back(sandbox: Sandbox, order_id: str) -> None:
    shipment = (await sandbox.ship(order_id)).json()
    await sandbox.travels(order_id, "dispatched")
    await sandbox.has_taken(order_id, 1)

    refused = await sandbox.cancel(order_id, shipment["id"])

    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "already_dispatched")
    assert (await sandbox.track(shipment["id"]))["status"] == "dispatched"


async def test_a_parcel_that_was_called_back_goes_nowhere(sandbox: Sandbox, order_id: str) -> None:
    shipment = (await sandbox.ship(order_id)).json()
    await sandbox.cancel(order_id, shipment["id"])

    await sandbox.travels(order_id, "dispatched")

    await sandbox.has_taken(order_id, 1)
    assert await sandbox.track(shipment["id"]) == {**shipment, "status": "cancelled"}


async def test_asking_where_a_shipment_is_can_fail_too(sandbox: Sandbox, order_id: str) -> None:
    shipment = (await sandbox.ship(order_id)).json()
    await sandbox.fault(order_id, "carrier", "track", "unavailable")

    answers = [await sandbox.http.get(f"/carrier/v1/shipments/{shipment['id']}") for _ in range(2)]

    assert [found.status_code for found in answers] == [503, 200]
    asked = await sandbox.requests(order_id, operation="track")
    assert [(row["fault"], row["status"]) for row in asked] == [("unavailable", 503), (None, 200)]
    assert (await sandbox.http.get("/carrier/v1/shipments/shp_unknown")).status_code == 404


async def test_a_stop_ends_journeys_and_attempts_at_once(tmp_path: Path, order_id: str) -> None:
    async with (
        hook(answer(503)) as receiver,
        running_sandbox(
            tmp_path / "ledger.sqlite",
            *("--carrier-webhooks-to", receiver.url()),
            FOLLOWTHROUGH_CARRIER_WEBHOOK_SECRET=SECRET,
        ) as telling,
    ):
        await telling.ship(order_id)
        await telling.travels(order_id, "dispatched", "delivered", delay_s=60)
        await telling.ship(order_id, f"{order_id}/silent")
        await telling.travels(order_id, "dispatched", "delivered", delay_s=60, silent=True)
        await receiver.until(lambda messages: len(messages) >= 3)

        telling.process.terminate()

        async with asyncio.timeout(WITHIN_S):
            assert await telling.process.wait() == 0


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"steps": []}, "steps"),
        ({"steps": "dispatched"}, "steps"),
        ({"steps": ["Two Words"]}, "steps.0"),
        ({"delay_s": -1}, "delay_s"),
        ({"copies": 0}, "copies"),
        ({"times": 0}, "times"),
        ({"match": ""}, "match"),
        ({"silent": "yes"}, "silent"),
        ({"stpes": ["dispatched"]}, "stpes"),
    ],
)
async def test_a_bad_plan_is_refused_by_field(sandbox: Sandbox, changed: dict[str, object], field: str) -> None:
    response = await sandbox.http.post("/journeys", json={"match": "ord_none", "steps": ["dispatched"], **changed})

    assert response.status_code == 422
    assert [wrong["field"] for wrong in response.json()["error"]["fields"]] == [field]
