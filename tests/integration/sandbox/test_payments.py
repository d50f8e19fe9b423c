"""The payment provider speaks as Stripe does, and its ledger counts effects, not requests."""

import asyncio

import httpx
import pytest

from tests.integration.sandbox.conftest import Json, Sandbox, json_of


def error_of(response: httpx.Response) -> Json:
    error: Json = json_of(response)["error"]
    return error


async def test_a_good_card_is_charged_and_found_again(sandbox: Sandbox, order_id: str) -> None:
    response = await sandbox.charge(order_id)

    intent = response.json()
    assert response.status_code == 200
    assert intent["id"].startswith("pi_")
    assert intent["latest_charge"].startswith("ch_")
    assert (intent["object"], intent["status"], intent["last_payment_error"]) == ("payment_intent", "succeeded", None)
    assert (intent["amount"], intent["amount_received"], intent["currency"]) == (2000, 2000, "usd")
    assert intent["metadata"] == {"order_id": order_id, "step": "charge"}
    assert await sandbox.search(order_id) == [intent]
    assert await sandbox.search(order_id, step="refund") == []
    assert (await sandbox.http.get(f"/payments/v1/payment_intents/{intent['id']}")).json() == intent
    assert await sandbox.effects(order_id) == {
        "charges": [{"key": f"{order_id}/charge", "order_id": order_id, "amount": 2000, "status": "succeeded"}],
        "refunds": [],
        "shipments": [],
        "emails": [],
    }


async def test_a_repeated_key_replays_the_answer(sandbox: Sandbox, order_id: str) -> None:
    first = await sandbox.charge(order_id)
    again = await sandbox.charge(order_id)

    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert len((await sandbox.effects(order_id))["charges"]) == 1
    assert [request["replayed"] for request in await sandbox.requests(order_id)] == [False, True]


async def test_a_key_belongs_to_its_parameters_and_endpoint(sandbox: Sandbox, order_id: str) -> None:
    intent = (await sandbox.charge(order_id)).json()["id"]

    other_amount = await sandbox.charge(order_id, amount="2001")
    other_endpoint = await sandbox.refund(order_id, intent, key=f"{order_id}/charge")

    for response in (other_amount, other_endpoint):
        assert response.status_code == 400
        assert error_of(response)["type"] == "idempotency_error"
    assert (await sandbox.effects(order_id))["refunds"] == []


async def test_fifty_requests_with_one_key_charge_once(sandbox: Sandbox, order_id: str) -> None:
    responses = await asyncio.gather(*(sandbox.charge(order_id) for _ in range(50)))

    assert {response.status_code for response in responses} == {200}
    assert len({response.json()["id"] for response in responses}) == 1
    assert len((await sandbox.effects(order_id))["charges"]) == 1


async def test_a_key_still_at_work_is_in_use(sandbox: Sandbox, order_id: str) -> None:
    slow = await sandbox.fault(order_id, "payments", "charge", "slow", delay_s=0.5)
    first = asyncio.create_task(sandbox.charge(order_id))
    await sandbox.has_fired(slow)

    second = await sandbox.charge(order_id)

    assert second.status_code == 409
    assert error_of(second)["code"] == "idempotency_key_in_use"
    assert (await first).status_code == 200
    assert (await sandbox.charge(order_id)).headers["Idempotent-Replayed"] == "true"
    assert len((await sandbox.effects(order_id))["charges"]) == 1


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("pm_card_visa_chargeDeclinedVelocityLimitExceeded", "card_declined", "card_velocity_exceeded"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", None),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", None),
        ("pm_card_authenticationRequired", "authentication_required", "authentication_required"),
    ],
)
async def test_a_refused_card_takes_nothing(
    sandbox: Sandbox, order_id: str, card: str, code: str, decline_code: str | None
) -> None:
    response = await sandbox.charge(order_id, payment_method=card)

    error = error_of(response)
    assert response.status_code == 402
    assert (error["type"], error["code"], error.get("decline_code")) == ("card_error", code, decline_code)
    assert error["payment_intent"]["status"] == "requires_payment_method"
    assert [intent["last_payment_error"]["code"] for intent in await sandbox.search(order_id)] == [code]
    assert (await sandbox.effects(order_id))["charges"] == []
    assert (await sandbox.charge(order_id, payment_method=card)).headers["Idempotent-Replayed"] == "true"


async def test_without_error_on_requires_action_the_customer_is_asked(sandbox: Sandbox, order_id: str) -> None:
    response = await sandbox.charge(
        order_id, payment_method="pm_card_authenticationRequired", error_on_requires_action="false"
    )

    assert (response.status_code, response.json()["status"]) == (200, "requires_action")
    assert (await sandbox.effects(order_id))["charges"] == []


