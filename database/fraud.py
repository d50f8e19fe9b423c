"""The fraud limit and the suspension of checks, as operators set them. `database.spendings` judges by them."""

from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.fraud import FraudLimit, FraudSettings, Maintenance
from database.tables import fraud_settings


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
