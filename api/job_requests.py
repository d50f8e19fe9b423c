"""What requests for jobs are checked for, beyond their form: the type says where its jobs go and what they take."""

from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from api.errors import FieldError, InvalidRequest, RequestTooLarge
from contracts.job_types import OFFERED
from contracts.jobs import MAX_ARGUMENTS_BYTES, JobType


def type_of(name: str, queue: str | None) -> JobType:
    """Raises InvalidRequest for no type of ours, and for a queue that its jobs cannot be sent to."""
    job_type = OFFERED.get(name)
    if job_type is None:
        raise invalid("type", f"must be one of {', '.join(sorted(OFFERED))}")
    if queue is not None and queue not in job_type.allowed_queues:
        raise invalid("queue", f"must be one of {', '.join(job_type.allowed_queues)}")
    return job_type


def arguments_of(job_type: JobType, sent: dict[str, Any], *place: str | int) -> BaseModel:
    """Raises RequestValidationError that names each wrong field, below its place in the body."""
    try:
        return job_type.arguments.model_validate(sent)
    except ValidationError as error:
        raise RequestValidationError(
            [{**found, "loc": ("body", *place, *found["loc"])} for found in error.errors(include_context=False)]
        ) from None


def written(arguments: BaseModel, field: str) -> str:
    """As JSON. Raises InvalidRequest for what cannot be, and RequestTooLarge for what no job may have."""
    try:
        text = arguments.model_dump_json()
    except PydanticSerializationError:
        raise invalid(field, "must be Unicode text, without lone surrogates") from None
    if len(text.encode()) > MAX_ARGUMENTS_BYTES:
        allowed = f"must have at most {MAX_ARGUMENTS_BYTES} bytes as JSON"
        raise RequestTooLarge(
            f"{field} {allowed}. Store what is larger, and pass its id.",
            errors=[FieldError(field=field, message=allowed)],
        )
    return text


def invalid(field: str, message: str) -> InvalidRequest:
    return InvalidRequest("1 field is not valid", errors=[FieldError(field=field, message=message)])
