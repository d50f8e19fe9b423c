"""What a transaction leaves to be done outside of Postgres: written with the change, done after it is committed."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel


class OutboxKind(StrEnum):
    """What is to be done; the payload of each holds ids, and an operator's words, alone."""

    ACCOUNT_CREATED = "account_created"
    ADDRESS_TAKEN = "address_taken"
    ACCOUNT_CONFIRMED = "account_confirmed"
    ACCOUNT_RESEND = "account_resend"
    ACCOUNT_DELETED = "account_deleted"
    INBOUND_EVENT = "inbound_event"
    EVENT = "event"
    DELIVERY = "delivery"
    ENDPOINT_DISABLED = "endpoint_disabled"
    JOB_ACCEPTED = "job_accepted"
    JOB_CANCELLED = "job_cancelled"
    JOB_RESCHEDULED = "job_rescheduled"
    JOB_RETRIED = "job_retried"
    JOB_PUT_OFF = "job_put_off"
    BATCH_ACCEPTED = "batch_accepted"
    BULK_ACCEPTED = "bulk_accepted"
    BULK_RESUMED = "bulk_resumed"
    MAIL_RETRIED = "mail_retried"
    ORDER_RETRIED = "order_retried"


class OutboxRow(BaseModel, frozen=True):
    """One thing to do. Rows of one `aggregate` are done one after the other, in the order they were written."""

    id: int
    aggregate: str
    kind: str
    payload: dict[str, Any]
    created_at: datetime
