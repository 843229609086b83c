# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Lustre file system's document says to people: how far it is, what is wrong, what to do."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import lustre, lustre_documents, lustre_jobs
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError

BEGUN = datetime.datetime(2026, 11, 20, 12, 0, tzinfo=datetime.UTC).timestamp()
LOGS = "/subscriptions/s/.../containers/logs"


def document(state: str, health: str = "Available", **properties: t.Any) -> dict[str, t.Any]:
    return {
        "name": "scratch",
        "systemData": {"createdAt": "2026-11-20T12:00:00.1234567Z", "lastModifiedAt": "2026-11-20T12:00:00.1234567Z"},
        "properties": {
            "provisioningState": state,
            "health": {"state": health, "statusDescription": f"The cluster is {health}"},
            "clientInfo": {"mgsAddress": "10.0.3.4" if state == "Succeeded" else ""},
            **properties,
        },
    }


def summary(body: dict[str, t.Any], minutes: float = 0) -> dict[str, t.Any]:
    return lustre_documents.summary(body, BEGUN + 60 * minutes)


def test_a_file_system_is_ready_when_it_can_be_mounted() -> None:
    found = summary(document("Succeeded"))
    assert (found["ready"], found["source"], found["problems"]) == (True, "10.0.3.4@tcp:/lustrefs", [])
    assert not summary(document("Succeeded", "Unavailable"))["ready"]
    assert not summary(document("Creating", "Transitioning"))["ready"]


def test_who_waits_sees_how_long_it_has_been() -> None:
    assert summary(document("Creating", "Transitioning"), 7)["progress"] == (
        "Creating, Transitioning, 7 min of usually 10 to 17"
    )


def test_one_that_is_stuck_is_a_problem_with_a_way_out() -> None:
    assert summary(document("Creating"), 59)["problems"] == []
    (problem,) = summary(document("Creating"), 75)["problems"]
    assert "75 minutes" in problem
    assert "confirm: scratch" in problem
    (problem,) = summary(document("Updating"), 75)["problems"]
    assert "support" in problem


@pytest.mark.parametrize(
    ("state", "code", "what"),
    [
        ("Creating", "FileSystemStuck", "wait no more, delete it (state: absent, confirm: scratch) and make it again"),
        ("Failed", "FileSystemFailed", "half made and cannot be used: delete it (state: absent, confirm: scratch)"),
        ("Deleting", "FileSystemBusy", "wait until it is gone, or choose another name"),
    ],
)
def test_who_asks_for_one_that_will_never_be_there_is_told_what_to_do(state: str, code: str, what: str) -> None:
    options = {"name": "scratch", "wait": True, "wait_timeout": 0}
    begun = {"systemData": {"createdAt": "2020-01-01T12:00:00Z", "lastModifiedAt": "2020-01-01T12:00:00Z"}}
    with pytest.raises(AzureError) as caught:
        lustre._settled(t.cast("t.Any", None), "id", {**document(state), **begun}, options, False)
    assert caught.value.code == code
    assert what in str(caught.value)


def test_one_that_failed_with_a_container_names_the_roles() -> None:
    body = document("Failed", "Unavailable", hsm={"settings": {"container": "c", "loggingContainer": LOGS}})
    (problem,) = summary(body)["problems"]
    assert "Storage Blob Data Contributor" in problem
    assert "Storage" not in summary(document("Failed"))["problems"][0]


def test_an_archive_that_failed_names_the_logs() -> None:
    row = {"state": "Failed", "percentComplete": 40, "errorCode": "X", "errorMessage": "disk full"}
    hsm = {"settings": {"loggingContainer": LOGS}, "archiveStatus": [{"filesystemPath": "/results", "status": row}]}
    (problem,) = summary(document("Succeeded", hsm=hsm))["problems"]
    for what in ("/results", "40 %", "X: disk full", "logs in logs", "rerun: true"):
        assert what in problem


def test_a_document_without_anything_in_it_is_no_traceback() -> None:
    assert summary({})["ready"] is False
    assert summary({"systemData": {"createdAt": "yesterday"}})["progress"] == ""


def test_a_job_that_failed_says_what_was_done() -> None:
    status = {"state": "CompletedPartial", "statusMessage": "3 blobs", "totalBlobsImported": 5, "totalErrors": 3}
    job = {"name": "one", "properties": {"importPrefixes": ["/"], "status": status}}
    text = lustre_jobs.failure(job, document("Succeeded", hsm={"settings": {"loggingContainer": LOGS}}))
    for what in ("one ended as CompletedPartial (3 blobs)", "totalBlobsImported 5", "Nothing is lost", "rerun: true"):
        assert what in text


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"container": "c"}, "logging_container"),
        ({"import_prefixes": ["/"]}, "import_prefixes"),
        ({"root_squash": {"mode": "All"}}, "root_squash.uid"),
        ({"encryption": {"key_url": "k", "vault_id": "v"}}, "identities"),
    ],
)
def test_options_that_contradict_are_refused(options: dict[str, t.Any], what: str) -> None:
    with pytest.raises(AzureError, match=what):
        lustre_documents.check_options(options)
