"""What follows from changes of accounts: their welcome is started, and hears of what it has to know."""

from collections.abc import Mapping
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.outbox_relay import Handler
from activities.process_starts import RPC_TIMEOUT, start_once
from contracts import queues
from contracts.accounts import Welcome
from contracts.ids import is_account_id, welcome_workflow_id
from contracts.mail import AccountMail, MailKind
from contracts.outbox import OutboxKind, OutboxRow
from contracts.webhooks import WebhookEvent, WebhookEventType

ORDER_MAILS: Mapping[str, MailKind] = {
    WebhookEventType.ORDER_ACCEPTED: MailKind.ORDER_CONFIRMATION,
    WebhookEventType.SHIPMENT_SHIPPED: MailKind.SHIPPING_NOTICE,
}


class AccountOutbox:
    """Handles the outbox rows of accounts. Workflow ids make a repeat harmless."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {
            OutboxKind.ACCOUNT_CREATED: self.created,
            OutboxKind.ADDRESS_TAKEN: self.address_taken,
            OutboxKind.ACCOUNT_CONFIRMED: self.confirmed,
            OutboxKind.ACCOUNT_RESEND: self.resend,
            OutboxKind.ACCOUNT_DELETED: self.deleted,
            OutboxKind.ENDPOINT_DISABLED: self.endpoint_disabled,
            OutboxKind.MAIL_RETRIED: self.mail_retried,
        }

    async def created(self, row: OutboxRow) -> None:
        account_id = row.payload["account_id"]
        welcome = Welcome(account_id=account_id, signed_up_at=row.created_at)
        await self._start("Welcome", welcome, welcome_workflow_id(account_id))

    async def address_taken(self, row: OutboxRow) -> None:
        """Tell the owner; once a day at most, or a stranger could fill the mailbox."""
        day = int(f"{row.created_at:%Y%m%d}")
        mail = AccountMail(account_id=row.payload["account_id"], kind=MailKind.ADDRESS_TAKEN, number=day)
        await self._start("AccountMail", mail, f"mail/{mail.message_key}")

    async def order_event(self, row: OutboxRow) -> None:
        """Write to the account whose order this is, when it is accepted and when it is on its way."""
        event = WebhookEvent.model_validate(row.payload)
        kind = ORDER_MAILS.get(event.type)
        if kind is not None and event.owner is not None and is_account_id(event.owner):
            # A shipment's id is its fulfilment's: the order's, and a number.
            order_id, _, fulfilment = event.id.partition("-")
            mail = AccountMail(account_id=event.owner, kind=kind, number=int(fulfilment or 1), order_id=order_id)
            await self._start("AccountMail", mail, f"mail/{mail.message_key}")

    async def confirmed(self, row: OutboxRow) -> None:
        await self._signal(row, "confirmed")

    async def resend(self, row: OutboxRow) -> None:
        await self._signal(row, "resend", row.payload["number"])

    async def deleted(self, row: OutboxRow) -> None:
        await self._signal(row, "forget")

    async def endpoint_disabled(self, row: OutboxRow) -> None:
        """Tell the owner; each time that it happens is a row of its own."""
        mail = AccountMail(account_id=row.payload["account_id"], kind=MailKind.ENDPOINT_DISABLED, number=row.id)
        await self._start("AccountMail", mail, f"mail/{mail.message_key}")

    async def mail_retried(self, row: OutboxRow) -> None:
        """Send a mail that bounced once more; each time that an operator asks for it is a row of its own."""
        mail = AccountMail.of_message(row.payload["message_id"], row.payload["account_id"])
        await self._start("AccountMail", mail, f"mail/{mail.message_key}/{row.id}")

    async def _start(self, workflow: str, argument: Any, workflow_id: str) -> None:
        await start_once(self._client, workflow, argument, workflow_id, task_queue=queues.ACCOUNTS)

    async def _signal(self, row: OutboxRow, signal: str, *args: Any) -> None:
        handle = self._client.get_workflow_handle(welcome_workflow_id(row.payload["account_id"]))
        try:
            await handle.signal(signal, args=args, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            # Over, whichever way: then there is nobody to tell.
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
