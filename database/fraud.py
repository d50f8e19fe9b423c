"""The fraud limit and the suspension of checks, as operators set them. `database.spendings` judges by them."""

from collections.abc import Mapping

from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.audit import Act, AuditAction
from contracts.fraud import FraudLimit, FraudSettings, Maintenance
from database.audit import record
from database.tables import fraud_settings

# What entries of the audit log name as their subject.
SUBJECT = "fraud"


class FraudRepository:
    """Reads and changes what operators set. There is one row of it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def settings(self) -> FraudSettings:
        async with self._engine.connect() as connection:
            return _settings((await connection.execute(select(fraud_settings))).one())

    async def set_limit(self, limit: FraudLimit | None, act: Act | None = None) -> FraudSettings:
        """None switches it off."""
        values = {"limit_amount": limit.amount if limit else None, "window_s": limit.window_s if limit else None}
        return await self._change(values, act, AuditAction.FRAUD_LIMIT)

    async def set_maintenance(self, maintenance: Maintenance, act: Act | None = None) -> FraudSettings:
        return await self._change({"maintenance": maintenance.enabled}, act, AuditAction.FRAUD_MAINTENANCE)

    async def _change(
        self, values: Mapping[str, int | bool | None], act: Act | None, action: AuditAction
    ) -> FraudSettings:
        change = update(fraud_settings).values(**values, updated_at=func.now()).returning(*fraud_settings.c)
        async with self._engine.begin() as connection:
            before = _settings((await connection.execute(select(fraud_settings).with_for_update())).one())
            after = _settings((await connection.execute(change)).one())
            if act is not None:
                await record(connection, act, action, SUBJECT, before=before.model_dump(), after=after.model_dump())
        return after


def _settings(row: Row[tuple[object, ...]]) -> FraudSettings:
    limit = None
    if row.limit_amount is not None:
        limit = FraudLimit(amount=row.limit_amount, window_s=row.window_s)
    return FraudSettings(limit=limit, maintenance=Maintenance(enabled=row.maintenance))
