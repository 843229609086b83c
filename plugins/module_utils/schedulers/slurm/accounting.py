# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts, quality of service, limits and users: what a definition wants and slurmdbd lacks, as sacctmgr commands."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Output

Wanted = t.Mapping[str, t.Any]
UNLIMITED = "-1"  # what sacctmgr takes to clear a limit
_SACCTMGR = ("sacctmgr", "--immediate")
_SHOW = ("sacctmgr", "--noheader", "--parsable2", "show")
# Names in a definition -> columns of "show", where they differ.
_COLUMNS = {
    "Fairshare": "Share",
    "GrpSubmitJobs": "GrpSubmit",
    "MaxJobsPerAccount": "MaxJobsPA",
    "MaxJobsPerUser": "MaxJobsPU",
    "MaxSubmitJobs": "MaxSubmit",
    "MaxSubmitJobsPerAccount": "MaxSubmitPA",
    "MaxSubmitJobsPerUser": "MaxSubmitPU",
    "MaxTRESMinsPerJob": "MaxTRESMins",
    "MaxTRESPerAccount": "MaxTRESPA",
    "MaxTRESPerJob": "MaxTRES",
    "MaxTRESPerUser": "MaxTRESPU",
    "MinTRESPerJob": "MinTRES",
}


class AccountingError(Exception):
    """slurmdbd did not answer, or not as it should."""


@dataclass(frozen=True)
class Change:
    """One command, and in words what it changes."""

    argv: tuple[str, ...]
    says: str


@dataclass(frozen=True)
class Accounting:
    """What slurmdbd has, by name: option -> value. ``users`` are associations, by (account, user)."""

    clusters: frozenset[str] = frozenset()
    qos: t.Mapping[str, t.Mapping[str, str]] = field(default_factory=dict)
    accounts: t.Mapping[str, t.Mapping[str, str]] = field(default_factory=dict)
    users: t.Mapping[tuple[str, str], t.Mapping[str, str]] = field(default_factory=dict)
    people: t.Mapping[str, t.Mapping[str, str]] = field(default_factory=dict)


def complete(given: Wanted) -> dict[str, list[dict[str, t.Any]]]:
    """What a user left out, filled in, and options as texts. Raises AccountingError for a user without an account."""
    wanted: dict[str, list[dict[str, t.Any]]] = {"qos": [], "accounts": [], "users": []}
    for kind, entries in wanted.items():
        for entry in given[kind]:
            options = {name: str(value) for name, value in entry["options"].items()}
            entries.append({**entry, "options": options})
    for account in wanted["accounts"]:
        for key in ("description", "organization"):
            account[key] = (account[key] or account["name"]).lower()
    for user in wanted["users"]:
        if user["state"] == "present" and not user["accounts"]:
            raise AccountingError(f"user {user['name']} has no account")
        user["default_account"] = user["default_account"] or (user["accounts"] or [""])[0]
    return wanted


def _column(option: str) -> str:
    return _COLUMNS.get(option, option)


def _asked(entries: t.Iterable[Wanted]) -> list[str]:
    """The columns of all options that a definition names, each once."""
    return sorted({_column(name) for entry in entries for name in entry["options"]})


def _show(what: str, *more: str, columns: t.Sequence[str]) -> Command:
    return Command(what, (*_SHOW, what, *more, f"format={','.join(columns)}"))


def observe(wanted: Wanted, cluster: str) -> tuple[Command, ...]:
    """The commands whose outputs `read` understands."""
    limits = _asked([*wanted["accounts"], *wanted["users"]])
    return (
        _show("cluster", columns=["Cluster"]),
        _show("qos", columns=["Name", *_asked(wanted["qos"])]),
        _show("account", columns=["Account", "Descr", "Org"]),
        _show("association", f"cluster={cluster}", columns=["Account", "User", "ParentName", "QOS", *limits]),
        _show("user", columns=["User", "DefaultAccount", "AdminLevel"]),
    )


