"""The console's pages as they are written: the texts are in templates/console, the words for our codes are here."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from api.console_ids import page_of
from api.page_writing import Pages
from contracts.attention import AttentionKind
from contracts.audit import AuditEntry
from contracts.dead_letters import DeadLetterKind
from contracts.orders import OrderStatus
from contracts.steps import StepName, StepOutcome

# What a badge shows of a status, whatever it is the status of: good, wait or bad; calm says that things take their
# course.
KINDS: Mapping[str, str] = {
    **dict.fromkeys(
        ("completed", "succeeded", "shipped", "delivered", "charged", "active", "confirmed", "sent"), "good"
    ),
    **dict.fromkeys(("awaiting_approval", "awaiting_customer", "retrying", "paused", "unavailable"), "wait"),
    **dict.fromkeys(("partially_completed", "partially_charged", "unknown", "absent"), "wait"),
    **dict.fromkeys(
        ("needs_attention", "rejected", "failed", "timed_out", "declined", "disabled", "refused", "bounced"), "bad"
    ),
}
LETTERS: Mapping[DeadLetterKind, str] = {
    DeadLetterKind.JOB: "Job",
    DeadLetterKind.ORDER: "Order",
    DeadLetterKind.MAIL: "Mail",
    DeadLetterKind.WEBHOOK_ENDPOINT: "Webhook endpoint",
}
STEPS: Mapping[StepName, str] = {
    StepName.CHECK_FRAUD: "Fraud check",
    StepName.CHARGE: "Charge",
    StepName.SHIP: "Shipment",
    StepName.CANCEL_SHIPMENT: "Calling the shipment back",
    StepName.REFUND: "Refund",
}
OUTCOMES: Mapping[StepOutcome | None, tuple[str, str]] = {
    StepOutcome.SUCCEEDED: ("Succeeded", "good"),
    StepOutcome.REFUSED: ("Refused", "bad"),
    StepOutcome.ABSENT: ("Never happened", "calm"),
    None: ("Not known", "wait"),
}
# Why something is a dead letter, by the codes of database/dead_letters.py; codes of jobs are their own.
REASONS: Mapping[str, str] = {
    "stuck_at_check_fraud": "It could not be checked for fraud.",
    "stuck_at_charge": "It is not known whether the card was charged.",
    "stuck_at_ship": "It is not known whether the carrier has the parcel.",
    "stuck_at_cancel_shipment": "The shipment could not be called back.",
    "stuck_at_refund": "The money could not be returned.",
    "stuck_at_unknown": "It waits for an operator.",
    "timed_out": "It took longer than it may.",
    "failed": "It failed.",
    "bounced": "The mail came back.",
    "gone": "The receiver wants no more.",
    "failing": "The receiver has failed for days.",
}
ATTENTION: Mapping[AttentionKind, str] = {
    AttentionKind.DISPUTE: "A customer disputes a charge.",
    AttentionKind.UNEXPECTED_CHARGE: "Money was taken that our books do not have, or have otherwise.",
    AttentionKind.MISSING_CHARGE: "Our books have a charge that the payment provider has not.",
    AttentionKind.REFUND_DIFFERS: "What was refunded differs between our books and the payment provider.",
    AttentionKind.SHIPMENT_OVERDUE: "A parcel has not moved for so long that its carrier is not asked any more.",
    AttentionKind.ORPHANED_RESERVATION: "An order is over and still holds stock.",
    AttentionKind.STUCK_ORDER: "An order stands still for longer than its own time-outs allow.",
    AttentionKind.WEBHOOK_FAILING: "An endpoint fails, and will soon get no webhooks any more.",
    AttentionKind.WEBHOOK_DISABLED: "An endpoint gets no webhooks any more.",
}


def _changes(entry: AuditEntry) -> list[tuple[str, Any, Any]]:
    """What an action changed: the name of each value, how it was, and how it is."""
    before, after = entry.before or {}, entry.after or {}
    return [
        (name, before.get(name), after.get(name))
        for name in {**before, **after}
        if before.get(name) != after.get(name) or name not in after
    ]


_PAGES = Pages(
    "console",
    filters={
        "page_of": page_of,
        "changes": _changes,
        "reason": lambda code: REASONS.get(code, f"It failed: {code.replace('_', ' ')}."),
        "path": lambda text: quote(text, safe=""),
    },
    values={
        "kinds": KINDS,
        "letters": LETTERS,
        "steps": STEPS,
        "outcomes": OUTCOMES,
        "attention": ATTENTION,
        "order_statuses": tuple(OrderStatus),
    },
)
page, rendered = _PAGES.page, _PAGES.rendered
