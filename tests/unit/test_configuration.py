"""docs/configuration.md says what settings.py does."""

import re
from pathlib import Path

from pydantic_core import PydanticUndefined

from settings import (
    ApiSettings,
    DatabaseSettings,
    DeploymentSettings,
    DigestSettings,
    EventLoopSettings,
    JobSettings,
    MerchandiserSettings,
    OrderSettings,
    PayloadSettings,
    RetentionSettings,
    ScheduleSettings,
    SessionSettings,
    TemporalSettings,
    TracingSettings,
    WebhookSettings,
    WebhookWorkerSettings,
    WorkerSettings,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_every_setting_is_documented_with_its_default() -> None:
    documented = dict(re.findall(r"^\| `([A-Z_]+)` *\| +(\S*?) *\| .*\|$", DOCUMENT.read_text(), re.MULTILINE))

    for settings in (
        *(DatabaseSettings, TemporalSettings, PayloadSettings, OrderSettings, SessionSettings, ApiSettings),
        *(ScheduleSettings, DigestSettings, RetentionSettings, MerchandiserSettings),
        *(WorkerSettings, WebhookSettings, WebhookWorkerSettings, EventLoopSettings, JobSettings),
        *(DeploymentSettings, TracingSettings),
    ):
        for name, field in settings.model_fields.items():
            variable = f"{settings.model_config.get('env_prefix', '')}{name}".upper()
            default = "" if field.default in (PydanticUndefined, None) else f"`{_plain(field.default)}`"
            assert documented.get(variable) == default, variable


def _plain(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)