@pytest.mark.parametrize(
    ("changed", "code", "param"),
    [
        ({"amount": "0"}, "parameter_invalid_integer", "amount"),
        ({"amount": "-5"}, "parameter_invalid_integer", "amount"),
        ({"amount": "1.5"}, "parameter_invalid_integer", "amount"),
        ({"amount": "²"}, "parameter_invalid_integer", "amount"),
        ({"amount": ""}, "parameter_missing", "amount"),
        ({"amount": "9" * 30}, "amount_too_large", "amount"),
        ({"currency": ""}, "parameter_missing", "currency"),
        ({"payment_method": ""}, "parameter_missing", "payment_method"),
        ({"payment_method": "pm_made_up"}, "resource_missing", "payment_method"),
        ({"capture_method": "manual"}, "parameter_unknown", "capture_method"),
        ({"currency": "dollars"}, None, "currency"),
        ({"confirm": "false"}, None, "confirm"),
    ],
)
async def test_a_bad_parameter_is_named(
    sandbox: Sandbox, order_id: str, changed: dict[str, str], code: str | None, param: str
) -> None:
    response = await sandbox.charge(order_id, **changed)

    error = error_of(response)
    assert response.status_code == 400
    assert (error["type"], error.get("code"), error["param"]) == ("invalid_request_error", code, param)
    assert (await sandbox.effects(order_id))["charges"] == []


async def test_a_request_that_never_ran_leaves_its_key_free(sandbox: Sandbox, order_id: str) -> None:
    assert (await sandbox.charge(order_id, amount="0")).status_code == 400

    assert (await sandbox.charge(order_id)).status_code == 200


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(b"{}", "application/json"), (b"amount=%ff", "application/x-www-form-urlencoded")],
)
async def test_a_body_that_is_no_form_is_refused(sandbox: Sandbox, content: bytes, content_type: str) -> None:
    response = await sandbox.http.post(
        "/payments/v1/payment_intents", content=content, headers={"Content-Type": content_type}
    )

    assert response.status_code == 400
    assert error_of(response)["type"] == "invalid_request_error"


@pytest.mark.parametrize("authorization", ["", "Basic c2tfdGVzdDo=", "Bearer pk_test_public"])
async def test_a_secret_key_is_needed(sandbox: Sandbox, authorization: str) -> None:
    for method, path in (("POST", "payment_intents"), ("GET", "payment_intents/search"), ("POST", "refunds")):
        response = await sandbox.http.request(method, f"/payments/v1/{path}", headers={"Authorization": authorization})
        assert response.status_code == 401
        assert error_of(response)["type"] == "invalid_request_error"


@pytest.mark.parametrize("query", ["", "status:'succeeded'", "metadata['a']:'b' AND ", "metadata['a']:'b' OR x"])
async def test_a_search_it_cannot_read_is_refused(sandbox: Sandbox, query: str) -> None:
    response = await sandbox.http.get("/payments/v1/payment_intents/search", params={"query": query})

    assert response.status_code == 400
    assert error_of(response)["param"] == "query"


async def test_all_payments_are_listed_newest_first_in_pages(sandbox: Sandbox, order_id: str) -> None:
    made = [(await sandbox.charge(order_id, key=f"{order_id}/{number}")).json()["id"] for number in range(5)]

    listed: list[Json] = []
    query: dict[str, str] = {"limit": "2"}
    while len(listed) < 5:
        page = json_of(await sandbox.http.get("/payments/v1/payment_intents", params=query))
        assert page["has_more"]
        listed += page["data"]
        query["starting_after"] = listed[-1]["id"]

    assert [intent["id"] for intent in listed[:5]] == made[::-1]
    created = listed[0]["created"]
    whole = {"limit": "100", "created[gte]": str(created), "created[lt]": str(created + 1)}
    within = json_of(await sandbox.http.get("/payments/v1/payment_intents", params=whole))
    assert made[-1] in [intent["id"] for intent in within["data"]]
    before = json_of(await sandbox.http.get("/payments/v1/payment_intents", params={"created[lt]": "1"}))
    assert (before["data"], before["has_more"]) == ([], False)


async def test_a_listed_payment_can_tell_how_much_of_it_was_given_back(sandbox: Sandbox, order_id: str) -> None:
    intent = (await sandbox.charge(order_id)).json()
    await sandbox.refund(order_id, intent["id"], amount="500")
    expanded = {"expand[]": "data.latest_charge"}

    listed = json_of(await sandbox.http.get("/payments/v1/payment_intents", params={"limit": "1", **expanded}))
    query = {"query": f"metadata['order_id']:'{order_id}'", **expanded}
    found = json_of(await sandbox.http.get("/payments/v1/payment_intents/search", params=query))

    assert listed["data"] == found["data"]
    charge = listed["data"][0]["latest_charge"]
    assert (charge["id"], charge["amount"], charge["amount_refunded"]) == (intent["latest_charge"], 2000, 500)
    assert not charge["refunded"]
    one = await sandbox.http.get(f"/payments/v1/payment_intents/{intent['id']}", params={"expand[]": "latest_charge"})
    assert json_of(one)["latest_charge"] == charge


