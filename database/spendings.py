"""What a customer spends, as our books have it, and whether one may spend more."""

from datetime import datetime

from contracts.fraud import Verdict
from database.transaction import Connection

# An SQL expression: whether what is charged from now on is checked first.
CHECKS_FRAUD = """
    EXISTS (SELECT FROM followthrough.fraud_settings WHERE limit_amount IS NOT NULL OR maintenance)
"""

# In a statement of its own, so that the next one sees what was announced by whoever had the lock before.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('spendings/' || $1, 0))"
# An order that was charged within the window was changed within it.
_JUDGE = """
    WITH charged AS (
        SELECT (line ->> 'quantity')::bigint * (line -> 'unit_price' ->> 'amount')::bigint AS amount
        FROM followthrough.fraud_settings
            JOIN followthrough.orders ON customer_id = $1 AND orders.id <> $2
                AND orders.updated_at > $4::timestamptz - make_interval(secs => window_s)
            JOIN followthrough.order_steps AS charge ON charge.order_id = orders.id AND charge.step = 'charge'
                AND charge.begun_at > $4::timestamptz - make_interval(secs => window_s)
                AND (charge.outcome = 'succeeded' OR charge.outcome IS NULL AND phase <> 'closed')
            LEFT JOIN followthrough.order_steps AS refund ON refund.order_id = orders.id AND refund.step = 'refund'
                AND refund.fulfilment = charge.fulfilment AND refund.outcome = 'succeeded'
            CROSS JOIN jsonb_array_elements(fulfilments) AS part
            CROSS JOIN jsonb_array_elements(part -> 'lines') AS line
        WHERE refund.order_id IS NULL AND (part ->> 'number')::smallint = charge.fulfilment
    )
    SELECT CASE
        WHEN maintenance THEN 'maintenance'
        WHEN limit_amount IS NULL THEN 'not_needed'
        WHEN (SELECT coalesce(sum(amount), 0) FROM charged) + $3::bigint > limit_amount THEN 'over_limit'
        ELSE 'passed'
    END
    FROM followthrough.fraud_settings
"""


async def judge(connection: Connection, customer_id: str, order_id: str, amount: int, at: datetime) -> Verdict:
    """Whether this order may cost its customer so much, in minor units, at this time.

    Counted is what the customer's other orders were charged within the window, or are being charged; what was declined,
    cancelled or refunded is not. Until this connection's transaction ends no other order of the customer is judged, so
    that an order which is let through counts for the next one as soon as its charges are announced.
    """
    await connection.execute(_LOCK, customer_id)
    return Verdict(await connection.fetchval(_JUDGE, customer_id, order_id, amount, at))