def read(wanted: Wanted, outputs: t.Mapping[str, Output]) -> Accounting:
    """What slurmdbd has. Raises AccountingError when one of the commands failed."""
    for key, output in outputs.items():
        if output.status != 0:
            raise AccountingError(f"sacctmgr show {key} failed: {output.said()}")
    limits = _asked([*wanted["accounts"], *wanted["users"]])
    accounts: dict[str, dict[str, str]] = {}
    users: dict[tuple[str, str], dict[str, str]] = {}
    for row in _rows(outputs["account"], ["name", "description", "organization"]):
        accounts[row.pop("name")] = row
    for row in _rows(outputs["association"], ["account", "user", "parent", "qos", *limits]):
        account, user = row.pop("account"), row.pop("user")
        if user:
            users[account, user] = row
        else:
            accounts.setdefault(account, {}).update(row)
    return Accounting(
        frozenset(row["name"] for row in _rows(outputs["cluster"], ["name"])),
        {row.pop("name"): row for row in _rows(outputs["qos"], ["name", *_asked(wanted["qos"])])},
        accounts,
        users,
        {row.pop("name"): row for row in _rows(outputs["user"], ["name", "default_account", "admin"])},
    )


def _rows(output: Output, columns: t.Sequence[str]) -> list[dict[str, str]]:
    rows = []
    for line in output.stdout.splitlines():
        parts = line.split("|")
        if len(parts) != len(columns):
            raise AccountingError(f"sacctmgr answered {len(parts)} columns in place of {len(columns)}: {line[:200]}")
        rows.append(dict(zip(columns, parts)))
    return rows


def changes(wanted: Wanted, has: Accounting, cluster: str) -> list[Change]:
    """The commands, in the order in which they have to run, for what differs. What is not named is left alone."""
    found: list[Change] = []
    if cluster not in has.clusters:
        found.append(Change((*_SACCTMGR, "add", "cluster", cluster), f"add cluster {cluster}"))
    for qos in wanted["qos"]:
        if qos["state"] == "present":
            found += _qos(qos, has)
    for account in _parents_first(wanted["accounts"]):
        found += _account(account, has, cluster)
    for user in wanted["users"]:
        found += _user(user, has, cluster) if user["state"] == "present" else _gone("user", user["name"], has.people)
    for account in reversed(_parents_first(wanted["accounts"], "absent")):
        found += _gone("account", account["name"], has.accounts)
    for qos in wanted["qos"]:
        if qos["state"] == "absent":
            found += _gone("qos", qos["name"], has.qos)
    return found


def _gone(kind: str, name: str, has: t.Mapping[str, t.Any]) -> list[Change]:
    if name not in has:
        return []
    return [Change((*_SACCTMGR, "delete", kind, f"name={name}"), f"delete {kind} {name}")]


def _options(options: t.Mapping[str, str], has: t.Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in options.items() if not same(value, has.get(_column(name), ""))]


def _qos(qos: Wanted, has: Accounting) -> list[Change]:
    name = qos["name"]
    if name not in has.qos:
        argv = (*_SACCTMGR, "add", "qos", name, *_options(qos["options"], {}))
        return [Change(argv, f"add qos {name}")]
    differs = _options(qos["options"], has.qos[name])
    if not differs:
        return []
    argv = (*_SACCTMGR, "modify", "qos", "where", f"name={name}", "set", *differs)
    return [Change(argv, f"change qos {name}: {', '.join(differs)}")]


def _account(account: Wanted, has: Accounting, cluster: str) -> list[Change]:
    name = account["name"]
    there = has.accounts.get(name)
    texts = {"description": account["description"], "organization": account["organization"]}
    qos = ",".join(sorted(account["qos"]))
    if there is None or "parent" not in there:  # in another cluster's accounts, perhaps
        set_ = [f"{key}={value}" for key, value in texts.items()] + ([f"qos={qos}"] if qos else [])
        argv = (*_SACCTMGR, "add", "account", name, f"cluster={cluster}", f"parent={account['parent']}", *set_)
        return [Change((*argv, *_options(account["options"], {})), f"add account {name}")]
    differs = [f"{key}={value}" for key, value in texts.items() if there.get(key, "").lower() != value]
    if there["parent"] != account["parent"]:
        differs.append(f"parent={account['parent']}")
    if qos and ",".join(sorted(there["qos"].split(","))) != qos:
        differs.append(f"qos={qos}")
    differs += _options(account["options"], there)
    if not differs:
        return []
    argv = (*_SACCTMGR, "modify", "account", "where", f"name={name}", f"cluster={cluster}", "set", *differs)
    return [Change(argv, f"change account {name}: {', '.join(differs)}")]