async def test_all_refunds_are_listed_newest_first_in_pages(sandbox: Sandbox, order_id: str) -> None:
    intent = (await sandbox.charge(order_id)).json()["id"]
    made = [
        (await sandbox.refund(order_id, intent, f"{order_id}/refund/{number}", amount="100")).json()["id"]
        for number in range(3)
    ]

    first = json_of(await sandbox.http.get("/payments/v1/refunds", params={"limit": "2"}))
    behind = {"limit": "1", "starting_after": first["data"][-1]["id"]}
    second = json_of(await sandbox.http.get("/payments/v1/refunds", params=behind))

    assert [refund["id"] for refund in first["data"] + second["data"]] == made[::-1]
    assert {refund["payment_intent"] for refund in first["data"]} == {intent}


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "101"}, "limit"),
        ({"limit": "few"}, "limit"),
        ({"customer": "cus_1"}, "customer"),
        ({"expand[]": "data.customer"}, "expand"),
    ],
)
async def test_a_list_it_cannot_give_is_refused(sandbox: Sandbox, query: dict[str, str], param: str) -> None:
    response = await sandbox.http.get("/payments/v1/payment_intents", params=query)

    assert response.status_code == 400
    assert error_of(response)["param"] == param


async def test_an_unknown_url_is_an_error_in_stripes_shape(sandbox: Sandbox) -> None:
    response = await sandbox.http.get("/payments/v1/charges")

    assert response.status_code == 404
    assert error_of(response)["type"] == "invalid_request_error"


async def test_a_charge_is_refunded_in_parts_and_never_beyond(sandbox: Sandbox, order_id: str) -> None:
    intent = (await sandbox.charge(order_id)).json()["id"]

    part = await sandbox.refund(order_id, intent, "part", amount="500", reason="requested_by_customer")
    too_much = await sandbox.refund(order_id, intent, "too-much", amount="1501")
    rest = await sandbox.refund(order_id, intent, "rest")
    more = await sandbox.refund(order_id, intent, "more")

    assert part.json()["id"].startswith("re_")
    assert (part.json()["object"], part.json()["status"], part.json()["amount"]) == ("refund", "succeeded", 500)
    assert (too_much.status_code, error_of(too_much)["param"]) == (400, "amount")
    assert (rest.status_code, rest.json()["amount"], rest.json()["payment_intent"]) == (200, 1500, intent)
    assert (more.status_code, error_of(more)["code"]) == (400, "charge_already_refunded")
    listed = await sandbox.http.get("/payments/v1/refunds", params={"payment_intent": intent})
    assert (listed.json()["object"], listed.json()["data"]) == ("list", [rest.json(), part.json()])
    assert [(refund["key"], refund["amount"]) for refund in (await sandbox.effects(order_id))["refunds"]] == [
        ("part", 500),
        ("rest", 1500),
    ]


async def test_a_repeated_refund_is_replayed(sandbox: Sandbox, order_id: str) -> None:
    intent = (await sandbox.charge(order_id)).json()["id"]

    first, again = [await sandbox.refund(order_id, intent) for _ in range(2)]

    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    assert len((await sandbox.effects(order_id))["refunds"]) == 1


async def test_only_money_that_was_taken_is_refunded(sandbox: Sandbox, order_id: str) -> None:
    declined = await sandbox.charge(order_id, payment_method="pm_card_visa_chargeDeclined")

    of_declined = await sandbox.refund(order_id, error_of(declined)["payment_intent"]["id"], "declined")
    of_unknown = await sandbox.refund(order_id, "pi_unknown", "unknown")

    assert of_declined.status_code == 400
    assert (of_unknown.status_code, error_of(of_unknown)["code"]) == (404, "resource_missing")
    assert (await sandbox.http.get("/payments/v1/payment_intents/pi_unknown")).status_code == 404
    assert (await sandbox.effects(order_id))["refunds"] == []


async def test_the_request_log_knows_the_order_of_every_request(sandbox: Sandbox, order_id: str) -> None:
    intent = (await sandbox.charge(order_id)).json()["id"]
    await sandbox.search(order_id)
    await sandbox.http.get(f"/payments/v1/payment_intents/{intent}")
    # Without metadata of its own a refund is known by the payment it returns.
    await sandbox.http.post("/payments/v1/refunds", data={"payment_intent": intent})

    seen = await sandbox.requests(order_id)

    assert [request["operation"] for request in seen] == ["charge", "search", "search", "refund"]
    assert [request["key"] for request in seen] == [f"{order_id}/charge", None, None, None]
    assert {request["status"] for request in seen} == {200}
    assert [request["at"] for request in seen] == sorted(request["at"] for request in seen)
    assert await sandbox.requests(order_id, provider="payments", operation="refund") == seen[3:]
    assert await sandbox.requests(order_id, provider="carrier") == []
