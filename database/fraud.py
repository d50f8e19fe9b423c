"""The fraud limit: what operators set, and the ledger of what each customer spends.

The ledger has every order, whether a limit is set or not: one that is set today counts what was spent yesterday.
"""

from datetime import datetime

from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.fraud import FraudLimit, FraudSettings, Maintenance, Verdict
from database.tables import fraud_settings
from database.transaction import Connection

# An SQL expression: whether orders have to be checked now.
NEEDED = "(SELECT limit_amount IS NOT NULL OR maintenance FROM followthrough.fraud_settings)"


def recording(order_id: str, customer_id: str, amount: str, at: str) -> str:
    """The statement that has an order count which needs no check; the arguments are SQL, parameters for instance.

    For a statement that is sent anyway and returns NEEDED: who takes it along may leave out `check` where none is.
    """
    return f"""
        INSERT INTO followthrough.fraud_spendings (order_id, customer_id, amount, at)
        SELECT {order_id}, {customer_id}, {amount}, {at} WHERE NOT {NEEDED}
        ON CONFLICT (order_id) DO NOTHING
    """


# The customer's orders are judged one after the other. The lock has a statement of its own, so that the one that
# judges sees what was spent by whoever had the lock before.
_RECORD_OR_LOCK = f"""
    WITH recorded AS ({recording("$1", "$2", "$3", "$4")})
    SELECT CASE WHEN {NEEDED} THEN
        pg_advisory_xact_lock(hashtextextended('fraud/' || $2::text, 0)) IS NOT NULL
    END
"""
_JUDGE = """
    WITH spent AS (
        SELECT coalesce(sum(amount), 0) AS amount
        FROM followthrough.fraud_spendings, followthrough.fraud_settings
        WHERE customer_id = $2 AND at > $4::timestamptz - make_interval(secs => window_s)
    ), judged AS (
        SELECT CASE
            WHEN EXISTS (SELECT FROM followthrough.fraud_spendings WHERE order_id = $1) THEN 'passed'
            WHEN maintenance THEN 'maintenance'
            WHEN spent.amount + $3::bigint > limit_amount THEN 'over_limit'
            ELSE 'passed'
        END AS verdict
        FROM followthrough.fraud_settings, spent
    ), recorded AS (
        INSERT INTO followthrough.fraud_spendings (order_id, customer_id, amount, at)
        SELECT $1, $2, $3, $4 FROM judged WHERE verdict = 'passed'
        ON CONFLICT (order_id) DO NOTHING
    )
    SELECT verdict FROM judged
"""
_GIVE_BACK = """
    MERGE INTO followthrough.fraud_spendings
    USING (VALUES ($1, $2::bigint)) AS given (order_id, amount) ON fraud_spendings.order_id = given.order_id
    WHEN MATCHED AND fraud_spendings.amount > given.amount
        THEN UPDATE SET amount = fraud_spendings.amount - given.amount
    WHEN MATCHED THEN DELETE
"""


async def check(connection: Connection, customer_id: str, order_id: str, amount: int, at: datetime) -> Verdict:
    """Whether a customer may spend this much, in minor units, at this time; what may be spent counts from then on.

    An order that passed once passes again. Where a limit is set, other orders of the customer wait until this
    connection's transaction ends: whoever needs other locks, of stock say, takes them before.
    """
    order = (order_id, customer_id, amount, at)
    if not await connection.fetchval(_RECORD_OR_LOCK, *order):
        return Verdict.NOT_NEEDED
    return Verdict(await connection.fetchval(_JUDGE, *order))


async def give_back(connection: Connection, order_id: str, amount: int) -> None:
    """Count this much less for an order: it was declined, cancelled or refunded.

    To be called once for each amount, in the transaction that books it.
    """
    await connection.execute(_GIVE_BACK, order_id, amount)


class FraudRepository:
    """Reads and changes what operators set. There is one row of it."""

    def __init__(self, engine: AsyncEngine) -> None:
        # Single statements need no transaction around them.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def settings(self) -> FraudSettings:
        async with self._engine.connect() as connection:
            return _settings((await connection.execute(select(fraud_settings))).one())

    async def set_limit(self, limit: FraudLimit | None) -> FraudSettings:
        """None switches it off."""
        return await self._change(
            limit_amount=limit.amount if limit else None, window_s=limit.window_s if limit else None
        )

    async def set_maintenance(self, maintenance: Maintenance) -> FraudSettings:
        return await self._change(maintenance=maintenance.enabled)

    async def _change(self, **values: int | bool | None) -> FraudSettings:
        change = update(fraud_settings).values(**values, updated_at=func.now()).returning(*fraud_settings.c)
        async with self._engine.connect() as connection:
            return _settings((await connection.execute(change)).one())


def _settings(row: Row[tuple[object, ...]]) -> FraudSettings:
    limit = None
    if row.limit_amount is not None:
        limit = FraudLimit(amount=row.limit_amount, window_s=row.window_s)
    return FraudSettings(limit=limit, maintenance=Maintenance(enabled=row.maintenance))
