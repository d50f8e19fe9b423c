"""Ids are opaque: a prefix that names the kind and a ULID in its canonical 26 characters."""

import re
from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid5

from pydantic import StringConstraints
from ulid import ULID

ID_PATTERN = r"^{prefix}_[0-7][0-9A-HJKMNP-TV-Z]{{25}}$"

OrderId = Annotated[str, StringConstraints(pattern=ID_PATTERN.format(prefix="ord"))]
# Operators name warehouses as they like.
WarehouseId = Annotated[str, StringConstraints(pattern=r"^wh_[a-z0-9_]{1,60}$")]

_ORDER_ID = re.compile(ID_PATTERN.format(prefix="ord"))
_ACCOUNT_ID = re.compile(ID_PATTERN.format(prefix="acct"))
BATCH_ID = ID_PATTERN.format(prefix="bat")
_BATCH_ID = re.compile(BATCH_ID)
_BULK_ID = re.compile(ID_PATTERN.format(prefix="blk"))
_MAIL_ID = re.compile(ID_PATTERN.format(prefix="mail"))
_JOB_ID = re.compile(ID_PATTERN.format(prefix="job"))
_REPORT_ID = re.compile(ID_PATTERN.format(prefix="rpt"))
_ENDPOINT_ID = re.compile(ID_PATTERN.format(prefix="whe"))
_ATTENTION_ITEM_ID = re.compile(ID_PATTERN.format(prefix="att"))
_DELIVERY_ID = re.compile(ID_PATTERN.format(prefix="whd"))
# Any fixed UUID will do, but it must never change: order ids are derived under it.
_ORDERS = UUID("6f1f4c4e-6f0a-5a55-9a0e-0f6c3b8f3b57")
# The same holds for those of the receivers that a deployment configures.
_RECEIVERS = UUID("b7a0a5de-0f3f-5c39-8a53-6f7e0f4b9d21")
# For those of jobs that follow others.
_FOLLOWING = UUID("8a3de0c5-0c7b-5d1f-8f7e-3e0a2b5c9d44")
# Where the time that a job's id is made of ends: 48 bits in ten characters (https://github.com/ulid/spec).
_TIME_ENDS = len("job_") + 10
# And for those of mails, which migration 0013 derives, too.
_MAILS = UUID("3d0c1f4e-52ad-5b0e-9c47-8e0f8f6c2a11")


def first_id_at(prefix: str, at: datetime) -> str:
    """The smallest id that may have been made at this time, of those that are made of the time."""
    return f"{prefix}_{str(ULID.from_datetime(at))[:10]}{'0' * 16}"


def order_id_for(subject: str, idempotency_key: str) -> str:
    """The id of the order that this subject places under this key: the same pair gives the same order.

    A line break can stand in neither, so no two pairs share a name. The id is a UUIDv5 (RFC 9562) written as a ULID.
    """
    name = f"{subject}\n{idempotency_key}"
    return f"ord_{ULID.from_uuid(uuid5(_ORDERS, name))}"


def order_workflow_id(order_id: str) -> str:
    return f"order/{order_id}"


def order_id_of_workflow(workflow_id: str) -> str:
    return workflow_id.removeprefix("order/")


def fulfilment_id(order_id: str, number: int) -> str:
    return f"{order_id}-{number}"


def fulfilment_number(fulfilment: str) -> int:
    """The number of a fulfilment within its order, by its id. Raises ValueError for what is no such id."""
    return int(fulfilment.partition("-")[2])


def shipment_workflow_id(fulfilment: str) -> str:
    return f"shipment/{fulfilment}"


def new_account_id() -> str:
    return f"acct_{ULID()}"


def is_account_id(text: str) -> bool:
    return _ACCOUNT_ID.fullmatch(text) is not None


def new_attention_item_id() -> str:
    return f"att_{ULID()}"


def is_attention_item_id(text: str) -> bool:
    return _ATTENTION_ITEM_ID.fullmatch(text) is not None


def welcome_workflow_id(account_id: str) -> str:
    return f"welcome/{account_id}"


def new_endpoint_id() -> str:
    return f"whe_{ULID()}"


def receiver_endpoint_id(name: str) -> str:
    """The id of the endpoint of a receiver that the deployment configures under this name."""
    return f"whe_{ULID.from_uuid(uuid5(_RECEIVERS, name))}"


def is_endpoint_id(text: str) -> bool:
    return _ENDPOINT_ID.fullmatch(text) is not None


def new_delivery_id() -> str:
    return f"whd_{ULID()}"


def is_delivery_id(text: str) -> bool:
    return _DELIVERY_ID.fullmatch(text) is not None


def new_webhook_id() -> str:
    """What a receiver tells messages apart by (Standard Webhooks 1.0): the same for every copy of one message."""
    return f"msg_{ULID()}"


def delivery_workflow_id(delivery_id: str) -> str:
    return f"delivery/{delivery_id}"


def new_job_id() -> str:
    """Also the id of the activity that runs the job."""
    return f"job_{ULID()}"


def job_id_after(job_id: str, name: str) -> str:
    """The id of the job of this name that follows another one: the same pair gives the same job.

    It has the time of the other one, so that clean-up, which finds what is old by its id, comes by it as well.
    """
    time, chance = job_id[:_TIME_ENDS], ULID.from_uuid(uuid5(_FOLLOWING, f"{job_id}/{name}"))
    return f"{time}{str(chance)[10:]}"


def is_job_id(text: str) -> bool:
    return _JOB_ID.fullmatch(text) is not None


def new_report_id() -> str:
    return f"rpt_{ULID()}"


def is_report_id(text: str) -> bool:
    return _REPORT_ID.fullmatch(text) is not None


def mail_id_for(message_id: str) -> str:
    """The id of the mail with this Message-ID."""
    return f"mail_{ULID.from_uuid(uuid5(_MAILS, message_id))}"


def is_mail_id(text: str) -> bool:
    return _MAIL_ID.fullmatch(text) is not None


def is_order_id(text: str) -> bool:
    return _ORDER_ID.fullmatch(text) is not None


def new_audit_id() -> str:
    return f"aud_{ULID()}"


def new_batch_id() -> str:
    return f"bat_{ULID()}"


def is_batch_id(text: str) -> bool:
    return _BATCH_ID.fullmatch(text) is not None


def batch_workflow_id(batch_id: str) -> str:
    return f"batch/{batch_id}"


def new_bulk_id() -> str:
    return f"blk_{ULID()}"


def is_bulk_id(text: str) -> bool:
    return _BULK_ID.fullmatch(text) is not None


def bulk_workflow_id(bulk_id: str, resumes: int = 0) -> str:
    """Each time that it is resumed it has a process of its own."""
    return f"bulk/{bulk_id}/{resumes}" if resumes else f"bulk/{bulk_id}"
