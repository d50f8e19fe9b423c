"""What Temporal tells, and no key that is here decrypts."""

import os

import pytest
from structlog.testing import capture_logs
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.exceptions import ApplicationError

from api.outages import Unreachable, asking_temporal
from api.pending_calls import PendingCall, pending_calls_of
from payloads import data_converter


async def test_a_call_whose_failure_cannot_be_read_is_shown_without_it() -> None:
    key = os.urandom(32)
    ours, anothers = data_converter({"new": os.urandom(32), "old": key}), data_converter({"new": os.urandom(32)})
    activity = PendingActivityInfo(attempt=3)
    activity.activity_type.name = "ship"
    error = ApplicationError("the carrier answered 500", type="provider_failed")
    await data_converter({"old": key}).encode_failure(error, activity.last_failure)

    with capture_logs() as logged:
        unread = await pending_calls_of([activity], anothers)
        read = await pending_calls_of([activity], ours)

    assert read == (PendingCall("ship", 3, "provider_failed: the carrier answered 500", None),)
    assert unread == (PendingCall("ship", 3, None, None),)
    [line] = logged
    assert line["log_level"] == "warning"
    assert "key 'old'" in line["cause"]


async def test_what_cannot_be_read_is_as_if_nobody_had_answered() -> None:
    [payload] = await data_converter({"old": os.urandom(32)}).encode(["the order as it is"])

    with capture_logs() as logged, pytest.raises(Unreachable):
        async with asking_temporal(1):
            await data_converter({"new": os.urandom(32)}).decode([payload])

    assert ["key 'old'" in line["cause"] for line in logged] == [True]
