"""Takes in what providers send us: signature first, over the raw body; kept before it is answered; processed after."""

from collections.abc import Mapping
from typing import Literal, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError
from structlog.contextvars import bind_contextvars

from api.errors import InvalidJson, SignatureInvalid
from api.metrics import INBOUND_WEBHOOKS
from api.outages import asking_postgres
from contracts.inbound import InboundEvent, InboundProvider, ProviderWord
from database.inbound import InboundRepository
from providers.webhook_signatures import InvalidSignature, StandardSignatures, StripeSignatures

_EVENT_ID = TypeAdapter(ProviderWord)
_Read = TypeVar("_Read", bound=BaseModel)


class Received(BaseModel):
    """The event is kept: it need not be sent again."""

    received: Literal[True] = True


class _StripeEvent(BaseModel):
    id: ProviderWord
    type: ProviderWord


class _StandardEvent(BaseModel):
    """Standard Webhooks 1.0; the id is in a header."""

    type: ProviderWord


class InboundReceiver:
    """Receives events. Without its secret, nothing that claims to come from a provider is believed."""

    def __init__(
        self, repository: InboundRepository, *, payments_secret: SecretStr | None, carrier_secret: SecretStr | None
    ) -> None:
        self._repository = repository
        self._payments = StripeSignatures(payments_secret.get_secret_value()) if payments_secret else None
        self._carrier = StandardSignatures(carrier_secret.get_secret_value()) if carrier_secret else None

    async def payments(self, headers: Mapping[str, str], body: bytes) -> Received:
        """Keep an event of the payment provider.

        Raises SignatureInvalid, InvalidJson, RequestValidationError for an event without id or type, or Unreachable.
        """
        _check(InboundProvider.PAYMENTS, self._payments, headers, body)
        text = _text(body)
        event = _read(_StripeEvent, text)
        return await self._keep(InboundProvider.PAYMENTS, event.id, event.type, text)

    async def carrier(self, headers: Mapping[str, str], body: bytes) -> Received:
        """Keep an event of the carrier. Raises as `payments` does."""
        _check(InboundProvider.CARRIER, self._carrier, headers, body)
        text = _text(body)
        event = _read(_StandardEvent, text)
        try:
            event_id = _EVENT_ID.validate_python(headers[StandardSignatures.ID_HEADER])
        except ValidationError as error:
            raise _invalid(error, "header", StandardSignatures.ID_HEADER) from error
        return await self._keep(InboundProvider.CARRIER, event_id, event.type, text)

    async def _keep(self, provider: InboundProvider, event_id: str, kind: str, body: str) -> Received:
        bind_contextvars(provider=provider.value, event_id=event_id, event_type=kind)
        event = InboundEvent(provider=provider, id=event_id, type=kind, body=body)
        async with asking_postgres():
            fresh = await self._repository.keep(event)
        INBOUND_WEBHOOKS.labels(provider, "accepted" if fresh else "duplicate").inc()
        return Received()


def _check(
    provider: InboundProvider,
    signatures: StripeSignatures | StandardSignatures | None,
    headers: Mapping[str, str],
    body: bytes,
) -> None:
    try:
        if signatures is None:
            raise InvalidSignature("no secret is configured to check it with")
        signatures.check(headers, body)
    except InvalidSignature as error:
        INBOUND_WEBHOOKS.labels(provider, "forged").inc()
        raise SignatureInvalid(f"The signature is not valid: {error}.") from error


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise InvalidJson from None


def _read(model: type[_Read], text: str) -> _Read:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise _invalid(error, "body") from error


def _invalid(error: ValidationError, *where: str) -> RequestValidationError:
    """The error in the shape that all refusals of bad input are answered from."""
    return RequestValidationError([{**one, "loc": (*where, *one["loc"])} for one in error.errors()])
