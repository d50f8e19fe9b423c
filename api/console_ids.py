"""Where the console shows what has an id."""

import re

from api.sessions import CONSOLE
from contracts import ids

_FULFILMENT = re.compile(r"(ord_[0-9A-Z]{26})-\d+")
_FOLDERS = (
    (ids.is_order_id, "orders"),
    (ids.is_job_id, "jobs"),
    (ids.is_batch_id, "batches"),
    (ids.is_account_id, "accounts"),
    (ids.is_report_id, "reports"),
    (ids.is_endpoint_id, "webhooks"),
    (ids.is_delivery_id, "deliveries"),
    (ids.is_bulk_id, "bulk"),
    (ids.is_mail_id, "mails"),
)


def page_of(text: str | None) -> str | None:
    """The page of what has this id; that of a fulfilment is its order's. None for what has no page."""
    if text is None:
        return None
    fulfilment = _FULFILMENT.fullmatch(text)
    sought = fulfilment[1] if fulfilment else text
    return next((f"{CONSOLE}/{folder}/{sought}" for is_one, folder in _FOLDERS if is_one(sought)), None)
