"""What Temporal tells of a call that is tried, read with the keys that are here."""

import os

from structlog.testing import capture_logs
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.exceptions import ApplicationError

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
