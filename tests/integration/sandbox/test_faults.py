"""Every behaviour on every operation: what the client sees, what the ledger holds, what a repeat gets."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.integration.sandbox.conftest import Json, Sandbox

Request = Callable[[], Awaitable[httpx.Response]]

OPERATIONS = [("payments", "charge"), ("payments", "refund"), ("carrier", "ship"), ("carrier", "cancel_shipment")]
every_operation = pytest.mark.parametrize(("provider", "operation"), OPERATIONS)


async def ready_to(sandbox: Sandbox, operation: str, order_id: str) -> Request:
    """Do what has to come before the operation, and return the request for it; repeats use the same key."""
    match operation:
        case "charge":
            return lambda: sandbox.charge(order_id)
        case "refund":
            intent = (await sandbox.charge(order_id)).json()["id"]
            return lambda: sandbox.refund(order_id, intent)
        case "ship":
            return lambda: sandbox.ship(order_id)
        case _:
            shipment = (await sandbox.ship(order_id)).json()["id"]
            return lambda: sandbox.cancel(order_id, shipment)


async def happened(sandbox: Sandbox, operation: str, order_id: str) -> int:
    """How often the operation took effect."""
    effects = await sandbox.effects(order_id)
    match operation:
        case "charge":
            return len(effects["charges"])
        case "refund":
            return len(effects["refunds"])
        case "ship":
            return len(effects["shipments"])
        case _:
            return [shipment["status"] for shipment in effects["shipments"]].count("cancelled")


async def logged(sandbox: Sandbox, operation: str, order_id: str) -> list[tuple[str | None, int | None, bool]]:
    seen = await sandbox.requests(order_id, operation=operation)
    return [(request["fault"], request["status"], request["replayed"]) for request in seen]


@every_operation
@pytest.mark.parametrize(("behaviour", "status"), [("error_before", 500), ("rate_limit", 429), ("unavailable", 503)])
async def test_turned_away_at_the_door_nothing_happens_and_a_repeat_works(
    sandbox: Sandbox, order_id: str, provider: str, operation: str, behaviour: str, status: int
) -> None:
    request = await ready_to(sandbox, operation, order_id)
    await sandbox.fault(order_id, provider, operation, behaviour, times=2)

    refused = [await request(), await request()]
    effects_so_far = await happened(sandbox, operation, order_id)
    done = await request()

    assert [response.status_code for response in refused] == [status, status]
    assert effects_so_far == 0
    assert done.is_success
    assert await happened(sandbox, operation, order_id) == 1
    assert await logged(sandbox, operation, order_id) == [
        (behaviour, status, False),
        (behaviour, status, False),
        (None, done.status_code, False),
    ]


@every_operation
@pytest.mark.parametrize(("asked", "header"), [({}, "1"), ({"delay_s": 0.05}, "1"), ({"delay_s": 2.5}, "3")])
async def test_a_rate_limit_says_when_to_come_back_in_whole_seconds(
    sandbox: Sandbox, order_id: str, provider: str, operation: str, asked: Json, header: str
) -> None:
    request = await ready_to(sandbox, operation, order_id)
    await sandbox.fault(order_id, provider, operation, "rate_limit", **asked)

    assert (await request()).headers["Retry-After"] == header


@pytest.mark.parametrize(
    ("provider", "operation", "status", "code", "stored"),
    [
        ("payments", "charge", 402, "card_declined", True),
        ("payments", "refund", 400, "charge_disputed", True),
        ("carrier", "ship", 422, "address_undeliverable", True),
        ("carrier", "cancel_shipment", 409, "already_dispatched", False),
    ],
)
async def test_a_decline_has_no_effect(
    sandbox: Sandbox, order_id: str, provider: str, operation: str, status: int, code: str, stored: bool
) -> None:
    request = await ready_to(sandbox, operation, order_id)
    await sandbox.fault(order_id, provider, operation, "decline")

    declined = await request()

    assert (declined.status_code, declined.json()["error"]["code"]) == (status, code)
    assert await happened(sandbox, operation, order_id) == 0
    # A parcel is asked about anew each time; every other refusal stays one under its key.
    assert (await request()).status_code == (status if stored else 200)
    assert await happened(sandbox, operation, order_id) == (0 if stored else 1)
    assert (await logged(sandbox, operation, order_id))[0] == ("decline", status, False)


@pytest.mark.parametrize("operation", ["charge", "refund"])
async def test_a_payment_error_after_the_effect_is_replayed_so_only_a_search_tells(
    sandbox: Sandbox, order_id: str, operation: str
) -> None:
    request = await ready_to(sandbox, operation, order_id)
    await sandbox.fault(order_id, "payments", operation, "error_after")

    broken, again = await request(), await request()

    assert (broken.status_code, again.status_code) == (500, 500)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == broken.json()
    assert await happened(sandbox, operation, order_id) == 1
    assert await logged(sandbox, operation, order_id) == [("error_after", 500, False), (None, 500, True)]
    [intent] = await sandbox.search(order_id)
    refunds = await sandbox.http.get("/payments/v1/refunds", params={"payment_intent": intent["id"]})
    assert len(refunds.json()["data"]) == (operation == "refund")


@pytest.mark.parametrize("operation", ["ship", "cancel_shipment"])
async def test_a_carrier_error_after_the_effect_is_settled_by_a_repeat(
    sandbox: Sandbox, order_id: str, operation: str
) -> None:
    request = await ready_to(sandbox, operation, order_id)
    await sandbox.fault(order_id, "carrier", operation, "error_after", times=2)

    statuses = [(await request()).status_code for _ in range(3)]

    assert statuses == [500, 500, 200]
    assert await happened(sandbox, operation, order_id) == 1
    assert await logged(sandbox, operation, order_id) == [
        ("error_after", 500, False),
        ("error_after", 500, True),
        (None, 200, True),
    ]


@every_operation
async def test_silence_comes_after_the_effect_and_a_repeat_gets_the_answer(
    sandbox: Sandbox, order_id: str, provider: str, operation: str
) -> None:
    request = await ready_to(sandbox, operation, order_id)
    silence = await sandbox.fault(order_id, provider, operation, "timeout_after")
    unanswered = asyncio.ensure_future(request())
    await sandbox.has_fired(silence)

    repeated = await request()

    assert not unanswered.done()
    assert repeated.status_code == 200
    assert await happened(sandbox, operation, order_id) == 1
    assert await logged(sandbox, operation, order_id) == [("timeout_after", None, False), (None, 200, True)]
    unanswered.cancel()
    with pytest.raises(asyncio.CancelledError):
        await unanswered


@every_operation
async def test_a_client_that_outlasts_the_silence_gets_a_gateways_answer(
    sandbox: Sandbox, order_id: str, provider: str, operation: str
) -> None:
    request = await ready_to(sandbox, operation, order_id)
    await sandbox.fault(order_id, provider, operation, "timeout_after", delay_s=0.05)

    assert (await request()).status_code == 504
    assert await happened(sandbox, operation, order_id) == 1


@every_operation
async def test_a_slow_answer_is_a_normal_one(sandbox: Sandbox, order_id: str, provider: str, operation: str) -> None:
    request = await ready_to(sandbox, operation, order_id)
    await sandbox.fault(order_id, provider, operation, "slow", delay_s=0.05)

    response = await request()

    assert response.is_success
    assert response.elapsed.total_seconds() >= 0.05
    assert await happened(sandbox, operation, order_id) == 1
    assert await logged(sandbox, operation, order_id) == [("slow", response.status_code, False)]


@every_operation
async def test_a_slow_effect_happens_though_its_client_is_gone(
    sandbox: Sandbox, order_id: str, provider: str, operation: str
) -> None:
    request = await ready_to(sandbox, operation, order_id)
    slow = await sandbox.fault(order_id, provider, operation, "slow", delay_s=0.2)
    given_up = asyncio.ensure_future(request())
    await sandbox.has_fired(slow)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up

    assert await happened(sandbox, operation, order_id) == 0
    async with asyncio.timeout(5):
        while not await happened(sandbox, operation, order_id):
            pass


async def test_an_error_after_a_refused_card_hides_the_refusal(sandbox: Sandbox, order_id: str) -> None:
    await sandbox.fault(order_id, "payments", "charge", "error_after")

    broken = await sandbox.charge(order_id, payment_method="pm_card_visa_chargeDeclined")

    assert broken.status_code == 500
    assert [intent["status"] for intent in await sandbox.search(order_id)] == ["requires_payment_method"]
    assert await happened(sandbox, "charge", order_id) == 0


@pytest.mark.parametrize("operation", ["charge", "ship"])
async def test_a_decline_waits_for_a_request_it_can_still_change(
    sandbox: Sandbox, order_id: str, operation: str
) -> None:
    request = await ready_to(sandbox, operation, order_id)
    await request()
    provider = "payments" if operation == "charge" else "carrier"
    decline = await sandbox.fault(order_id, provider, operation, "decline")
    await sandbox.fault(order_id, provider, operation, "unavailable")

    statuses = [(await request()).status_code for _ in range(2)]

    assert statuses == [503, 200]
    assert await sandbox.times_fired(decline) == 0


async def test_faults_are_used_up_in_order_of_creation(sandbox: Sandbox, order_id: str) -> None:
    await sandbox.fault(order_id, "carrier", "ship", "unavailable", times=2)
    await sandbox.fault(order_id, "carrier", "ship", "error_before")

    assert [(await sandbox.ship(order_id)).status_code for _ in range(4)] == [503, 503, 500, 201]


async def test_a_fault_meets_only_the_order_and_operation_it_names(sandbox: Sandbox, order_id: str) -> None:
    fault = await sandbox.fault(order_id, "payments", "charge", "unavailable")

    assert (await sandbox.charge(f"{order_id}-other")).status_code == 200
    assert (await sandbox.ship(order_id)).status_code == 201
    assert await sandbox.times_fired(fault) == 0
    assert (await sandbox.charge(order_id)).status_code == 503


async def test_an_invalid_request_uses_up_no_fault(sandbox: Sandbox, order_id: str) -> None:
    fault = await sandbox.fault(order_id, "payments", "charge", "decline")

    assert (await sandbox.charge(order_id, amount="0")).status_code == 400
    assert await sandbox.times_fired(fault) == 0


@pytest.mark.parametrize(
    ("changed", "field", "allowed"),
    [
        ({"provider": "bank"}, "provider", "'payments', 'carrier' or 'email'"),
        ({"operation": "ship"}, "operation", "'charge' or 'refund'"),
        ({"operation": "send"}, "operation", "'charge' or 'refund' for provider 'payments'"),
        ({"provider": "email"}, "operation", "'send' for provider 'email'"),
        ({"behaviour": "explode"}, "behaviour", "'decline'"),
        ({"times": 0}, "times", "greater than or equal to 1"),
        ({"times": "2"}, "times", "valid integer"),
        ({"delay_s": -1}, "delay_s", "greater than or equal to 0"),
        ({"match": ""}, "match", "at least 1 character"),
        ({"tiems": 2}, "tiems", "not permitted"),
    ],
)
async def test_a_bad_plan_is_refused_by_field(
    sandbox: Sandbox, changed: dict[str, object], field: str, allowed: str
) -> None:
    plan = {"provider": "payments", "operation": "charge", "behaviour": "decline", "match": "ord_none", **changed}

    response = await sandbox.http.post("/faults", json=plan)

    assert response.status_code == 422
    fields = {wrong["field"]: wrong["message"] for wrong in response.json()["error"]["fields"]}
    assert allowed in fields[field]


async def test_a_plan_that_is_no_json_is_refused(sandbox: Sandbox) -> None:
    assert (await sandbox.http.post("/faults", content=b"decline, please")).status_code == 422
