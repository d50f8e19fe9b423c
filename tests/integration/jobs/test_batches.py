"""What a batch does behind the API: its window, and what its process costs."""

import asyncio

from sqlalchemy import func, select

from contracts.job_batches import WINDOW
from contracts.jobs import JobStatus
from database.job_batches import BatchRepository
from database.tables import jobs, outbox
from tests.replay.batch_shapes import ShopBatch
from tests.shop import POLL_S, WITHIN_S, Shop

MORE_THAN_A_WINDOW = WINDOW + 50


async def test_no_more_than_a_window_is_let_go_at_once_whoever_asks(shop: Shop) -> None:
    batch = await ShopBatch.accepted(shop, MORE_THAN_A_WINDOW, queue="of-nobody")
    repository = BatchRepository(shop.engine)

    turns = await asyncio.gather(*(repository.release(batch.id, WINDOW) for _ in range(5)))

    assert {(turn.held, turn.live) for turn in turns} == {(50, WINDOW)}
    async with shop.engine.connect() as connection:
        let_go = select(func.count()).where(jobs.c.batch_id == batch.id, ~jobs.c.held)
        assert await connection.scalar(let_go) == WINDOW
        first = select(func.max(jobs.c.batch_item)).where(jobs.c.batch_id == batch.id, ~jobs.c.held)
        assert await connection.scalar(first) == WINDOW - 1
    await repository.cancel(batch.id)
    await batch.outcome()


async def test_what_a_cancelled_batch_held_back_is_never_let_go(shop: Shop) -> None:
    batch = await ShopBatch.accepted(shop, MORE_THAN_A_WINDOW, queue="of-nobody")
    repository = BatchRepository(shop.engine)

    await repository.cancel(batch.id)

    assert (await repository.release(batch.id, WINDOW)).released == 0
    async with shop.engine.connect() as connection:
        held = select(jobs.c.id).where(jobs.c.batch_id == batch.id, jobs.c.held)
        left = select(func.count()).where(
            outbox.c.aggregate.in_([f"job/{one}" for one in await connection.scalars(held)])
        )
        assert await connection.scalar(left) == 0
    await batch.outcome()


async def test_a_batch_whose_process_somebody_terminates_is_cancelled(shop: Shop) -> None:
    batch = await ShopBatch.accepted(shop, MORE_THAN_A_WINDOW, queue="of-nobody")

    await batch.handle.terminate()

    repository = BatchRepository(shop.engine)
    async with asyncio.timeout(WITHIN_S):
        while (progress := await repository.progress(batch.id, failures=1)).finished_at is None:
            await asyncio.sleep(POLL_S)
    assert progress.counts == {JobStatus.CANCELLED: MORE_THAN_A_WINDOW}
    booked = await repository.find(batch.id)
    assert booked is not None
    assert booked.cancel_requested_at is not None


async def test_arguments_are_in_no_history(shop: Shop) -> None:
    batch = await ShopBatch.accepted(shop, 3)
    await batch.outcome()

    assert "hello" not in (await batch.history()).to_json()
