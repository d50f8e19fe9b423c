"""The carrier books a shipment once per key, for ever, and cancels it."""

import asyncio

import pytest

from tests.integration.sandbox.conftest import Sandbox


async def test_a_shipment_is_booked_once_per_key(sandbox: Sandbox, order_id: str) -> None:
    first = await sandbox.ship(order_id)
    again = await sandbox.ship(order_id)

    shipment = first.json()
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == shipment
    assert shipment["id"].startswith("shp_")
    assert (shipment["order_id"], shipment["status"]) == (order_id, "booked")
    assert shipment["tracking_number"]
    listed = await sandbox.http.get("/carrier/v1/shipments", params={"order_id": order_id})
    assert listed.json() == {"items": [shipment]}
    assert (await sandbox.effects(order_id))["shipments"] == [
        {"key": f"{order_id}/ship", "order_id": order_id, "status": "booked"}
    ]
    assert [(seen["operation"], seen["replayed"]) for seen in await sandbox.requests(order_id)] == [
        ("ship", False),
        ("ship", True),
        ("search", False),
    ]


async def test_fifty_requests_with_one_key_book_once(sandbox: Sandbox, order_id: str) -> None:
    responses = await asyncio.gather(*(sandbox.ship(order_id) for _ in range(50)))

    assert sorted(response.status_code for response in responses) == [200] * 49 + [201]
    assert len((await sandbox.effects(order_id))["shipments"]) == 1


async def test_a_repeat_that_overtakes_a_slow_first_request_books_once(sandbox: Sandbox, order_id: str) -> None:
    slow = await sandbox.fault(order_id, "carrier", "ship", "slow", delay_s=0.3)
    first = asyncio.create_task(sandbox.ship(order_id))
    await sandbox.has_fired(slow)

    overtaking = await sandbox.ship(order_id)

    assert (overtaking.status_code, (await first).status_code) == (201, 200)
    assert (await first).json() == overtaking.json()
    assert len((await sandbox.effects(order_id))["shipments"]) == 1


async def test_a_key_belongs_to_its_body_even_while_the_first_request_waits(sandbox: Sandbox, order_id: str) -> None:
    slow = await sandbox.fault(order_id, "carrier", "ship", "slow", delay_s=0.3)
    first = asyncio.create_task(sandbox.ship(order_id))
    await sandbox.has_fired(slow)

    overtaking = await sandbox.ship(order_id, parcels=[{"sku": "MUG", "quantity": 1}])

    assert overtaking.status_code == 201
    assert (await first).status_code == 422
    assert (await first).json()["error"]["code"] == "idempotency_key_reused"
    assert (await sandbox.ship(order_id)).json()["error"]["code"] == "idempotency_key_reused"


async def test_cancelling_is_idempotent_and_the_key_still_finds_the_shipment(sandbox: Sandbox, order_id: str) -> None:
    shipment = (await sandbox.ship(order_id)).json()

    first = await sandbox.cancel(order_id, shipment["id"])
    again = await sandbox.cancel(order_id, shipment["id"])

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json() == {**shipment, "status": "cancelled"}
    assert (await sandbox.ship(order_id)).json() == first.json()
    assert [row["status"] for row in (await sandbox.effects(order_id))["shipments"]] == ["cancelled"]


async def test_what_the_carrier_does_not_know_is_not_found(sandbox: Sandbox, order_id: str) -> None:
    assert (await sandbox.cancel(order_id, "shp_unknown")).status_code == 404
    listed = await sandbox.http.get("/carrier/v1/shipments", params={"order_id": order_id})
    assert listed.json() == {"items": []}
    assert (await sandbox.http.get("/carrier/v1/shipments")).status_code == 422


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"order_id": ""}, "order_id"),
        ({"ship_to": {}}, "ship_to"),
        ({"ship_to": None}, "ship_to"),
        ({"parcels": []}, "parcels"),
        ({"parcels": [{"sku": "MUG", "quantity": 0}]}, "parcels.0.quantity"),
        ({"parcels": [{"sku": "MUG", "quantity": "2"}]}, "parcels.0.quantity"),
        ({"speed": "fast"}, "speed"),
    ],
)
async def test_a_bad_field_is_named(sandbox: Sandbox, order_id: str, changed: dict[str, object], field: str) -> None:
    response = await sandbox.ship(order_id, **changed)

    assert response.status_code == 422
    assert response.json()["error"]["code"] == "invalid_request"
    assert response.json()["error"]["message"].startswith(f"{field}: ")


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 20_000, b'{"order_id": "\\ud800"}', b"\xff"])
async def test_a_body_that_is_no_json_is_refused(sandbox: Sandbox, order_id: str, body: bytes) -> None:
    response = await sandbox.http.post("/carrier/v1/shipments", content=body, headers={"Idempotency-Key": order_id})

    assert response.status_code == 422


async def test_a_key_and_a_token_are_needed(sandbox: Sandbox) -> None:
    without_key = await sandbox.http.post("/carrier/v1/shipments", json={})
    assert (without_key.status_code, without_key.json()["error"]["code"]) == (400, "idempotency_key_missing")
    for method, path in (("POST", ""), ("GET", ""), ("POST", "/shp_1/cancel")):
        response = await sandbox.http.request(
            method, f"/carrier/v1/shipments{path}", headers={"Authorization": "Basic c2VjcmV0"}
        )
        assert (response.status_code, response.json()["error"]["code"]) == (401, "unauthorized")
