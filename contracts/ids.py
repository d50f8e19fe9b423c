"""Ids are opaque: a prefix that names the kind and a ULID in its canonical 26 characters."""

from typing import Annotated
from uuid import UUID, uuid5

from pydantic import StringConstraints
from ulid import ULID

ID_PATTERN = r"^{prefix}_[0-7][0-9A-HJKMNP-TV-Z]{{25}}$"

OrderId = Annotated[str, StringConstraints(pattern=ID_PATTERN.format(prefix="ord"))]

# Any fixed UUID will do, but it must never change: order ids are derived under it.
_ORDERS = UUID("6f1f4c4e-6f0a-5a55-9a0e-0f6c3b8f3b57")


def order_id_for(subject: str, idempotency_key: str) -> str:
    """The id of the order that this subject places under this key: the same pair gives the same order.

    A line break can stand in neither, so no two pairs share a name. The id is a UUIDv5 (RFC 9562) written as a ULID.
    """
    name = f"{subject}\n{idempotency_key}"
    return f"ord_{ULID.from_uuid(uuid5(_ORDERS, name))}"


def order_workflow_id(order_id: str) -> str:
    return f"order/{order_id}"
