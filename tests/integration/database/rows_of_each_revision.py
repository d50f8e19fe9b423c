"""Rows as the application of each revision wrote them. A migration that adds a table or fills a column adds to this."""

from dataclasses import dataclass

ORDER = "ord_01J0000000000000000000000A"
OPEN_ORDER = "ord_01J0000000000000000000000B"
ACCOUNT = "acct_01J0000000000000000000000A"
ENDPOINT = "whe_01J0000000000000000000000A"
DELIVERY = "whd_01J0000000000000000000000A"
JOB = "job_01J0000000000000000000000A"
FAILED_JOB = "job_01J0000000000000000000000B"
BATCH = "bat_01J0000000000000000000000A"
BULK = "blk_01J0000000000000000000000A"
REPORT = "rpt_01J0000000000000000000000A"
MAIL = "mail_01J0000000000000000000000A"
MESSAGE = "<welcome.1@followthrough.example>"
FIRST, LAST = "0001", "9999"

_LINES = """[{"sku": "TEE", "name": "T-shirt", "quantity": 2, "unit_price": {"amount": 1999, "currency": "usd"}}]"""
_SHIP_TO = (
    """{"name": "Ada", "line1": "12 Long St", "line2": null, "city": "Oslo", "postal_code": "0150", "country": "NO"}"""
)
_FULFILMENT = (
    """[{{"number": 1, "warehouse": "wh_default", "lines": {lines}, "status": "{status}", "ends_as": null, """
    """"failure": null}}]"""
)
_ECHO = """{"message": "one"}"""
_ERROR = """{"code": "unexpected_error", "message": "KeyError"}"""


@dataclass(frozen=True)
class Row:
    """An INSERT that is valid from one revision to another, both included."""

    insert: str
    since: str = FIRST
    until: str = LAST


def _orders(more_columns: str = "", completed: str = "", processing: str = "") -> str:
    columns = (
        "id, customer_id, status, phase, lines, total, currency, ship_to, revision, request_hash, request_id, run_id, "
        f"created_at, updated_at{more_columns}"
    )
    rows = (
        f"('{order}', 'ada', '{status}', '{phase}', '{_LINES}', 3998, 'usd', '{_SHIP_TO}', 5, repeat('0', 64), 'req', "
        f"'run-1', '2026-01-02 03:04:05Z', '2026-01-02 03:05:05Z'{more})"
        for order, status, phase, more in (
            (ORDER, "completed", "closed", completed),
            (OPEN_ORDER, "processing", "forward", processing),
        )
    )
    return f"orders ({columns}) VALUES {', '.join(rows)}"


def _shipped(status: str) -> str:
    return f", '{_FULFILMENT.format(lines=_LINES, status=status)}'"


