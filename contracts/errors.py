"""The stable codes of our errors; docs/errors.md says of each what it means and what to do."""

from enum import StrEnum


class ErrorCode(StrEnum):
    # Requests
    INVALID_REQUEST = "invalid_request"
    INVALID_JSON = "invalid_json"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    REQUEST_TOO_LARGE = "request_too_large"
    REQUEST_MALFORMED = "request_malformed"
    REQUEST_TOO_SLOW = "request_too_slow"
    HEADERS_TOO_LARGE = "headers_too_large"
    INVALID_CURSOR = "invalid_cursor"
    IDEMPOTENCY_KEY_MISSING = "idempotency_key_missing"
    IDEMPOTENCY_KEY_INVALID = "idempotency_key_invalid"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    LAST_EVENT_ID_INVALID = "last_event_id_invalid"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    # Who asks
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    SIGNATURE_INVALID = "signature_invalid"
    RATE_LIMITED = "rate_limited"
    # Orders
    UNKNOWN_SKU = "unknown_sku"
    MIXED_CURRENCIES = "mixed_currencies"
    TOTAL_TOO_LARGE = "total_too_large"
    TOO_LATE = "too_late"
    NO_ACTION_REQUIRED = "no_action_required"
    NOT_AWAITING_APPROVAL = "not_awaiting_approval"
    NOT_PARKED = "not_parked"
    BOOKS_CONTRADICT = "books_contradict"
    STOCK_IS_RESERVED = "stock_is_reserved"
    # Accounts
    CONFIRMATION_INVALID = "confirmation_invalid"
    NOT_AWAITING_CONFIRMATION = "not_awaiting_confirmation"
    # Webhooks
    URL_NOT_ALLOWED = "url_not_allowed"
    TOO_MANY_ENDPOINTS = "too_many_endpoints"
    # Jobs
    JOB_BEGAN = "job_began"
    JOB_OVER = "job_over"
    # Reports
    REPORT_NOT_READY = "report_not_ready"
    PRECONDITION_FAILED = "precondition_failed"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable"
    # Dead letters
    NOT_A_DEAD_LETTER = "not_a_dead_letter"
    UNIQUE_KEY_TAKEN = "unique_key_taken"
    CANNOT_BE_RETRIED = "cannot_be_retried"
    MUST_BE_RESOLVED = "must_be_resolved"
    COUNT_DIFFERS = "count_differs"
    NOTHING_TO_RESUME = "nothing_to_resume"
    # Us
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"
    TOO_MANY_EXPORTS = "too_many_exports"
    INTERNAL_ERROR = "internal_error"
