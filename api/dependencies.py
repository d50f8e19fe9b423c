"""What routes ask for by type. All are coroutines: FastAPI would run plain functions in threads."""

import re
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from starlette.requests import HTTPConnection
from temporalio.converter import PayloadCodec

from api.account_keeping import AccountKeeper
from api.attention_feed import AttentionFeed
from api.auth import Principal
from api.bulk_keeping import BulkKeeper
from api.catalogue_cache import CatalogueCache
from api.dead_letter_keeping import DeadLetterKeeper
from api.errors import IdempotencyKeyInvalid, IdempotencyKeyMissing, NotFound
from api.inbound_receiving import InboundReceiver
from api.job_batch_keeping import BatchKeeper
from api.job_feed import JobFeed
from api.job_keeping import JobKeeper
from api.order_commands import OrderCommands
from api.order_exporting import OrderExporter
from api.order_feed import OrderFeed
from api.order_placing import OrderPlacer
from api.order_reading import OrderReader
from api.queue_keeping import QueueKeeper
from api.readiness import Readiness
from api.report_downloads import ReportDownloads
from api.report_keeping import ReportKeeper
from api.schedule_keeping import ScheduleKeeper
from api.services import Services
from api.temporal_links import TemporalLinks
from api.webhook_keeping import WebhookKeeper
from contracts.audit import Act
from contracts.ids import (
    ID_PATTERN,
    is_account_id,
    is_attention_item_id,
    is_batch_id,
    is_bulk_id,
    is_delivery_id,
    is_endpoint_id,
    is_job_id,
    is_report_id,
)
from contracts.text import Note
from database.attention import AttentionRepository
from database.catalogue import Catalogue as CatalogueRepository
from database.fraud import FraudRepository
from database.mails import MailRepository
from database.order_figures import OrderCounts
from database.tallies import Tallies

ORDER_ID = re.compile(ID_PATTERN.format(prefix="ord"))
# Visible ASCII.
KEY = re.compile(r"[\x21-\x7e]{1,255}")
KEY_HEADER = "Idempotency-Key"
KEY_PARAMETER: dict[str, Any] = {
    "name": KEY_HEADER,
    "in": "header",
    "required": True,
    "description": "Names the order within the token's subject: repeating the request with it is safe.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7E]+$"},
    "example": "order-2026-0001",
}

OPTIONAL_KEY_PARAMETER: dict[str, Any] = KEY_PARAMETER | {
    "required": False,
    "description": "Makes a lost answer repeatable: the same key and body are answered the same. Make it a random one: "
    "the keys of all who sign up are beside each other.",
    "example": "0198b2c4-7a4e-7c31-9d5e-2f6b8c1a3e57",
}


def _services(connection: HTTPConnection) -> Services:
    services: Services = connection.app.state.services
    return services


async def _caller(connection: HTTPConnection) -> Principal:
    caller: Principal = connection.state.principal
    return caller


async def _request_id(request: Request) -> str:
    request_id: str = request.state.request_id
    return request_id


async def _acting(request: Request) -> Act:
    """Behind a proxy that is named in FORWARDED_ALLOW_IPS the address is the one that this proxy tells."""
    caller: Principal = request.state.principal
    return Act(
        actor=caller.subject,
        request_id=request.state.request_id,
        from_address=request.client.host if request.client else None,
    )


async def _order_id(
    order_id: Annotated[str, Path(examples=["ord_3ZGVBHQ8S1KX5M7T2N4R6W8Y0C"], description="the order's id")],
) -> str:
    """What is not an id names no order."""
    if not ORDER_ID.fullmatch(order_id):
        raise NotFound
    return order_id


async def _idempotency_key(request: Request) -> str:
    keys = request.headers.getlist(KEY_HEADER)
    if not keys:
        raise IdempotencyKeyMissing("Send one, so that the request can be repeated without placing a second order.")
    if len(keys) > 1 or not KEY.fullmatch(keys[0]):
        raise IdempotencyKeyInvalid("Send one key of 1 to 255 visible ASCII characters.")
    return keys[0]


async def _optional_idempotency_key(request: Request) -> str | None:
    return await _idempotency_key(request) if KEY_HEADER in request.headers else None


