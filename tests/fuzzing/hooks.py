"""What Schemathesis loads into its own process before it reads the API's document."""

import os
from typing import Any

import schemathesis


@schemathesis.hook
def before_load_schema(context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Take away `default`, which stands for any status: what is answered must be documented by itself."""
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("default", None)


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: "schemathesis.Case[Any]", kwargs: dict[str, Any]) -> None:
    """Have webhooks go to this machine, or nowhere: nothing is to leave it."""
    if isinstance(case.body, dict) and str(case.body.get("url", "")).startswith("https://"):
        case.body = case.body | {"url": os.environ["FUZZ_WEBHOOKS_TO"]}
