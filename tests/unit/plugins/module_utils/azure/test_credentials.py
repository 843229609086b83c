"""Credentials: where they come from, in which order, and that none of them is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.credentials import login
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AUTHENTICATION, AzureError

AWX = {"AZURE_SUBSCRIPTION_ID": "sub", "AZURE_CLIENT_ID": "app", "AZURE_SECRET": "s3cret", "AZURE_TENANT": "ten"}
SDK = {"AZURE_SUBSCRIPTION_ID": "sub", "AZURE_CLIENT_ID": "app", "AZURE_CLIENT_SECRET": "sdk", "AZURE_TENANT_ID": "t2"}


def home(tmp_path: Path, text: str) -> dict[str, str]:
    (tmp_path / ".azure").mkdir()
    (tmp_path / ".azure" / "credentials").write_text(text)
    return {"HOME": str(tmp_path), "PATH": str(tmp_path)}


def test_the_names_of_awx_come_before_those_of_azure_identity() -> None:
    found = login({}, {**SDK, **AWX})
    assert (found.source, found.values["secret"], found.values["tenant"]) == ("env", "s3cret", "ten")


def test_the_names_of_azure_identity_serve_alone() -> None:
    found = login({}, SDK)
    assert (found.values["secret"], found.values["tenant"], found.subscription_id) == ("sdk", "t2", "sub")


def test_options_win_and_the_environment_fills_the_subscription() -> None:
    found = login({"client_id": "mine", "secret": "own", "tenant": "t"}, AWX)
    assert (found.source, found.values["client_id"], found.values["secret"]) == ("options", "mine", "own")
    assert found.subscription_id == "sub"


def test_a_subscription_option_wins_over_every_source() -> None:
    assert login({"subscription_id": "other"}, AWX).subscription_id == "other"


def test_the_credentials_file_has_profiles(tmp_path: Path) -> None:
    account = "subscription_id={}\nclient_id=a\nsecret=b%c\ntenant=t\n"
    text = f"[default]\n{account.format(1)}[two]\n{account.format(2)}"
    around = home(tmp_path, text)
    assert login({}, around).values["secret"] == "b%c"
    assert login({"profile": "two"}, around).subscription_id == "2"
    with pytest.raises(AzureError, match=r"no profile \[three\]"):
        login({"profile": "three"}, around)


def test_a_broken_credentials_file_is_named_but_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(AzureError) as caught:
        login({}, home(tmp_path, "secret=hunter2"))
    assert "hunter2" not in str(caught.value)
    assert "credentials" in str(caught.value)


def az_login(tmp_path: Path, profile: str) -> dict[str, str]:
    """An az command, and the file in which it keeps who is logged in."""
    az = tmp_path / "az"
    az.write_text("#!/bin/sh\n")
    az.chmod(0o755)
    (tmp_path / "azureProfile.json").write_text(profile, encoding="utf-8-sig")
    return {"HOME": str(tmp_path), "PATH": str(tmp_path), "AZURE_CONFIG_DIR": str(tmp_path)}


def test_the_az_command_is_the_last_resort(tmp_path: Path) -> None:
    profile = '{"subscriptions": [{"id": "one", "isDefault": false}, {"id": "two", "isDefault": true}]}'
    found = login({}, az_login(tmp_path, profile))
    assert (found.source, found.subscription_id) == ("cli", "two")
    assert type(found.credential()).__name__ == "AzureCliCredential"


@pytest.mark.parametrize(
    "profile", ["", "{}", "[]", '{"subscriptions": [1]}', '{"subscriptions": [{"isDefault": true}]}']
)
def test_an_az_command_that_is_not_logged_in_is_no_credential(tmp_path: Path, profile: str) -> None:
    with pytest.raises(AzureError, match="no Azure credentials"):
        login({}, az_login(tmp_path, profile))


def test_a_managed_identity_is_used_only_if_asked_for() -> None:
    found = login({"auth_source": "msi"}, {"AZURE_SUBSCRIPTION_ID": "sub", "AZURE_CLIENT_ID": "which"})
    assert (found.source, found.values["client_id"]) == ("msi", "which")
    # The client of a service principal in the environment is no identity of this machine.
    assert login({"auth_source": "msi"}, AWX).values["client_id"] == ""


def test_nothing_at_all_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AzureError, match="AZURE_SECRET") as caught:
        login({}, {"HOME": str(tmp_path), "PATH": str(tmp_path)})
    assert caught.value.kind == AUTHENTICATION


def test_an_account_without_tenant_or_subscription_is_an_error() -> None:
    with pytest.raises(AzureError, match="no tenant"):
        login({}, {"AZURE_CLIENT_ID": "a", "AZURE_SECRET": "b"})
    with pytest.raises(AzureError, match="no subscription"):
        login({}, {"AZURE_CLIENT_ID": "a", "AZURE_SECRET": "b", "AZURE_TENANT": "c"})


def test_secrets_are_not_in_the_repr() -> None:
    assert "s3cret" not in repr(login({}, AWX))


@pytest.mark.parametrize(
    ("cloud", "endpoint"),
    [
        ("AzureCloud", "https://management.azure.com/"),
        ("AzureUSGovernment", "https://management.usgovcloudapi.net/"),
        ("azurechinacloud", "https://management.chinacloudapi.cn/"),
    ],
)
def test_each_cloud_has_its_endpoint(cloud: str, endpoint: str) -> None:
    assert login({"cloud_environment": cloud}, AWX).endpoints[0] == endpoint


def test_an_unknown_cloud_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(AzureError, match="AzureUSGovernment"):
        login({}, {**AWX, "AZURE_CLOUD_ENVIRONMENT": "Moon"})


def test_each_kind_of_account_opens_its_credential() -> None:
    assert type(login({}, AWX).credential()).__name__ == "ClientSecretCredential"
    assert type(login({"auth_source": "msi"}, AWX).credential()).__name__ == "ManagedIdentityCredential"
    federated = {k: v for k, v in AWX.items() if k != "AZURE_SECRET"} | {"AZURE_FEDERATED_TOKEN_FILE": "/run/token"}
    assert type(login({}, federated).credential()).__name__ == "WorkloadIdentityCredential"
