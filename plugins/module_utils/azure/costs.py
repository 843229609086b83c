# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster has cost, as Cost Management says it, some hours late."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Session

VERSION = "2023-11-01"

Json = dict[str, t.Any]


def spent(session: Session, resource_group: str, cluster: str) -> dict[str, float]:
    """USD that the compute nodes of a cluster have cost since the month began, under ``month``; {} if nobody says.

    A pass must not fail because of it: it then buys nothing that would have to be held against the month's budget.
    """
    scope = f"/subscriptions/{session.subscription_id}/resourceGroups/{resource_group}"
    path = f"{scope}/providers/Microsoft.CostManagement/query"
    try:
        answer = session.post(path, VERSION, question(cluster), "ask what the month has cost")
    except AzureError:
        return {}
    return {"month": total(answer)}


def question(cluster: str) -> Json:
    """The question for Cost Management. Pure."""
    tags = {"hpc-cluster": cluster, "hpc-role": "compute"}
    return {
        "type": "ActualCost",
        "timeframe": "MonthToDate",
        "dataset": {
            "granularity": "None",
            "aggregation": {"total": {"name": "CostUSD", "function": "Sum"}},
            "filter": {
                "and": [{"tags": {"name": name, "operator": "In", "values": [value]}} for name, value in tags.items()]
            },
        },
    }


def total(answer: Json) -> float:
    """The sum in an answer of Cost Management; 0 without rows, which is what a new month has. Pure."""
    found = answer.get("properties") or {}
    names = [str(column.get("name")) for column in found.get("columns") or ()]
    where = names.index("CostUSD") if "CostUSD" in names else 0
    return float(sum(row[where] for row in found.get("rows") or ()))
