"""Problem details (RFC 9457): every error a client can see, and the one place where anything raised becomes one."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.outages import is_outage
from contracts.errors import ErrorCode

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_S = 2
# An export takes seconds.
RETRY_EXPORT_AFTER_S = 5
MAX_ERRORS_SHOWN = 50
MAX_FIELD_SHOWN = 100
MAX_INSTANCE_SHOWN = 200


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    field: str = Field(examples=["lines.0.quantity"])
    message: str = Field(examples=["Input should be less than or equal to 1000"])


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 writes it. Programs go by `code`, people read `detail`."""

    type: str = Field(examples=["urn:problem-type:followthrough:invalid_request"])
    title: str = Field(examples=["The request is not valid"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["1 field is not valid"])
    code: ErrorCode = Field(examples=[ErrorCode.INVALID_REQUEST])
    request_id: str = Field(description="also in the X-Request-Id header and in our logs", examples=["c0ffee"])
    instance: str | None = Field(default=None, description="the path asked for", examples=["/v1/orders"])
    errors: list[FieldError] | None = Field(
        default=None, description="with `invalid_request`, and with `request_too_large` where a part of the body is"
    )


class Problem(Exception):
    """The base of every error we answer with; docs/errors.md says of each code what to do about it."""

    status: ClassVar[int]
    code: ClassVar[ErrorCode]
    title: ClassVar[str]

    def __init__(
        self, detail: str | None = None, *, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        self.detail = detail or f"{self.title}."
        self.errors = errors
        self.headers = dict(headers or {})
        super().__init__(self.detail)

    def body(self, request_id: str, instance: str | None = None) -> dict[str, Any]:
        members: dict[str, Any] = {
            "type": f"urn:problem-type:followthrough:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        if instance is not None:
            members["instance"] = instance
        if self.errors:
            members["errors"] = [error.model_dump() for error in self.errors]
        return members

    def response(self, request_id: str, path: str | None = None) -> Response:
        """The answer. A very long path is not repeated."""
        instance = path if path is not None and len(path) <= MAX_INSTANCE_SHOWN else None
        return Response(json.dumps(self.body(request_id, instance)), self.status, self.headers, media_type=PROBLEM_JSON)


class InvalidRequest(Problem):
    status, code, title = 422, ErrorCode.INVALID_REQUEST, "The request is not valid"


class InvalidJson(Problem):
    status, code, title = 400, ErrorCode.INVALID_JSON, "The body is not JSON in UTF-8"


class UnsupportedMediaType(Problem):
    status, code, title = 415, ErrorCode.UNSUPPORTED_MEDIA_TYPE, "The body must be application/json"


class RequestTooLarge(Problem):
    status, code, title = 413, ErrorCode.REQUEST_TOO_LARGE, "The body is too large"


class RequestMalformed(Problem):
    status, code, title = 400, ErrorCode.REQUEST_MALFORMED, "This is no HTTP request"


class RequestTooSlow(Problem):
    status, code, title = 408, ErrorCode.REQUEST_TOO_SLOW, "The request took too long to arrive"


class HeadersTooLarge(Problem):
    status, code, title = 431, ErrorCode.HEADERS_TOO_LARGE, "The headers are too large"


class InvalidCursor(Problem):
    status, code, title = 400, ErrorCode.INVALID_CURSOR, "The cursor is not one that a list gave"


class IdempotencyKeyMissing(Problem):
    status, code, title = 400, ErrorCode.IDEMPOTENCY_KEY_MISSING, "The Idempotency-Key header is missing"


class IdempotencyKeyInvalid(Problem):
    status, code, title = 400, ErrorCode.IDEMPOTENCY_KEY_INVALID, "The Idempotency-Key header is not valid"


class IdempotencyKeyReused(Problem):
    status, code, title = 422, ErrorCode.IDEMPOTENCY_KEY_REUSED, "This key was used with another body"


class LastEventIdInvalid(Problem):
    status, code, title = 400, ErrorCode.LAST_EVENT_ID_INVALID, "The Last-Event-ID header is not valid"


class NotFound(Problem):
    status, code, title = 404, ErrorCode.NOT_FOUND, "There is nothing here"


class MethodNotAllowed(Problem):
    status, code, title = 405, ErrorCode.METHOD_NOT_ALLOWED, "This method is not allowed here"


class Unauthenticated(Problem):
    status, code, title = 401, ErrorCode.UNAUTHENTICATED, "A valid bearer token is needed"


class Forbidden(Problem):
    status, code, title = 403, ErrorCode.FORBIDDEN, "The token does not allow this"


class SignatureInvalid(Problem):
    status, code, title = 401, ErrorCode.SIGNATURE_INVALID, "The webhook's signature is not valid"


class RateLimited(Problem):
    status, code, title = 429, ErrorCode.RATE_LIMITED, "Too many requests"


class UnknownSku(Problem):
    status, code, title = 422, ErrorCode.UNKNOWN_SKU, "The catalogue has no such SKU"


class MixedCurrencies(Problem):
    status, code, title = 422, ErrorCode.MIXED_CURRENCIES, "An order has one currency"


class TotalTooLarge(Problem):
    status, code, title = 422, ErrorCode.TOTAL_TOO_LARGE, "The order's total is too large to be charged"


class TooLate(Problem):
    status, code, title = 409, ErrorCode.TOO_LATE, "The order is with the carrier, or over"


class NoActionRequired(Problem):
    status, code, title = 409, ErrorCode.NO_ACTION_REQUIRED, "The order does not wait for its customer"


class NotAwaitingApproval(Problem):
    status, code, title = 409, ErrorCode.NOT_AWAITING_APPROVAL, "The order does not wait for this decision"


class NotParked(Problem):
    status, code, title = 409, ErrorCode.NOT_PARKED, "The order does not wait for an operator"


class BooksContradict(Problem):
    status, code, title = 409, ErrorCode.BOOKS_CONTRADICT, "Our books contradict this status"


class StockIsReserved(Problem):
    status, code, title = 409, ErrorCode.STOCK_IS_RESERVED, "Orders hold more than that"


class ConfirmationInvalid(Problem):
    status, code, title = 422, ErrorCode.CONFIRMATION_INVALID, "The confirmation link does not work"


class NotAwaitingConfirmation(Problem):
    status, code, title = 409, ErrorCode.NOT_AWAITING_CONFIRMATION, "The account does not wait for its confirmation"


class UrlNotAllowed(Problem):
    status, code, title = 422, ErrorCode.URL_NOT_ALLOWED, "Webhooks are not sent to this URL"


class TooManyEndpoints(Problem):
    status, code, title = 409, ErrorCode.TOO_MANY_ENDPOINTS, "There are as many webhook endpoints as one may have"


class JobBegan(Problem):
    status, code, title = 409, ErrorCode.JOB_BEGAN, "The job does not wait for its time any more"


class JobOver(Problem):
    status, code, title = 409, ErrorCode.JOB_OVER, "The job is over"


class ReportNotReady(Problem):
    status, code, title = 409, ErrorCode.REPORT_NOT_READY, "The report has no file"


class PreconditionFailed(Problem):
    status, code, title = 412, ErrorCode.PRECONDITION_FAILED, "The file is another one"


class RangeNotSatisfiable(Problem):
    status, code, title = 416, ErrorCode.RANGE_NOT_SATISFIABLE, "The file has no such bytes"


class NotADeadLetter(Problem):
    status, code, title = 409, ErrorCode.NOT_A_DEAD_LETTER, "This did not fail, or was seen to already"


class UniqueKeyTaken(Problem):
    status, code, title = 409, ErrorCode.UNIQUE_KEY_TAKEN, "Another job lives under this one's unique key"


class CannotBeRetried(Problem):
    status, code, title = 409, ErrorCode.CANNOT_BE_RETRIED, "There is no way to have this done again"


class MustBeResolved(Problem):
    status, code, title = 409, ErrorCode.MUST_BE_RESOLVED, "A parked order cannot be discarded"


class CountDiffers(Problem):
    status, code, title = 409, ErrorCode.COUNT_DIFFERS, "There are not as many as expected"


class NothingToResume(Problem):
    status, code, title = 409, ErrorCode.NOTHING_TO_RESUME, "This bulk action did not fail"


class TemporarilyUnavailable(Problem):
    status, code, title = 503, ErrorCode.TEMPORARILY_UNAVAILABLE, "A part of the service does not answer"

    def __init__(self, detail: str = "Try again in a moment.") -> None:
        super().__init__(detail, headers={"Retry-After": str(RETRY_AFTER_S)})


class TooManyExports(Problem):
    status, code, title = 503, ErrorCode.TOO_MANY_EXPORTS, "As many exports as may be are under way"

    def __init__(self, detail: str = "Try again in a moment.") -> None:
        super().__init__(detail, headers={"Retry-After": str(RETRY_EXPORT_AFTER_S)})


class InternalError(Problem):
    status, code, title = 500, ErrorCode.INTERNAL_ERROR, "Something is wrong on our side"


def problem_of(error: Exception) -> Problem:
    """What to answer when this was raised."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _not_valid(error)
    if isinstance(error, HTTPException):
        return _from_framework(error)
    if is_outage(error):
        return TemporarilyUnavailable()
    return InternalError("The error was logged under this request id.")


def _not_valid(error: RequestValidationError) -> Problem:
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return InvalidJson()
    errors = [FieldError(field=_field(one["loc"]), message=_message(one)) for one in found[:MAX_ERRORS_SHOWN]]
    return InvalidRequest(
        f"{len(found)} field is not valid" if len(found) == 1 else f"{len(found)} fields are not valid", errors=errors
    )


def _field(location: Sequence[str | int]) -> str:
    """Where in the body, query or header; names that the client made up are cut and made printable."""
    within = location[1:] or location
    name = ".".join(str(part) for part in within)
    return name[:MAX_FIELD_SHOWN].encode("ascii", "backslashreplace").decode()


def _message(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ")


def _from_framework(error: HTTPException) -> Problem:
    match error.status_code:
        case 400:
            # FastAPI's word for a body that json.loads chokes on in any way but a syntax error.
            return InvalidJson()
        case 404:
            return NotFound()
        case 405:
            return MethodNotAllowed()
        case _:
            return InternalError()
