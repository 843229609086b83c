"""Accounts, limits and users of Slurm: only what differs is changed, in an order that sacctmgr takes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.slurm import accounting
from hypothesis import given
from hypothesis import strategies as st


def qos(name: str, state: str = "present", **options: str) -> dict[str, Any]:
    return {"name": name, "options": options, "state": state}


def account(name: str, parent: str = "root", state: str = "present", **more: Any) -> dict[str, Any]:
    return {"name": name, "parent": parent, "description": "", "organization": "", "qos": [], "options": {},
            "state": state, **more}  # fmt: skip


def user(name: str, *accounts: str, state: str = "present", **more: Any) -> dict[str, Any]:
    return {"name": name, "accounts": list(accounts), "default_account": "", "admin": "none", "options": {},
            "state": state, **more}  # fmt: skip


def wanted(**lists: Any) -> dict[str, Any]:
    return accounting.complete({"qos": [], "accounts": [], "users": [], **lists})


WANTED = wanted(
    qos=[qos("long", MaxWall="7-0", Priority="10")],
    accounts=[
        account("physics", "science", qos=["long", "normal"], options={"GrpTRES": "cpu=480,mem=2T"}),
        account("science"),
    ],
    users=[user("alice", "physics", "science")],
)
# As sacctmgr of Slurm 24.11 prints it, with the columns that `observe` asks for.
HAS = {
    "cluster": "demo\n",
    "qos": "normal||0\nlong|7-00:00:00|10\n",
    "account": "root|default root account|root\nphysics|physics|physics\nscience|science|science\n",
    "association": (
        "root|||normal|\nroot|root||normal|\nscience||root|normal|\nscience|alice||normal|\n"
        "physics||science|long,normal|cpu=480,mem=2T\nphysics|alice||long,normal|\n"
    ),
    "user": "root|root|Administrator\nalice|physics|None\n",
}


def commands(want: dict[str, Any], **outputs: str) -> list[str]:
    answers = {key: Output(0, text) for key, text in {**HAS, **outputs}.items()}
    has = accounting.read(want, answers)
    found = accounting.changes(want, has, "demo")
    assert all(change.argv[:2] == ("sacctmgr", "--immediate") for change in found)
    return [" ".join(change.argv[2:]) for change in found]


def test_every_column_that_is_read_is_asked_for() -> None:
    asked = {command.key: command.argv[-1] for command in accounting.observe(WANTED, "demo")}
    assert asked == {
        "cluster": "format=Cluster",
        "qos": "format=Name,MaxWall,Priority",
        "account": "format=Account,Descr,Org",
        "association": "format=Account,User,ParentName,QOS,GrpTRES",
        "user": "format=User,DefaultAccount,AdminLevel",
    }


def test_when_all_is_there_nothing_is_changed() -> None:
    assert commands(WANTED) == []


def test_on_an_empty_database_everything_is_made_after_what_it_needs() -> None:
    empty = {
        "cluster": "",
        "qos": "normal||0\n",
        "account": "root|r|r\n",
        "association": "",
        "user": "root|root|Admin\n",
    }
    assert commands(WANTED, **empty) == [
        "add cluster demo",
        "add qos long MaxWall=7-0 Priority=10",
        "add account science cluster=demo parent=root description=science organization=science",
        "add account physics cluster=demo parent=science description=physics organization=physics qos=long,normal "
        "GrpTRES=cpu=480,mem=2T",
        "add user alice cluster=demo account=physics",
        "add user alice cluster=demo account=science",
    ]


def test_a_changed_limit_is_one_change_that_names_it() -> None:
    has = HAS["association"].replace("cpu=480", "cpu=240")
    assert commands(WANTED, association=has) == [
        "modify account where name=physics cluster=demo set GrpTRES=cpu=480,mem=2T"
    ]


def test_a_user_leaves_accounts_after_the_default_has_changed() -> None:
    want = wanted(users=[user("alice", "science", admin="operator")])
    has = "\n".join(line.rpartition("|")[0] for line in HAS["association"].splitlines())
    assert commands(want, association=has, qos="normal\nlong\n") == [
        "modify user where name=alice set defaultaccount=science adminlevel=operator",
        "delete user name=alice cluster=demo account=physics",
    ]


def test_who_is_to_be_absent_goes_before_the_accounts_and_children_before_parents() -> None:
    want = wanted(
        qos=[qos("long", "absent")],
        accounts=[account("science", state="absent"), account("physics", "science", "absent")],
        users=[user("alice", state="absent"), user("nobody-there", state="absent")],
    )
    has = "\n".join(line.rpartition("|")[0] for line in HAS["association"].splitlines())
    assert commands(want, association=has, qos="normal\nlong\n") == [
        "delete user name=alice",
        "delete account name=physics",
        "delete account name=science",
        "delete qos name=long",
    ]


def test_a_database_that_does_not_answer_is_the_error() -> None:
    answers = {key: Output(0, text) for key, text in HAS.items()}
    answers["qos"] = Output(1, "", "sacctmgr: error: Sending PersistInit msg: Connection refused")
    with pytest.raises(accounting.AccountingError, match=r"show qos failed: .*Connection refused"):
        accounting.read(WANTED, answers)


def test_an_answer_with_other_columns_is_not_guessed_at() -> None:
    answers = {key: Output(0, text) for key, text in HAS.items()}
    answers["user"] = Output(0, "alice|physics|None|what\n")
    with pytest.raises(accounting.AccountingError, match="4 columns in place of 3"):
        accounting.read(WANTED, answers)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("7-0", "7-00:00:00"),
        ("10", "10"),
        ("1-12:30", "1-12:30:00"),
        ("90:00", "01:30:00"),
        ("cpu=480,mem=10G", "mem=10240M,cpu=480"),
        ("-1", ""),
        ("1", "1.000000"),
        ("DenyOnLimit,NoDecay", "nodecay,denyonlimit"),
    ],
)
def test_values_that_mean_the_same_are_no_change(one: str, other: str) -> None:
    assert accounting.same(one, other)


@pytest.mark.parametrize(("one", "other"), [("7-0", "8-0"), ("cpu=1", "cpu=2"), ("10", ""), ("cpu=1", "cpu=1,mem=1G")])
def test_values_that_mean_something_else_are_a_change(one: str, other: str) -> None:
    assert not accounting.same(one, other)


@given(st.text(max_size=30))
def test_every_value_means_the_same_as_itself(value: str) -> None:
    assert accounting.same(value, value)
