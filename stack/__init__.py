"""The embedded stack: PostgreSQL, Temporal, its Web UI, the sandbox, the worker and the API, run without containers."""
