"""The boundary to Ansible: groups of arguments, failures, results."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible.module_utils import basic
from ansible_collections.azure_hpc.cluster.plugins.module_utils import boundary
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.definition import DefinitionError, read


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> t.Any:
    arguments = {"secret": "hunter2", "tags": {"a": "b"}}
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy")
    return boundary.build(boundary.AZURE, boundary.TAGS, boundary.state("stopped"))


def ended(capsys: pytest.CaptureFixture[str]) -> dict[str, t.Any]:
    found: dict[str, t.Any] = json.loads(capsys.readouterr().out)
    return found


def test_groups_of_arguments_are_joined_with_their_relations() -> None:
    one = boundary.Arguments({"a": {}}, required_if=(("state", "present", ("a",)),))
    two = boundary.Arguments({"b": {}}, required_if=(("state", "absent", ("b",)),), mutually_exclusive=(("a", "b"),))
    joined = one | two
    assert list(joined.spec) == ["a", "b"]
    assert len(joined.required_if) == 2
    assert joined.mutually_exclusive == (("a", "b"),)


def test_secrets_are_no_log(module: t.Any) -> None:
    assert "hunter2" in module.no_log_values
    assert module.params["state"] == "present"
    assert [name for name, spec in boundary.AZURE.spec.items() if spec.get("no_log")] == ["secret", "password"]


def test_an_azure_error_keeps_everything_azure_said(module: t.Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), boundary.failures_reported(module):
        raise AzureError("no room for hunter2", "AllocationFailed", "r1", 409, doing="create x")
    result = ended(capsys)
    assert result["failed"] is True
    assert (result["error"]["code"], result["error"]["request_id"]) == ("AllocationFailed", "r1")
    assert "hunter2" not in json.dumps(result)


def test_a_definition_error_lists_its_mistakes(module: t.Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), boundary.failures_reported(module, DefinitionError):
        read({"colour": "blue"})
    assert {"path": "colour"}.items() <= ended(capsys)["error"]["mistakes"][1].items()


def test_a_missing_library_is_said_and_other_import_errors_are_not_hidden(
    module: t.Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit), boundary.failures_reported(module):
        raise ImportError("no", name="azure.identity")
    assert "azure.identity" in ended(capsys)["msg"]
    with pytest.raises(ImportError), boundary.failures_reported(module):
        raise ImportError("no", name="something.else")


def test_unknown_exceptions_are_bugs_and_stay_visible(module: t.Any) -> None:
    with pytest.raises(KeyError), boundary.failures_reported(module):
        raise KeyError("x")


def test_a_diff_is_given_only_if_something_changed(module: t.Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        boundary.finish(module, True, {"a": 1}, {"a": 2})
    assert ended(capsys)["diff"] == {"before": '{\n  "a": 1\n}\n', "after": '{\n  "a": 2\n}\n'}
    with pytest.raises(SystemExit):
        boundary.finish(module, False, {"a": 1}, {"a": 1})
    assert "diff" not in ended(capsys)
