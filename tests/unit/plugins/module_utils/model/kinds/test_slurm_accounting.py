"""What a definition says about Slurm's accounting."""

from __future__ import annotations

from typing import Any

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition

from tests.unit.plugins.module_utils.model import definitions


def with_accounting(accounting: Any) -> dict[str, Any]:
    return {**definitions.definition(), "scheduler": {"type": "slurm", "accounting": accounting}}


def mistakes(accounting: Any) -> list[str]:
    found = [str(mistake) for mistake in definition.check(with_accounting(accounting), definitions.CATALOG)]
    return [text.removeprefix("scheduler.accounting.") for text in found]


def test_without_the_section_there_is_no_accounting() -> None:
    assert definition.read(definitions.definition()).scheduler.options["accounting"] == {}


def test_the_section_is_read_with_its_defaults() -> None:
    data = with_accounting(
        {
            "qos": [{"name": "long", "options": {"maxwall": "7-0"}}],
            "accounts": [{"name": "physics", "qos": ["normal", "long"]}],
            "users": [{"name": "alice", "accounts": ["physics"]}],
        }
    )
    assert definition.read(data, definitions.CATALOG).scheduler.options["accounting"] == {
        "database": {"type": "mariadb", "name": "slurm_acct_db"},
        "enforce": ["associations", "limits", "qos"],
        "keep_months": 24,
        "qos": [{"name": "long", "options": {"MaxWall": "7-0"}, "state": "present"}],
        "accounts": [
            {
                "name": "physics",
                "parent": "root",
                "description": "physics",
                "organization": "physics",
                "qos": ["normal", "long"],
                "options": {},
                "state": "present",
            }
        ],
        "users": [
            {
                "name": "alice",
                "accounts": ["physics"],
                "default_account": "physics",
                "admin": "none",
                "options": {},
                "state": "present",
            }
        ],
    }


def test_every_mistake_is_named_with_its_path() -> None:
    assert mistakes(
        {
            "database": {"type": "mariadb", "host": "x"},
            "enforce": ["limit"],
            "qos": [{"name": "long", "options": {"MaxWal": "7-0", "MaxWall": "7 0"}}],
            "accounts": [
                {"name": "Physics"},
                {"name": "a", "parent": "b", "qos": ["lnog"], "description": "x|y"},
                {"name": "b", "parent": "a"},
                {"name": "c", "parent": "none-such"},
                {"name": "root"},
            ],
            "users": [
                {"name": "alice", "accounts": ["a", "d"], "default_account": "b", "admin": "root"},
                {"name": "bob"},
            ],
        }
    ) == [
        "accounts[0].name: must be a-z, 0-9, _ . and -, at most 64: Slurm keeps names of accounts in lower case",
        "accounts[1].description: must be at most 120 characters without | = , and quotes",
        "accounts[1].parent: a is below itself",
        "accounts[1].qos[0]: there is no qos lnog (did you mean long?)",
        "accounts[2].parent: b is below itself",
        "accounts[3].parent: there is no account none-such",
        "accounts[4].name: root is the account above all others, which Slurm makes",
        "database.host: is for type azure_mysql only: MariaDB runs on the head and takes no connection",
        "enforce[0]: must be one of associations, limits, qos, safe, nojobs, nosteps (did you mean limits?)",
        "qos[0].options.MaxWal: is no limit (did you mean MaxWall?)",
        "qos[0].options.MaxWall: must not contain blanks: they would begin another option",
        "users[0].accounts[1]: there is no account d",
        "users[0].admin: must be one of none, operator, administrator",
        "users[0].default_account: b is none of the user's accounts",
        "users[1].accounts: is missing",
    ]


def test_a_password_of_the_database_has_no_place_in_it() -> None:
    found = mistakes({"database": {"type": "azure_mysql", "host": "x.mysql.database.azure.com", "password": "hunter2"}})
    assert found == ["database.password: looks like a secret; secrets do not belong into the cluster definition"]
