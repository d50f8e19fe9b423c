"""What an attempt does that finds its endpoint busy: it waits in line, and comes back."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.waiting_lines import LONGEST_LINE, WaitingLines
from activities.webhooks import WebhookActivities
from contracts.webhooks import Attempt, DeliveryStatus
from database.engine import create_engine
from database.webhook_attempts import Answered, AttemptRepository, EndpointBusy, Message
from providers.webhook_sender import WebhookAnswer, WebhookSender
from providers.webhook_signing import new_secret
from providers.webhook_urls import WebhookUrlPolicy


class AlwaysBusy(AttemptRepository):
    async def begin(self, attempt: Attempt) -> Message:
        raise EndpointBusy("whe_1")


class OnePlace(AttemptRepository):
    """An endpoint that takes one attempt at a time."""

    is_taken = False

    async def begin(self, attempt: Attempt) -> Message:
        if self.is_taken:
            raise EndpointBusy("whe_1")
        self.is_taken = True
        return Message("whe_1", "https://example.com/", (new_secret(),), "msg_1", b"{}")

    async def record(self, attempt: Attempt, answered: Answered) -> DeliveryStatus:
        self.is_taken = False
        return DeliveryStatus.SUCCEEDED


class Quick(WebhookSender):
    async def send(self, url: str, *, headers: Mapping[str, str], body: bytes) -> WebhookAnswer:
        await asyncio.sleep(0.001)
        return WebhookAnswer(200, 1, None)


async def test_a_burst_to_a_quick_receiver_waits_in_line_and_need_not_come_back() -> None:
    nowhere = create_engine("postgresql://nobody@127.0.0.1:9/none", connections=1, application_name="tests")
    activities = WebhookActivities(OnePlace(nowhere), Quick(WebhookUrlPolicy()))

    results = await asyncio.gather(
        *(
            ActivityEnvironment().run(
                activities.attempt_delivery, Attempt(delivery_id=f"whd_{number}", number=1, is_last=False)
            )
            for number in range(LONGEST_LINE)
        )
    )

    assert {result.status for result in results} == {DeliveryStatus.SUCCEEDED}


@pytest.mark.parametrize(("attempt", "longest_s"), [(1, 0.5), (2, 1.5), (3, 4.5), (4, 13.5), (5, 30), (50_000, 30)])
async def test_it_comes_back_later_each_time_for_as_long_as_it_takes(attempt: int, longest_s: float) -> None:
    nowhere = create_engine("postgresql://nobody@127.0.0.1:9/none", connections=1, application_name="tests")
    activities = WebhookActivities(AlwaysBusy(nowhere), WebhookSender(WebhookUrlPolicy()))
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=attempt)

    with pytest.raises(ApplicationError) as busy:
        await environment.run(activities.attempt_delivery, Attempt(delivery_id="whd_1", number=1, is_last=False))

    assert busy.value.type == "endpoint_busy"
    assert busy.value.next_retry_delay is not None
    assert timedelta(seconds=longest_s / 2) <= busy.value.next_retry_delay <= timedelta(seconds=longest_s)


async def test_whoever_waits_in_line_goes_in_the_order_of_coming() -> None:
    lines, went = WaitingLines(), list[int]()

    async def waits(number: int) -> None:
        assert await lines.wait("whe_1", asyncio.get_running_loop().time() + 10)
        went.append(number)

    async with asyncio.TaskGroup() as attempts:
        for number in range(5):
            attempts.create_task(waits(number))
            await asyncio.sleep(0)
        for number in range(5):
            lines.left("whe_1")
            while len(went) == number:
                await asyncio.sleep(0)

    assert went == [0, 1, 2, 3, 4]


async def test_nobody_waits_where_nothing_moves_until_it_does() -> None:
    lines, clock = WaitingLines(), asyncio.get_running_loop().time

    assert not await lines.wait("whe_1", clock() + 0.05)
    begun = clock()
    assert not await lines.wait("whe_1", clock() + 10)
    assert clock() - begun < 1

    lines.left("whe_1")
    waiting = asyncio.create_task(lines.wait("whe_1", clock() + 10))
    await asyncio.sleep(0)
    lines.left("whe_1")
    assert await waiting


async def test_a_line_has_an_end() -> None:
    lines, clock = WaitingLines(), asyncio.get_running_loop().time
    waiting = [asyncio.create_task(lines.wait("whe_1", clock() + 10)) for _ in range(LONGEST_LINE)]
    await asyncio.sleep(0)

    assert not await lines.wait("whe_1", clock() + 10)

    for _ in waiting:
        lines.left("whe_1")
    assert all(await asyncio.gather(*waiting))
