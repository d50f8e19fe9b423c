"""The digest: once for each day, by the server's own reckoning of days, through the real mail server."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import insert, select, update
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.testing import ActivityEnvironment

from activities.digest import DigestActivities
from contracts.attention import AttentionItem, AttentionKind
from contracts.digest import DigestDay, DigestRules
from contracts.ids import new_job_id
from contracts.mail import MailOutcome
from contracts.orders import OrderStatus
from database.attention import AttentionRepository
from database.digest import DigestRepository
from database.mails import MailRepository
from database.tables import attention_items, jobs, mails, orders
from providers.email import Mailer, SmtpServer
from tests.schedules import OPERATORS, OwnSchedule, declared, own_schedule
from tests.shop import RPC_TIMEOUT, Shop, ShopOrder

OSLO = ZoneInfo("Europe/Oslo")


@pytest.fixture
async def in_oslo(shop: Shop) -> AsyncIterator[OwnSchedule]:
    async with own_schedule(shop, declared("daily-digest", digest_zone="Europe/Oslo")) as schedule:
        yield schedule


async def sent(shop: Shop, day: date) -> list[dict[str, str]]:
    """The digests of a day that have arrived."""
    return [mail for mail in await shop.ledger.mails(OPERATORS) if mail["message_id"].startswith(f"<digest.{day}@")]


@pytest.mark.parametrize(
    ("change", "hours", "due"),
    [
        # The clocks go forward from 02:00 to 03:00, and back from 03:00 to 02:00.
        (date(2026, 3, 29), 23, ["28T07:00", "29T06:00", "30T06:00"]),
        (date(2026, 10, 25), 25, ["24T06:00", "25T07:00", "26T07:00"]),
    ],
)
async def test_on_days_on_which_clocks_change_it_comes_once_at_its_time(
    shop: Shop, in_oslo: OwnSchedule, change: date, hours: int, due: list[str]
) -> None:
    midnight = datetime(change.year, change.month, change.day, tzinfo=OSLO).astimezone(UTC)

    # From midnight before the day to midnight after the next one, as the server counts.
    await in_oslo.backfill(midnight - timedelta(days=1), midnight + timedelta(days=2) - timedelta(hours=2))
    runs = await in_oslo.runs(3)

    assert [await run.outcome() for run in runs] == [MailOutcome.SENT] * 3
    starts = [run.execution.id.rpartition(f"{change:%Y-%m}-")[2].removesuffix(":00Z") for run in runs]
    assert starts == due
    for ago in (2, 1, 0):
        [mail] = await sent(shop, change - timedelta(days=ago))
        assert "orders" in mail["subject"]
    # The day itself is told of on the next one.
    [mail] = await sent(shop, change)
    day = DigestDay.before(midnight + timedelta(days=1, hours=8), DigestRules(zone="Europe/Oslo"))
    assert (day.day, day.until - day.since) == (change, timedelta(hours=hours))
    assert f"({day.since:%Y-%m-%d %H:%M} to {day.until:%Y-%m-%d %H:%M} UTC)" in mail["text"]


async def test_the_server_has_one_time_for_every_day_of_years_to_come(shop: Shop, in_oslo: OwnSchedule) -> None:
    days = set()
    for year in (2027, 2028):
        since, until = Timestamp(), Timestamp()
        since.FromDatetime(datetime(year, 1, 1))  # noqa: DTZ001 - taken as UTC
        until.FromDatetime(datetime(year + 1, 1, 1))  # noqa: DTZ001
        answer = await shop.client.workflow_service.list_schedule_matching_times(
            ListScheduleMatchingTimesRequest(
                namespace=shop.client.namespace, schedule_id=in_oslo.handle.id, start_time=since, end_time=until
            ),
            timeout=RPC_TIMEOUT,
        )
        times = [one.ToDatetime(UTC).astimezone(OSLO) for one in answer.start_time]
        assert {(one.hour, one.minute) for one in times} == {(8, 0)}
        assert len(times) == (366 if year == 2028 else 365)
        days |= {one.date() for one in times}
    assert len(days) == 731


async def test_it_tells_of_its_own_day_and_is_sent_once(shop: Shop, in_oslo: OwnSchedule) -> None:
    day = date(2026, 5, 10)
    begins = datetime(2026, 5, 10, tzinfo=OSLO)
    ends = begins + timedelta(days=1)
    paid = await accepted_at(shop, begins, amount=1_000)
    declined = await accepted_at(shop, ends - timedelta(seconds=1), payment_method="pm_card_visa_chargeDeclined")
    await accepted_at(shop, begins - timedelta(seconds=1), amount=7_000)
    await accepted_at(shop, ends, amount=9_000)
    # Accepted long before, and undecided until then.
    await accepted_at(shop, begins - timedelta(days=3), ended_at=begins + timedelta(hours=3), amount=500)
    assert (await paid.booked()).status is OrderStatus.COMPLETED
    assert (await declined.booked()).status is OrderStatus.REJECTED
    await failed_job(shop, begins + timedelta(hours=1))
    await failed_job(shop, ends)
    await opened_item(shop, begins + timedelta(hours=2))

    first = await in_oslo.run_for(datetime(2026, 5, 11, 8, tzinfo=OSLO))
    async with own_schedule(shop, declared("daily-digest", digest_zone="Europe/Oslo")) as another:
        await another.run_for(datetime(2026, 5, 11, 8, tzinfo=OSLO))

    assert await first.summary() == "sent"
    [mail] = await sent(shop, day)
    assert mail["subject"] == "2026-05-10: 2 orders, 3 failures"
    assert mail["text"].replace("\r\n", "\n").strip() == (
        "Orders accepted on 2026-05-10 (2026-05-09 22:00 to 2026-05-10 22:00 UTC): 2\n"
        "  completed: 1\n"
        "  rejected: 1\n"
        "\n"
        "Revenue of orders that ended: 15.00 usd\n"
        "\n"
        "Failures: 3\n"
        "  orders that ended with payment_declined: 1\n"
        "  failed jobs diagnostics.echo: 1\n"
        "  items for your attention, dispute: 1"
    )
    assert "payment_declined: 1" in mail["html"]
    async with shop.engine.connect() as connection:
        recorded = (
            await connection.scalars(select(mails.c.outcome).where(mails.c.message_id == mail["message_id"]))
        ).all()
    assert recorded == [MailOutcome.SENT]


async def test_of_an_order_that_was_sent_in_part_that_part_counts(shop: Shop) -> None:
    order = await shop.order(amount=1_000, on_hand={"wh_lyon": 1, "wh_oslo": 1}, quantity=2)
    await order.meets("ship", "decline", fulfilment=2)
    await order.start()
    assert (await order.settled()).status is OrderStatus.PARTIALLY_COMPLETED
    at = datetime(2026, 6, 1, 12, tzinfo=UTC)
    await move(shop, order, at, at)

    day = DigestDay.before(at + timedelta(days=1), DigestRules(zone="UTC"))
    digest = await DigestRepository(shop.engine).of(day)

    assert digest.orders == {"partially_completed": 1}
    assert [str(money) for money in digest.revenue] == ["10.00 usd"]


async def test_a_mail_server_that_is_away_is_asked_again(shop: Shop, in_oslo: OwnSchedule) -> None:
    await shop.ledger.misbehave(OPERATORS, "send", "unavailable", times=2)

    run = await in_oslo.run_for(datetime(2026, 7, 2, 8, tzinfo=OSLO))

    assert await run.outcome() == MailOutcome.SENT
    assert len(await sent(shop, date(2026, 7, 1))) == 1


async def test_without_an_address_there_is_none(shop: Shop) -> None:
    nowhere = Mailer(
        SmtpServer(host="127.0.0.1", port=1, tls=False, starttls=False, username=None, password=None, timeout_s=1)
    )
    off = DigestActivities(nowhere, None, DigestRepository(shop.engine), MailRepository(shop.engine))
    day = DigestDay.before(datetime(2026, 8, 2, 8, tzinfo=UTC), DigestRules(zone="UTC"))

    assert await ActivityEnvironment().run(off.send_digest, day) is MailOutcome.UNWANTED


async def accepted_at(shop: Shop, at: datetime, *, ended_at: datetime | None = None, **terms: object) -> ShopOrder:
    """An order that was accepted at this time and ended then or later, say our books."""
    order = await shop.place(**terms)
    await order.outcome()
    await move(shop, order, at, ended_at or at)
    return order


async def move(shop: Shop, order: ShopOrder, at: datetime, ended_at: datetime) -> None:
    change = update(orders).where(orders.c.id == order.id).values(created_at=at, updated_at=ended_at)
    async with shop.engine.begin() as connection:
        await connection.execute(change)


async def failed_job(shop: Shop, at: datetime) -> None:
    row = {
        "id": new_job_id(),
        "type": "diagnostics.echo",
        "subject": "digest",
        "arguments": "{}",
        "queue": "jobs",
        "priority": 3,
        "status": "failed",
        "run_at": at,
        "created_at": at - timedelta(days=2),
        "finished_at": at,
    }
    async with shop.engine.begin() as connection:
        await connection.execute(insert(jobs).values(row))


async def opened_item(shop: Shop, at: datetime) -> None:
    source = f"dp_{at:%Y%m%d}"
    await AttentionRepository(shop.engine).open(
        AttentionItem(kind=AttentionKind.DISPUTE, source=source, order_id=None, detail="a dispute")
    )
    async with shop.engine.begin() as connection:
        await connection.execute(
            update(attention_items).where(attention_items.c.source == source).values(opened_at=at, closed_at=at)
        )
