"""What operators did: who, what, to what, why, and what changed by it."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel


class AuditAction(StrEnum):
    """What was done to the entry's subject."""

    JOB_RETRY = "job.retry"
    JOB_DISCARD = "job.discard"
    ORDER_RETRY = "order.retry"
    MAIL_RETRY = "mail.retry"
    MAIL_DISCARD = "mail.discard"
    ENDPOINT_RETRY = "webhook_endpoint.retry"
    ENDPOINT_DISCARD = "webhook_endpoint.discard"


class Act(BaseModel, frozen=True):
    """Who does something, why, and by which request."""

    actor: str
    note: str = ""
    request_id: str = ""


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
