# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a definition may say about Slurm's accounting: its database, accounts, quality of service, limits, users."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.options import options
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.reading import Mistakes, Section, near

KEYS = ("database", "enforce", "keep_months", "qos", "accounts", "users")
ENFORCE = ("associations", "limits", "qos", "safe", "nojobs", "nosteps")
_LIMITS = (
    "Fairshare GrpJobs GrpSubmitJobs GrpTRES GrpTRESMins GrpTRESRunMins GrpWall MaxJobs MaxSubmitJobs MaxTRESPerJob "
    "MaxTRESPerNode MaxTRESMinsPerJob MaxWall Priority"
).split()
_QOS = (
    "Flags GraceTime GrpJobs GrpSubmitJobs GrpTRES GrpTRESMins GrpTRESRunMins GrpWall LimitFactor MaxJobsPerUser "
    "MaxSubmitJobsPerUser MaxJobsPerAccount MaxSubmitJobsPerAccount MaxTRESPerJob MaxTRESPerNode MaxTRESPerUser "
    "MaxTRESPerAccount MaxTRESMinsPerJob MaxWall MinTRESPerJob Preempt PreemptMode Priority UsageFactor"
).split()
_NAME = r"[a-z0-9_][a-z0-9_.-]{0,63}"
_NAME_RULE = "must be a-z, 0-9, _ . and -, at most 64: Slurm keeps names of accounts in lower case"
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}"
_TEXT = r"[^|\"'\\=,]{0,120}"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"


def read(section: Section, key: str) -> dict[str, t.Any]:
    """The section ``scheduler.accounting`` as plain data, empty if the definition has none."""
    if not section.has(key):
        return {}
    top = section.section(key, KEYS)
    return {
        "database": _database(top),
        "enforce": list(_enforce(top)),
        "keep_months": top.number("keep_months", 24, low=1, high=1200),
        "qos": [_qos(Section(top.mistakes, item, at, ("name", "options", "state"))) for at, item in _list(top, "qos")],
        "accounts": [
            _account(
                Section(
                    top.mistakes,
                    item,
                    at,
                    ("name", "parent", "description", "organization", "qos", "options", "state"),
                )
            )
            for at, item in _list(top, "accounts")
        ],
        "users": [
            _user(Section(top.mistakes, item, at, ("name", "accounts", "default_account", "admin", "options", "state")))
            for at, item in _list(top, "users")
        ],
    }


def _list(top: Section, key: str) -> list[tuple[str, t.Any]]:
    return top.items(key, ())


def _database(top: Section) -> dict[str, t.Any]:
    section = top.section("database", ("type", "host", "port", "user", "name", "ca_file"))
    kind = section.text("type", "mariadb", choices=("mariadb", "azure_mysql"))
    if kind == "mariadb":
        for key in ("host", "port", "user", "ca_file"):
            if section.has(key):
                section.wrong(key, "is for type azure_mysql only: MariaDB runs on the head and takes no connection")
        return {"type": kind, "name": section.text("name", "slurm_acct_db", r"[a-z][a-z0-9_]{0,63}", "is no name")}
    return {
        "type": kind,
        "host": section.text("host", None, _HOST, "must be the name of the server: x.mysql.database.azure.com"),
        "port": section.number("port", 3306, low=1, high=65535),
        "user": section.text("user", "slurm", r"[A-Za-z][A-Za-z0-9_-]{0,31}", "is not a name of a database's user"),
        "name": section.text("name", "slurm_acct_db", r"[a-z][a-z0-9_]{0,63}", "is not a name of a database"),
        "ca_file": section.text("ca_file", "", r"(?:/[A-Za-z0-9_.+-]+)+", "must be an absolute path on the head"),
    }


def _enforce(top: Section) -> tuple[str, ...]:
    found = top.texts("enforce", ("associations", "limits", "qos"))
    for index, word in enumerate(found):
        if word not in ENFORCE:
            top.mistakes.add(
                f"{top.at('enforce')}[{index}]", f"must be one of {', '.join(ENFORCE)}{near(word, ENFORCE)}"
            )
    return found if top.has("enforce") else ("associations", "limits", "qos")


