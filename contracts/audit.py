"""What operators did: who, what, to what, why, from where, and what changed by it."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel


class AuditAction(StrEnum):
    """What was done to the entry's subject."""

    JOB_RETRY = "job.retry"
    JOB_DISCARD = "job.discard"
    JOB_CANCEL = "job.cancel"
    JOB_RESCHEDULE = "job.reschedule"
    BATCH_CANCEL = "job_batch.cancel"
    ORDER_APPROVE = "order.approve"
    ORDER_REJECT = "order.reject"
    ORDER_RETRY = "order.retry"
    ORDER_RESOLVE = "order.resolve"
    ORDER_CANCEL = "order.cancel"
    ORDER_AMEND = "order.amend"
    ORDER_CHANGE_ADDRESS = "order.change_address"
    MAIL_RETRY = "mail.retry"
    MAIL_DISCARD = "mail.discard"
    ENDPOINT_RETRY = "webhook_endpoint.retry"
    ENDPOINT_DISCARD = "webhook_endpoint.discard"
    ENDPOINT_CREATE = "webhook_endpoint.create"
    ENDPOINT_CHANGE = "webhook_endpoint.change"
    ENDPOINT_DELETE = "webhook_endpoint.delete"
    ENDPOINT_ROTATE_SECRET = "webhook_endpoint.rotate_secret"  # noqa: S105
    ENDPOINT_TEST = "webhook_endpoint.test"
    ENDPOINT_REDELIVER = "webhook_endpoint.redeliver"
    CATALOGUE_PUT = "catalogue.put"
    FRAUD_LIMIT = "fraud.limit"
    FRAUD_MAINTENANCE = "fraud.maintenance"
    SCHEDULE_PAUSE = "schedule.pause"
    SCHEDULE_RESUME = "schedule.resume"
    SCHEDULE_TRIGGER = "schedule.trigger"
    SCHEDULE_BACKFILL = "schedule.backfill"
    ACCOUNT_RESEND = "account.resend"
    ACCOUNT_DELETE = "account.delete"
    ATTENTION_CLOSE = "attention_item.close"
    BULK_START = "bulk.start"
    BULK_CANCEL = "bulk.cancel"
    BULK_RESUME = "bulk.resume"


class Act(BaseModel, frozen=True):
    """Who does something, why, by which request and from which address; None when that is not known."""

    actor: str
    note: str = ""
    request_id: str = ""
    from_address: str | None = None

    def because(self, note: str | None) -> Self:
        """The same, with the reason."""
        return self.model_copy(update={"note": note or ""})


class Deed(BaseModel, frozen=True):
    """An act with what it is, as an order's workflow passes it on to our books."""

    action: AuditAction
    act: Act


class AuditEntry(BaseModel, frozen=True):
    """One action; `before` and `after` hold what it changed of its subject."""

    id: str
    at: datetime
    actor: str
    action: str
    subject: str
    note: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str
    from_address: str | None = None