def _user(user: Wanted, has: Accounting, cluster: str) -> list[Change]:
    name = str(user["name"])
    found: list[Change] = []
    argv: tuple[str, ...]
    for account in user["accounts"]:
        there = has.users.get((account, name))
        if there is None:
            argv = (*_SACCTMGR, "add", "user", name, f"cluster={cluster}", f"account={account}")
            found.append(Change((*argv, *_options(user["options"], {})), f"add user {name} to account {account}"))
        elif _options(user["options"], there):
            differs = _options(user["options"], there)
            where = ("where", f"name={name}", f"cluster={cluster}", f"account={account}")
            argv = (*_SACCTMGR, "modify", "user", *where, "set", *differs)
            found.append(Change(argv, f"change user {name} in account {account}: {', '.join(differs)}"))
    person = has.people.get(name, {"default_account": user["accounts"][0], "admin": "None"})
    differs = []
    if person["default_account"] != user["default_account"]:
        differs.append(f"defaultaccount={user['default_account']}")
    if person["admin"].lower() != user["admin"]:
        differs.append(f"adminlevel={user['admin']}")
    if differs:
        argv = (*_SACCTMGR, "modify", "user", "where", f"name={name}", "set", *differs)
        found.append(Change(argv, f"change user {name}: {', '.join(differs)}"))
    for account, other in sorted(has.users):
        if other == name and account not in user["accounts"]:
            argv = (*_SACCTMGR, "delete", "user", f"name={name}", f"cluster={cluster}", f"account={account}")
            found.append(Change(argv, f"take user {name} out of account {account}"))
    return found


def _parents_first(accounts: t.Sequence[Wanted], state: str = "present") -> list[Wanted]:
    chosen = {account["name"]: account for account in accounts if account["state"] == state}

    def depth(account: Wanted) -> int:
        steps, name = 0, account["parent"]
        while name in chosen and steps <= len(chosen):
            steps, name = steps + 1, chosen[name]["parent"]
        return steps

    return sorted(chosen.values(), key=depth)


def same(wanted: str, has: str) -> bool:
    """Whether two values mean the same: 7-0 and 7-00:00:00, mem=10240M and mem=10G, -1 and nothing."""
    return bool(_normal(wanted) == _normal(has))


def _normal(value: str) -> t.Any:
    value = value.strip()
    if value in ("", UNLIMITED, "NONE", "cluster"):
        return ""
    if "=" in value:  # trackable resources
        return {
            name.lower(): _amount(amount, name.lower() == "mem")
            for name, _separator, amount in (part.partition("=") for part in value.split(","))
            if amount != UNLIMITED
        } or ""
    seconds = _seconds(value)
    if seconds is not None:
        return float(seconds)
    try:
        return float(value)
    except ValueError:
        return tuple(sorted(value.lower().split(",")))


def _amount(text: str, memory: bool) -> t.Union[float, str]:
    """A count, or with ``memory`` MiB. What is no number stays as it is."""
    match = re.fullmatch(r"([0-9.]+)([KMGTP]?)", text, re.IGNORECASE)
    if not match:
        return text
    power = {"": 1.0, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "P": 1024.0**3}
    return float(match[1]) * (power[match[2].upper()] if memory else 1.0)


def _seconds(text: str) -> t.Optional[int]:
    """A time with days or colons, as Slurm writes it; None if it is none, a plain number included."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if not match or (match[1] is None and match[3] is None):
        return None
    days, first, second, third = match.groups()
    if days is None and third is None:
        return int(first) * 60 + int(second)  # minutes:seconds
    return int(days or 0) * 86400 + int(first) * 3600 + int(second or 0) * 60 + int(third or 0)