def _known(section: Section, known: t.Sequence[str]) -> dict[str, str]:
    """Options of sacctmgr, spelled as the manual spells them."""
    spelled = {name.lower(): name for name in known}
    found = {}
    for name, value in options(section, "options", {}, line=True).items():
        if name.lower() in spelled:
            found[spelled[name.lower()]] = value
        else:
            section.mistakes.add(f"{section.at('options')}.{name}", f"is no limit{near(name, known)}")
    return found


def _state(section: Section) -> str:
    return section.text("state", "present", choices=("present", "absent"))


def _qos(section: Section) -> dict[str, t.Any]:
    return {
        "name": section.text("name", pattern=_NAME, rule=_NAME_RULE),
        "options": _known(section, _QOS),
        "state": _state(section),
    }


def _account(section: Section) -> dict[str, t.Any]:
    name = section.text("name", pattern=_NAME, rule=_NAME_RULE)
    if name == "root":
        section.wrong("name", "root is the account above all others, which Slurm makes")
    rule = "must be at most 120 characters without | = , and quotes"
    return {
        "name": name,
        "parent": section.text("parent", "root", _NAME, _NAME_RULE),
        "description": section.text("description", name, _TEXT, rule).lower(),
        "organization": section.text("organization", name, _TEXT, rule).lower(),
        "qos": list(section.texts("qos", pattern=_NAME, rule=_NAME_RULE)),
        "options": _known(section, _LIMITS),
        "state": _state(section),
    }


def _user(section: Section) -> dict[str, t.Any]:
    state = _state(section)
    accounts = section.texts("accounts", None if state == "present" else (), _NAME, _NAME_RULE)
    default = section.text("default_account", accounts[0] if accounts else "", _NAME, _NAME_RULE)
    if default and accounts and default not in accounts:
        section.wrong("default_account", f"{default} is none of the user's accounts")
    return {
        "name": section.text("name", pattern=_USER, rule="is not a name of a user"),
        "accounts": list(accounts),
        "default_account": default,
        "admin": section.text("admin", "none", choices=("none", "operator", "administrator")),
        "options": _known(section, _LIMITS),
        "state": state,
    }


def check(mistakes: Mistakes, accounting: t.Mapping[str, t.Any], path: str = "scheduler.accounting") -> None:
    """Names that meet: every account has a parent, every user accounts, that are there and not to be absent."""
    if not accounting:
        return
    there = {}
    for kind in ("qos", "accounts", "users"):
        seen: dict[str, int] = {}
        for index, entry in enumerate(accounting[kind]):
            if entry["name"] and seen.setdefault(entry["name"], index) != index:
                first = f"{path}.{kind}[{seen[entry['name']]}]"
                mistakes.add(f"{path}.{kind}[{index}].name", f"{entry['name']} is the name of {first} already")
        there[kind] = {entry["name"] for entry in accounting[kind] if entry["state"] == "present"}
    qos, accounts = there["qos"] | {"normal"}, there["accounts"] | {"root"}
    for index, account in enumerate(accounting["accounts"]):
        at = f"{path}.accounts[{index}]"
        _is_there(mistakes, f"{at}.parent", account["parent"], accounts, "account")
        for number, name in enumerate(account["qos"]):
            _is_there(mistakes, f"{at}.qos[{number}]", name, qos, "qos")
        if account["name"] != "root" and _circle(account, accounting["accounts"]):
            mistakes.add(f"{at}.parent", f"{account['name']} is below itself")
    for index, user in enumerate(accounting["users"]):
        for number, name in enumerate(user["accounts"]):
            _is_there(mistakes, f"{path}.users[{index}].accounts[{number}]", name, accounts, "account")


def _is_there(mistakes: Mistakes, path: str, name: str, known: t.AbstractSet[str], what: str) -> None:
    if name and name not in known and not mistakes.at(path):
        mistakes.add(path, f"there is no {what} {name}{near(name, sorted(known))}")


def _circle(account: t.Mapping[str, t.Any], accounts: t.Sequence[t.Mapping[str, t.Any]]) -> bool:
    parents = {entry["name"]: entry["parent"] for entry in accounts}
    name, seen = account["parent"], set()
    while name in parents and name not in seen:
        if name == account["name"]:
            return True
        seen.add(name)
        name = parents[name]
    return False
