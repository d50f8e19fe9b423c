"""Callers of the session's stack over HTTP, beside the shop that reaches behind it."""

from tests.acceptance.conftest import customer, door, http, operator

__all__ = ["customer", "door", "http", "operator"]
