"""Every shape that the history of a schedule's run can take."""

from tests.schedules import Run, run_now
from tests.shop import Shop
from tests.upkeep_faults import breaking


async def cleaned_up(shop: Shop) -> Run:
    return await run_now(shop, "cleanup-expired")


async def cleaned_up_in_part(shop: Shop) -> Run:
    async with breaking(shop, "sign_ups"):
        return await run_now(shop, "cleanup-expired")


async def digest_sent(shop: Shop) -> Run:
    return await run_now(shop, "daily-digest")


async def payments_reconciled(shop: Shop) -> Run:
    return await run_now(shop, "reconcile-payments")


async def webhooks_looked_at(shop: Shop) -> Run:
    return await run_now(shop, "webhook-health")


async def orders_looked_at(shop: Shop) -> Run:
    return await run_now(shop, "stuck-orders")


async def orders_not_looked_at(shop: Shop) -> Run:
    async with breaking(shop, "fraud_settings"):
        return await run_now(shop, "stuck-orders")
