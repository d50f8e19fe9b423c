"""When an attempt that finds its endpoint busy comes back."""

from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.webhooks import WebhookActivities
from contracts.webhooks import Attempt
from database.engine import create_engine
from database.webhook_attempts import AttemptRepository, EndpointBusy, Message
from providers.webhook_sender import WebhookSender
from providers.webhook_urls import WebhookUrlPolicy


class AlwaysBusy(AttemptRepository):
    async def begin(self, attempt: Attempt) -> Message:
        raise EndpointBusy


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
