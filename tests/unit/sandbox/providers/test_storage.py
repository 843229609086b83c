# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage accounts: names, defaults by kind and api-version, keys, containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

ACCOUNT = "/providers/Microsoft.Storage/storageAccounts/account1"
BODY: dict[str, Any] = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}


def create(arm: Arm, path: str = ACCOUNT, body: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = arm.send("PUT", path, body or BODY)
    assert (answer.status, answer.body) == (202, None)
    arm.wait()
    read: dict[str, Any] = arm.send("GET", path).body
    return read


def test_creation_is_polled_by_its_location_which_ends_with_the_account(arm: Arm) -> None:
    answer = arm.send("PUT", ACCOUNT, BODY)
    assert "Azure-AsyncOperation" not in answer.headers
    arm.wait()
    name = answer.headers["Location"].partition("?")[0].rpartition("/")[2]
    operation = arm.core.operations.get(name)
    assert operation is not None
    assert operation.record["output"] == arm.send("GET", ACCOUNT).body
    assert operation.record["output"]["properties"]["provisioningState"] == "Succeeded"
    assert arm.send("PUT", ACCOUNT, BODY).status == 200


def test_what_an_account_serves_depends_on_its_kind(arm: Arm) -> None:
    assert set(create(arm)["properties"]["primaryEndpoints"]) == {"dfs", "web", "blob", "queue", "table", "file"}
    old = {"location": "westeurope", "properties": {"accountType": "Premium_LRS"}}
    made = create(arm, ACCOUNT.replace("account1", "account2"), old)
    assert (made["kind"], made["sku"]) == ("Storage", {"name": "Premium_LRS", "tier": "Premium"})
    assert set(made["properties"]["primaryEndpoints"]) == {"blob"}
    grs = create(arm, ACCOUNT.replace("account1", "account3"), {**BODY, "sku": {"name": "Standard_RAGRS"}})
    assert grs["properties"]["secondaryLocation"] == "northeurope"


@pytest.mark.parametrize("name", ["ab", "Upper", "has-hyphen", "x" * 25])
def test_bad_names_are_refused(arm: Arm, name: str) -> None:
    answer = arm.send("PUT", ACCOUNT.replace("account1", name), BODY)
    assert answer.body["error"]["code"] == "AccountNameInvalid"


def test_names_are_unique_in_all_groups(arm: Arm) -> None:
    create(arm)
    arm.make("/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/other")
    path = f"/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/other{ACCOUNT}"
    assert arm.send("PUT", path, BODY).body["error"]["code"] == "StorageAccountAlreadyTaken"


def test_keys_are_told_on_request_only_and_change_one_by_one(arm: Arm) -> None:
    create(arm)
    keys = arm.send("POST", f"{ACCOUNT}/listKeys").body["keys"]
    assert keys[0]["value"] not in str(arm.send("GET", ACCOUNT).body)
    changed = arm.send("POST", f"{ACCOUNT}/regenerateKey", {"keyName": "key2"}).body["keys"]
    assert changed[0]["value"] == keys[0]["value"]
    assert changed[1]["value"] != keys[1]["value"]


def test_containers_live_below_an_account(arm: Arm) -> None:
    path = f"{ACCOUNT}/blobServices/default/containers/data"
    assert arm.send("PUT", path, {}).status == 404
    create(arm)
    assert arm.send("PUT", path, {}).status == 201
    assert arm.send("GET", path).body["name"] == "data"
    found = arm.send("GET", f"{ACCOUNT}/blobServices/default/containers").body["value"]
    assert [entry["name"] for entry in found] == ["data"]
    assert arm.send("DELETE", ACCOUNT).status == 200
    create(arm)
    assert arm.send("GET", path).body["error"]["code"] == "ContainerNotFound"


def test_services_of_an_account_have_settings(arm: Arm) -> None:
    create(arm)
    blob = f"{ACCOUNT}/blobServices/default"
    first = arm.send("GET", blob).body
    assert (first["name"], first["sku"]["name"]) == ("default", "Standard_LRS")
    assert first["properties"]["deleteRetentionPolicy"]["enabled"] is False
    kept = {"deleteRetentionPolicy": {"enabled": True, "days": 5}}
    assert arm.send("PUT", blob, {"properties": kept}).status == 200
    assert arm.send("GET", blob).body["properties"] == {"cors": {"corsRules": []}, **kept}
    assert [one["id"] for one in arm.send("GET", f"{ACCOUNT}/blobServices").body["value"]] == [first["id"]]
    assert (
        arm.send("GET", f"{ACCOUNT}/fileServices/default").body["properties"]["shareDeleteRetentionPolicy"]["days"] == 7
    )
    assert arm.send("GET", f"{ACCOUNT}/blobServices/other").status == 400
    assert arm.send("GET", f"{ACCOUNT}x/blobServices/default").status == 404


def test_a_service_that_a_kind_lacks_has_no_settings(arm: Arm) -> None:
    create(arm, body={**BODY, "kind": "FileStorage", "sku": {"name": "Premium_LRS"}})
    answer = arm.send("GET", f"{ACCOUNT}/blobServices/default")
    assert (answer.status, answer.body["error"]["code"]) == (400, "FeatureNotSupportedForAccount")


def test_life_cycle_rules_go_with_their_account(arm: Arm) -> None:
    policy = f"{ACCOUNT}/managementPolicies/default"
    rules = {"policy": {"rules": [{"name": "old", "type": "Lifecycle", "definition": {}}]}}
    assert arm.send("PUT", policy, {"properties": rules}).status == 404
    create(arm)
    assert arm.send("PUT", policy, {"properties": {}}).status == 400
    assert arm.send("PUT", policy, {"properties": rules}).status == 200
    assert arm.send("GET", policy).body["properties"] == rules
    arm.send("DELETE", ACCOUNT)
    create(arm)
    assert arm.send("GET", policy).status == 404


def test_accounts_are_counted_by_region(arm: Arm) -> None:
    create(arm)
    own = arm.send("GET", ACCOUNT).body["id"].split("/")[2]
    base = f"/subscriptions/{own}/providers/Microsoft.Storage"
    for where, count in (("westeurope", 1), ("eastus", 0)):
        usage = arm.send("GET", f"{base}/locations/{where}/usages").body["value"][0]
        assert (usage["currentValue"], usage["name"]["value"]) == (count, "StorageAccounts")
    skus = arm.send("GET", f"{base}/skus").body["value"]
    assert {"StorageV2", "FileStorage"} <= {one["kind"] for one in skus}


def test_an_update_keeps_what_it_does_not_name_and_brings_what_follows_from_it(arm: Arm) -> None:
    create(arm, body={**BODY, "kind": "BlobStorage"})
    given = {"encryption": {"services": {"blob": {"enabled": True, "keyType": "Account"}}}, "routingPreference": {}}
    answer = arm.send("PATCH", ACCOUNT, {"kind": "StorageV2", "properties": given}).body["properties"]
    assert set(answer["encryption"]["services"]["blob"]) == {"enabled", "keyType", "lastEnabledTime"}
    assert "file" in answer["primaryEndpoints"]
    route = {"routingPreference": {"publishMicrosoftEndpoints": True}}
    answer = arm.send("PATCH", ACCOUNT, {"properties": route}).body["properties"]
    assert answer["primaryEndpoints"]["microsoftEndpoints"]["blob"].startswith(
        "https://account1-microsoftrouting.blob."
    )
    answer = arm.send("PATCH", ACCOUNT, {"properties": {"routingPreference": {"routingChoice": "InternetRouting"}}})
    assert answer.body["properties"]["routingPreference"]["publishMicrosoftEndpoints"] is True


def test_replication_is_told_when_asked_for(arm: Arm) -> None:
    create(arm, body={**BODY, "sku": {"name": "Standard_RAGRS"}})
    assert "geoReplicationStats" not in arm.send("GET", ACCOUNT).body["properties"]
    told = arm.send("GET", f"{ACCOUNT}?$expand=geoReplicationStats").body["properties"]["geoReplicationStats"]
    assert (told["status"], told["postFailoverRedundancy"]) == ("Live", "Standard_LRS")


@pytest.mark.parametrize(
    ("first", "then", "code"),
    [
        ({"state": "Locked", "immutabilityPeriodSinceCreationInDays": 5}, None, 400),
        ({"state": "Unlocked"}, None, 400),
        ({"state": "Disabled", "immutabilityPeriodSinceCreationInDays": 5}, {"state": "Locked"}, 400),
        ({"state": "Disabled", "immutabilityPeriodSinceCreationInDays": 5}, {"state": "Unlocked"}, 200),
        ({"state": "Unlocked", "immutabilityPeriodSinceCreationInDays": 5}, {"state": "Locked"}, 200),
    ],
)
def test_immutability_is_locked_step_by_step(
    arm: Arm, first: dict[str, Any], then: dict[str, Any] | None, code: int
) -> None:
    wanted = {"immutableStorageWithVersioning": {"enabled": True, "immutabilityPolicy": first}}
    made = arm.send("PUT", ACCOUNT, {**BODY, "properties": wanted})
    if then is None:
        assert made.body["error"]["code"] == "InvalidStorageAccountImmutabilityPolicy"
        return
    arm.wait()
    change = {"immutableStorageWithVersioning": {"immutabilityPolicy": then}}
    assert arm.send("PATCH", ACCOUNT, {"properties": change}).status == code


def test_a_locked_policy_is_only_extended(arm: Arm) -> None:
    policy = {"state": "Unlocked", "immutabilityPeriodSinceCreationInDays": 5}
    wanted = {"immutableStorageWithVersioning": {"enabled": True, "immutabilityPolicy": policy}}
    create(arm, body={**BODY, "properties": wanted})

    def change(**policy: Any) -> int:
        body = {"properties": {"immutableStorageWithVersioning": {"immutabilityPolicy": policy}}}
        return arm.send("PATCH", ACCOUNT, body).status

    assert change(state="Locked") == 200
    assert change(immutabilityPeriodSinceCreationInDays=4) == 400
    assert change(immutabilityPeriodSinceCreationInDays=9) == 200
    assert change(allowProtectedAppendWrites=True) == 400
    assert change(state="Unlocked") == 400


def test_a_namespace_becomes_hierarchical(arm: Arm) -> None:
    create(arm)
    assert arm.send("POST", f"{ACCOUNT}/hnsonmigration?requestType=HnsOnValidationRequest").status == 202
    arm.wait()
    assert not arm.send("GET", ACCOUNT).body["properties"].get("isHnsEnabled")
    assert arm.send("POST", f"{ACCOUNT}/hnsonmigration?requestType=Other").status == 400
    assert arm.send("POST", f"{ACCOUNT}/aborthnsonmigration").body["error"]["code"] == "HnsMigrationNotFound"
    assert arm.send("POST", f"{ACCOUNT}/hnsonmigration?requestType=HnsOnHydrationRequest").status == 202
    arm.wait()
    assert arm.send("GET", ACCOUNT).body["properties"]["isHnsEnabled"] is True


def test_an_account_fails_over_to_its_copy(arm: Arm) -> None:
    create(arm)
    assert arm.send("POST", f"{ACCOUNT}/failover").body["error"]["code"] == "FeatureNotSupportedForAccount"
    other = ACCOUNT.replace("account1", "account2")
    create(arm, other, {**BODY, "sku": {"name": "Standard_RAGRS"}})
    assert arm.send("POST", f"{other}/failover?failoverType=Planned").status == 202
    arm.wait()
    account = arm.send("GET", other).body
    assert (account["location"], account["properties"]["secondaryLocation"]) == ("northeurope", "westeurope")
    assert arm.send("POST", f"{other}/failover").status == 202
    arm.wait()
    account = arm.send("GET", other).body
    assert (account["location"], account["sku"]["name"]) == ("westeurope", "Standard_LRS")
    assert "secondaryLocation" not in account["properties"]
