"""Operators over HTTP, beside the shop that reaches behind it."""

from tests.acceptance.conftest import door, http, operator

__all__ = ["door", "http", "operator"]