async def _account_id(
    account_id: Annotated[str, Path(examples=["acct_3ZGVBHQ8S1KX5M7T2N4R6W8Y0C"], description="the account's id")],
) -> str:
    """What is not an id names no account."""
    if not is_account_id(account_id):
        raise NotFound
    return account_id


async def _endpoint_id(
    endpoint_id: Annotated[str, Path(examples=["whe_01K5X7M2N4R6W8Y0C3ZGVBHQ8S"], description="the endpoint's id")],
) -> str:
    """What is not an id names no endpoint."""
    if not is_endpoint_id(endpoint_id):
        raise NotFound
    return endpoint_id


async def _delivery_id(
    delivery_id: Annotated[str, Path(examples=["whd_01K5X7M2N4R6W8Y0C3ZGVBHQ8S"], description="the delivery's id")],
) -> str:
    """What is not an id names no delivery."""
    if not is_delivery_id(delivery_id):
        raise NotFound
    return delivery_id


async def _job_id(
    job_id: Annotated[str, Path(examples=["job_01K5X7M2N4R6W8Y0C3ZGVBHQ8S"], description="the job's id")],
) -> str:
    """What is not an id names no job."""
    if not is_job_id(job_id):
        raise NotFound
    return job_id


async def _report_id(
    report_id: Annotated[str, Path(examples=["rpt_01K5X7M2N4R6W8Y0C3ZGVBHQ8S"], description="the report's id")],
) -> str:
    """What is not an id names no report."""
    if not is_report_id(report_id):
        raise NotFound
    return report_id


async def _batch_id(
    batch_id: Annotated[str, Path(examples=["bat_01K5X7M2N4R6W8Y0C3ZGVBHQ8S"], description="the batch's id")],
) -> str:
    """What is not an id names no batch."""
    if not is_batch_id(batch_id):
        raise NotFound
    return batch_id


async def _bulk_id(
    bulk_id: Annotated[str, Path(examples=["blk_01K5X7M2N4R6W8Y0C3ZGVBHQ8S"], description="the bulk action's id")],
) -> str:
    """What is not an id names no bulk action."""
    if not is_bulk_id(bulk_id):
        raise NotFound
    return bulk_id


async def _item_id(
    item_id: Annotated[str, Path(examples=["att_01K5X7M2N4R6W8Y0C3ZGVBHQ8S"], description="the attention item's id")],
) -> str:
    """What is not an id names no item."""
    if not is_attention_item_id(item_id):
        raise NotFound
    return item_id


async def _accounts(request: Request) -> AccountKeeper:
    return _services(request).accounts


async def _inbound(request: Request) -> InboundReceiver:
    return _services(request).inbound


async def _webhooks(request: Request) -> WebhookKeeper:
    return _services(request).webhooks


async def _jobs(request: Request) -> JobKeeper:
    return _services(request).jobs


async def _reports(request: Request) -> ReportKeeper:
    return _services(request).reports


async def _downloads(request: Request) -> ReportDownloads:
    return _services(request).downloads


async def _job_feed(request: Request) -> JobFeed:
    return _services(request).job_feed


async def _batches(request: Request) -> BatchKeeper:
    return _services(request).batches


async def _dead_letters(request: Request) -> DeadLetterKeeper:
    return _services(request).dead_letters


async def _queues(request: Request) -> QueueKeeper:
    return _services(request).queues


async def _bulks(request: Request) -> BulkKeeper:
    return _services(request).bulks


async def _mails(request: Request) -> MailRepository:
    return _services(request).mails


async def _reader(connection: HTTPConnection) -> OrderReader:
    return _services(connection).reader


async def _feed(connection: HTTPConnection) -> OrderFeed:
    return _services(connection).feed


async def _exporter(request: Request) -> OrderExporter:
    return _services(request).exporter


async def _placer(request: Request) -> OrderPlacer:
    return _services(request).placer


async def _commands(request: Request) -> OrderCommands:
    return _services(request).commands


async def _catalogue(request: Request) -> CatalogueRepository:
    return _services(request).catalogue


async def _catalogue_in_memory(request: Request) -> CatalogueCache:
    return _services(request).catalogue_cache


