"""The process stops when told to, and a kill loses nothing that was committed."""

import asyncio
import signal

import httpx
import pytest

from tests.integration.sandbox.conftest import Start


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_at_once_with_answers_still_owed(start: Start, stop: signal.Signals) -> None:
    async with start() as sandbox:
        silence = await sandbox.fault("ord_a", "payments", "charge", "timeout_after")
        slow = await sandbox.fault("ord_b", "carrier", "ship", "slow", delay_s=60)
        unanswered = asyncio.create_task(sandbox.charge("ord_a"))
        delayed = asyncio.create_task(sandbox.ship("ord_b"))
        await sandbox.has_fired(silence)
        await sandbox.has_fired(slow)

        sandbox.process.send_signal(stop)

        async with asyncio.timeout(3):
            assert await sandbox.process.wait() == 0
        assert (await delayed).status_code == 201
        assert (await unanswered).status_code == 504
    async with start() as sandbox:
        effects = (await sandbox.http.get("/ledger")).json()
        assert [charge["order_id"] for charge in effects["charges"]] == ["ord_a"]
        assert [shipment["order_id"] for shipment in effects["shipments"]] == ["ord_b"]


async def test_a_kill_loses_no_effect_no_key_and_no_request(start: Start) -> None:
    async with start() as sandbox:
        silence = await sandbox.fault("ord_a", "payments", "charge", "timeout_after")
        shipped = await sandbox.ship("ord_a")
        unanswered = asyncio.create_task(sandbox.charge("ord_a"))
        await sandbox.has_fired(silence)
        before = await sandbox.effects("ord_a"), await sandbox.requests("ord_a")

        sandbox.process.kill()

        assert await sandbox.process.wait() == -signal.SIGKILL
        with pytest.raises(httpx.TransportError):
            await unanswered
    async with start() as sandbox:
        assert (await sandbox.effects("ord_a"), await sandbox.requests("ord_a")) == before
        assert len(before[0]["charges"]) == len(before[0]["shipments"]) == 1
        charged = await sandbox.charge("ord_a")
        assert (charged.status_code, charged.headers["Idempotent-Replayed"]) == (200, "true")
        assert (await sandbox.ship("ord_a")).json() == shipped.json()
        assert await sandbox.effects("ord_a") == before[0]


async def test_a_kill_in_the_middle_of_many_charges_keeps_every_one_that_was_answered(start: Start) -> None:
    async with start() as sandbox:
        charging = [asyncio.create_task(sandbox.charge(f"ord_{number}")) for number in range(200)]
        await asyncio.wait(charging, return_when=asyncio.FIRST_COMPLETED)
        sandbox.process.kill()
        outcomes = await asyncio.gather(*charging, return_exceptions=True)
    answered = {outcome.json()["id"] for outcome in outcomes if isinstance(outcome, httpx.Response)}
    assert answered
    async with start() as sandbox:
        found = [await sandbox.search(f"ord_{number}") for number in range(200)]
        assert answered <= {intent["id"] for intents in found for intent in intents}
        assert all(len(intents) <= 1 for intents in found)


async def test_faults_last_until_cleared_and_not_beyond_the_process(start: Start) -> None:
    async with start() as sandbox:
        outage = await sandbox.fault("*", "payments", "charge", "unavailable", times=None)
        assert [(await sandbox.charge(f"ord_{number}")).status_code for number in range(3)] == [503, 503, 503]
        assert await sandbox.times_fired(outage) == 3

        assert (await sandbox.http.delete("/faults")).status_code == 204

        assert (await sandbox.http.get("/faults")).json() == {"faults": []}
        assert (await sandbox.charge("ord_0")).status_code == 200
        await sandbox.fault("*", "payments", "charge", "unavailable", times=None)
    async with start() as sandbox:
        assert (await sandbox.http.get("/faults")).json() == {"faults": []}
