"""Leads from the console into Temporal's Web UI."""

from dataclasses import dataclass
from urllib.parse import quote

from contracts.ids import order_workflow_id


@dataclass(frozen=True)
class TemporalLinks:
    """Where things are in the Web UI; None when nobody has said where that is."""

    ui_url: str | None
    namespace: str

    def of_order(self, order_id: str) -> str | None:
        return self.of_workflow(order_workflow_id(order_id))

    def of_workflow(self, workflow_id: str) -> str | None:
        if self.ui_url is None:
            return None
        return f"{self.ui_url.rstrip('/')}/namespaces/{self.namespace}/workflows/{quote(workflow_id, safe='')}"