async def _merchandiser_is_mailed(request: Request) -> bool:
    return _services(request).merchandiser_is_mailed


async def _fraud(request: Request) -> FraudRepository:
    return _services(request).fraud


async def _schedules(request: Request) -> ScheduleKeeper:
    return _services(request).schedules


async def _attention(request: Request) -> AttentionRepository:
    return _services(request).attention


async def _codec(request: Request) -> PayloadCodec | None:
    return _services(request).payload_codec


async def _attention_feed(request: Request) -> AttentionFeed:
    return _services(request).attention_feed


async def _tallies(request: Request) -> Tallies:
    return _services(request).tallies


async def _order_counts(request: Request) -> OrderCounts:
    return _services(request).order_counts


async def _temporal_links(request: Request) -> TemporalLinks:
    return _services(request).temporal_links


async def _readiness(request: Request) -> Readiness:
    return _services(request).readiness


Caller = Annotated[Principal, Depends(_caller)]
RequestId = Annotated[str, Depends(_request_id)]
# Of whoever calls, without a reason yet.
Acting = Annotated[Act, Depends(_acting)]
# DELETE has no body (RFC 9110, 9.3.5).
NoteInQuery = Annotated[Note | None, Query(description="why an operator does this; kept in the audit log")]
OrderIdInPath = Annotated[str, Depends(_order_id)]
IdempotencyKey = Annotated[str, Depends(_idempotency_key)]
OptionalIdempotencyKey = Annotated[str | None, Depends(_optional_idempotency_key)]
AccountIdInPath = Annotated[str, Depends(_account_id)]
Accounts = Annotated[AccountKeeper, Depends(_accounts)]
Inbound = Annotated[InboundReceiver, Depends(_inbound)]
EndpointIdInPath = Annotated[str, Depends(_endpoint_id)]
DeliveryIdInPath = Annotated[str, Depends(_delivery_id)]
Webhooks = Annotated[WebhookKeeper, Depends(_webhooks)]
JobIdInPath = Annotated[str, Depends(_job_id)]
Jobs = Annotated[JobKeeper, Depends(_jobs)]
ReportIdInPath = Annotated[str, Depends(_report_id)]
Reports = Annotated[ReportKeeper, Depends(_reports)]
Downloads = Annotated[ReportDownloads, Depends(_downloads)]
JobNews = Annotated[JobFeed, Depends(_job_feed)]
BatchIdInPath = Annotated[str, Depends(_batch_id)]
Batches = Annotated[BatchKeeper, Depends(_batches)]
Letters = Annotated[DeadLetterKeeper, Depends(_dead_letters)]
ItemIdInPath = Annotated[str, Depends(_item_id)]
BulkIdInPath = Annotated[str, Depends(_bulk_id)]
Bulks = Annotated[BulkKeeper, Depends(_bulks)]
Mails = Annotated[MailRepository, Depends(_mails)]
Reader = Annotated[OrderReader, Depends(_reader)]
Feed = Annotated[OrderFeed, Depends(_feed)]
Exporter = Annotated[OrderExporter, Depends(_exporter)]
Placer = Annotated[OrderPlacer, Depends(_placer)]
Commands = Annotated[OrderCommands, Depends(_commands)]
Catalogue = Annotated[CatalogueRepository, Depends(_catalogue)]
CatalogueInMemory = Annotated[CatalogueCache, Depends(_catalogue_in_memory)]
MerchandiserIsMailed = Annotated[bool, Depends(_merchandiser_is_mailed)]
Fraud = Annotated[FraudRepository, Depends(_fraud)]
Queues = Annotated[QueueKeeper, Depends(_queues)]
Schedules = Annotated[ScheduleKeeper, Depends(_schedules)]
Attention = Annotated[AttentionRepository, Depends(_attention)]
Codec = Annotated[PayloadCodec | None, Depends(_codec)]
AttentionNews = Annotated[AttentionFeed, Depends(_attention_feed)]
Counted = Annotated[Tallies, Depends(_tallies)]
OrderFigures = Annotated[OrderCounts, Depends(_order_counts)]
UiLinks = Annotated[TemporalLinks, Depends(_temporal_links)]
Ready = Annotated[Readiness, Depends(_readiness)]
