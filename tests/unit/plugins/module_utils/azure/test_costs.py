"""What the month has cost, as Cost Management says it."""

from __future__ import annotations

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import costs

from .arm import Answer, Arm, session


def test_the_month_is_asked_for_the_compute_nodes_of_one_cluster() -> None:
    arm = Arm()
    columns = [{"name": "CostUSD", "type": "Number"}, {"name": "Currency", "type": "String"}]
    found = {"properties": {"columns": columns, "rows": [[12.5, "EUR"], [1.5, "EUR"]]}}
    arm.script("POST", "/providers/Microsoft.CostManagement/query$", Answer(200, found))
    with session(arm) as azure:
        assert costs.spent(azure, "demo-rg", "demo") == {"month": 14.0}
    assert arm.sent[0].path.endswith("/resourceGroups/demo-rg/providers/Microsoft.CostManagement/query")


def test_a_month_without_costs_has_cost_nothing_but_no_answer_is_not_nothing() -> None:
    assert costs.total({"properties": {"columns": [], "rows": []}}) == 0
    arm = Arm()
    arm.script("POST", "/query$", Answer(403, {"error": {"code": "AuthorizationFailed", "message": "no"}}))
    with session(arm) as azure:
        assert costs.spent(azure, "demo-rg", "demo") == {}