ROWS = (
    Row("catalogue_items (sku, name, amount, currency) VALUES ('TEE', 'T-shirt', 1999, 'usd')"),
    Row("stock (sku, warehouse, on_hand, reserved) VALUES ('TEE', 'wh_default', 8, 2)"),
    # Its warehouse is a row only since 0007, which makes one of each that it finds here.
    Row("stock (sku, warehouse, on_hand) VALUES ('TEE', 'wh_north', 1)", until="0006"),
    Row(_orders(), until="0004"),
    Row(_orders(", fulfilments", _shipped("shipped"), _shipped("processing")), since="0005", until="0011"),
    Row(
        _orders(
            ", fulfilments, rules",
            _shipped("shipped") + ", NULL",
            _shipped("processing") + """, '{"approval_threshold": 1, "approval_deadline_s": 2, "retry_window_s": 3}'""",
        ),
        since="0012",
    ),
    Row(
        "order_events (order_id, sequence, key, type, at, detail) VALUES "
        f"('{ORDER}', 1, 'accepted', 'accepted', '2026-01-02 03:04:05Z', '39.98 usd'), "
        f"('{ORDER}', 2, 'completed', 'completed', '2026-01-02 03:05:05Z', '')"
    ),
    Row(
        "order_steps (order_id, step, key, begun_at, outcome, reference) VALUES "
        f"('{ORDER}', 'charge', '{ORDER}/charge', '2026-01-02 03:04:06Z', 'succeeded', 'pi_1'), "
        f"('{ORDER}', 'ship', '{ORDER}/ship', '2026-01-02 03:04:07Z', 'succeeded', 'shp_1'), "
        f"('{OPEN_ORDER}', 'charge', '{OPEN_ORDER}/charge', '2026-01-02 03:04:06Z', NULL, NULL)"
    ),
    Row(
        "reservations (order_id, sku, warehouse, quantity, state) VALUES "
        f"('{ORDER}', 'TEE', 'wh_default', 2, 'shipped'), ('{OPEN_ORDER}', 'TEE', 'wh_default', 2, 'held')"
    ),
    Row(
        "accounts (id, email, name, status, created_at) VALUES "
        f"('{ACCOUNT}', 'ada@example.com', 'Ada', 'pending', '2026-01-02 03:04:05Z')",
        since="0002",
    ),
    Row(
        "sign_ups (key_hash, request_hash, account_id, created_at) VALUES "
        f"(repeat('1', 64), repeat('2', 64), '{ACCOUNT}', '2026-01-02 03:04:05Z')",
        since="0002",
    ),
    Row(f"mails (message_id, outcome, at) VALUES ('{MESSAGE}', 'bounced', now())", since="0002", until="0012"),
    Row(
        f"mails (message_id, id, outcome, at) VALUES ('{MESSAGE}', '{MAIL}', 'bounced', now())",
        since="0013",
    ),
    Row("outbox (aggregate, kind, payload) VALUES ('events/1', 'event', '{}')", since="0002"),
    Row(
        "inbound_events (provider, event_id, type, body) VALUES ('payments', 'evt_1', 'charge.succeeded', '{}')",
        since="0003",
    ),
    Row(
        "attention_items (id, kind, source, order_id, detail) VALUES "
        f"('att_1', 'dispute', 'dp_1', '{ORDER}', 'the customer disputes it')",
        since="0003",
    ),
    Row(
        "webhook_endpoints (id, owner, url, event_types, status, secrets) VALUES "
        f"""('{ENDPOINT}', 'ada', 'https://example.com/hooks', '{{order.*}}', 'active', """
        """'[{"secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "expires_at": null}]')""",
        since="0004",
    ),
    Row(
        "webhook_deliveries (id, endpoint_id, event_key, webhook_id, event_type, body, status, attempts) VALUES "
        f"('{DELIVERY}', '{ENDPOINT}', 'evt/1', 'msg_1', 'order.completed', '{{}}', 'succeeded', 1)",
        since="0004",
    ),
    Row(
        "shipments (fulfilment_id, order_id, carrier_id, status, booked_at) VALUES "
        f"('{ORDER}-1', '{ORDER}', 'shp_1', 'booked', '2026-01-02 03:04:08Z')",
        since="0006",
    ),
    Row(
        "shipment_events (source, event_id, carrier_id, step, occurred_at) VALUES "
        "('webhook', 'evt_2', 'shp_1', 'dispatched', '2026-01-03 03:04:08Z')",
        since="0006",
    ),
    Row(
        "jobs (id, type, subject, arguments, queue, priority, status, attempt, last_error, run_at, finished_at) VALUES "
        f"('{JOB}', 'diagnostics.echo', 'ada', '{_ECHO}', 'jobs', 3, 'scheduled', 0, NULL, now(), NULL), "
        f"('{FAILED_JOB}', 'diagnostics.echo', 'ada', '{_ECHO}', 'jobs', 3, 'failed', 5, '{_ERROR}', now(), now())",
        since="0010",
    ),
    Row(
        f"job_keys (subject, key_hash, request_hash, job_id) VALUES ('ada', repeat('3', 64), repeat('4', 64), '{JOB}')",
        since="0010",
    ),
    Row(
        "reports (id, type, subject, customer_id, accepted_from, accepted_before, format, job_id, key_hash, "
        f"request_hash) VALUES ('{REPORT}', 'orders', 'ada', 'ada', '2026-01-01Z', '2026-02-01Z', 'csv', "
        f"'{JOB}', repeat('5', 64), repeat('6', 64))",
        since="0011",
    ),
    Row(
        "job_batches (id, type, subject, queue, priority, total, key_hash, request_hash) VALUES "
        f"('{BATCH}', 'diagnostics.echo', 'ada', 'jobs-bulk', 4, 2, repeat('7', 64), repeat('8', 64))",
        since="0013",
    ),
    Row(
        "bulk_actions (id, action, filter, per_second, total, actor, note, request_id, key_hash, request_hash) VALUES "
        f"('{BULK}', 'retry', '{{}}', 10, 1, 'olga', '', 'req_3', repeat('9', 64), repeat('0', 64))",
        since="0014",
    ),
    Row(
        f"bulk_items (bulk_id, number, subject, kind) VALUES ('{BULK}', 1, '{FAILED_JOB}', 'job')",
        since="0014",
    ),
    Row("discarded_letters (id, since) VALUES ('job_01J0000000000000000000000C', now())", since="0013"),
    Row(
        "audit_log (id, actor, action, subject, note, request_id) VALUES "
        f"('aud_1', 'olga', 'job.retried', '{FAILED_JOB}', '', 'req_2')",
        since="0013",
    ),
)


def inserts(revision: str) -> list[str]:
    """What fills a database at this revision, in the order that foreign keys want."""
    return [f"INSERT INTO followthrough.{row.insert}" for row in ROWS if row.since <= revision <= row.until]
