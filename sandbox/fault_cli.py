# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m sandbox fault ...``: what goes wrong, on the command line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.fault_codes import KNOWN, TIMES
from sandbox.state import StateDirectory

Ask = Callable[[StateDirectory, str, Any], Any]
Run = Callable[[StateDirectory, argparse.Namespace], int]
_NAMES = ("code", "method", "match", "count", "when", "status", "message", "delay", "retry_after")


def add_parsers(fault: argparse.ArgumentParser, ask: Ask) -> None:
    """Add the actions below ``fault``; ``ask`` asks the running server."""
    actions = fault.add_subparsers(required=True, metavar="ACTION")
    _rules(actions, ask)
    _limits(actions, ask)
    _switches(actions, ask)
    _machines(actions, ask)
    for action in actions.choices.values():
        action.add_argument("--state", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def _rules(actions: Any, ask: Ask) -> None:
    add = actions.add_parser("add", help="add a rule", epilog=f"Known codes: {', '.join(KNOWN)}")
    add.add_argument("code", help="an Azure error code, or one of the known codes")
    add.add_argument("--method", default="*", help="only requests with this method")
    add.add_argument("--match", default="*", metavar="GLOB", help="only this resource type, or path")
    add.add_argument("--count", type=int, default=1, help="how often it applies; -1 for ever (default: 1)")
    add.add_argument(
        "--when", choices=TIMES, default="", help="refuse the request, fail its operation, or fail single machines"
    )
    add.add_argument("--status", type=int, default=0, help="HTTP status of a refusal")
    add.add_argument("--message", default="")
    add.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="wait before answering")
    add.add_argument("--retry-after", type=float, default=None, metavar="SECONDS")

    def added(state: StateDirectory, options: argparse.Namespace) -> int:
        rule = ask(state, "faults/add", {name: getattr(options, name) for name in _NAMES})
        print(f"sandbox: fault {rule['id']} ({rule['code']}, {rule['when']})")
        return 0

    add.set_defaults(run=added)
    listing = actions.add_parser("list", help="show the rules")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=_listed(ask))
    clear = actions.add_parser("clear", help="remove one rule, or all; what hangs because of them goes on")
    clear.add_argument("id", nargs="?", default="")

    def cleared(state: StateDirectory, options: argparse.Namespace) -> int:
        print(f"sandbox: {ask(state, 'faults/clear', {'id': options.id})['removed']} rules removed")
        return 0

    clear.set_defaults(run=cleared)


def _listed(ask: Ask) -> Run:
    def listed(state: StateDirectory, options: argparse.Namespace) -> int:
        rules = ask(state, "faults/list", None)
        if options.json:
            print(json.dumps(rules, indent=2))
            return 0
        for rule in rules:
            left = "for ever" if rule["count"] < 0 else f"{rule['count']} left"
            what = f"{rule['code']} {rule['when']} {rule['method']} {rule['match']}"
            print(f"{rule['id']}  {what}  {left}, {rule['hits']} hits")
        return 0

    return listed


def _limits(actions: Any, ask: Ask) -> None:
    def limit(state: StateDirectory, options: argparse.Namespace) -> int:
        ask(state, options.limit, {name: getattr(options, name) for name in ("location", "name", "value")})
        print(f"sandbox: {options.limit} of {options.name} in {options.location} is {options.value}")
        return 0

    quota = actions.add_parser(
        "quota", help="set a quota of a region: cores, lowPriorityCores (Spot), standardDSv5Family, ..."
    )
    quota.add_argument("location")
    quota.add_argument("name")
    quota.add_argument("value", type=int)
    quota.set_defaults(run=limit, limit="quota")
    capacity = actions.add_parser("capacity", help="set how many machines of a size a region can run")
    capacity.add_argument("location")
    capacity.add_argument("name", help="the size, such as Standard_HB120rs_v3")
    capacity.add_argument("value", type=_count, help="a number, or any")
    capacity.set_defaults(run=limit, limit="capacity")


def _count(text: str) -> int | None:
    return None if text == "any" else int(text)


def _switches(actions: Any, ask: Ask) -> None:
    throttling = actions.add_parser("throttling", help="enforce Azure's request limits: auto, on or off")
    throttling.add_argument("mode", nargs="?", choices=("auto", "on", "off"), help="show the present one if not given")
    throttling.add_argument("--factor", type=float, default=1.0, help="make all limits so many times as large")

    def throttle(state: StateDirectory, options: argparse.Namespace) -> int:
        wanted = {"mode": options.mode, "factor": options.factor} if options.mode else None
        found = ask(state, "throttling", wanted)
        enforced = "enforced" if found["enforced"] else "not enforced"
        print(f"sandbox: throttling is {found['mode']} (x{found['factor']:g}), {enforced}")
        return 0

    throttling.set_defaults(run=throttle)
    access = actions.add_parser("authorization", help="whose role assignments count (default: those of identities)")
    access.add_argument("mode", nargs="?", choices=("identities", "everybody", "off"), help="shown if not given")

    def authorize(state: StateDirectory, options: argparse.Namespace) -> int:
        print(f"sandbox: role assignments count for: {ask(state, 'authorization', {'mode': options.mode})['mode']}")
        return 0

    access.set_defaults(run=authorize)
    tokens = actions.add_parser("tokens", help="let access tokens expire")
    tokens.add_argument("--lifetime", type=int, metavar="SECONDS", help="of those that are issued from now on")
    tokens.add_argument("--expire", action="store_true", help="all that were issued so far")

    def expire(state: StateDirectory, options: argparse.Namespace) -> int:
        found = ask(state, "tokens", {"lifetime": options.lifetime, "expire": options.expire})
        print(f"sandbox: tokens live for {found['lifetime']} s{', all earlier ones are expired' * options.expire}")
        return 0

    tokens.set_defaults(run=expire)


def _machines(actions: Any, ask: Ask) -> None:
    evict = _machine(actions, ask, "evict", "take a Spot machine away, after the notice in its metadata")
    crash = _machine(actions, ask, "crash", "let a machine die; Azure takes it for running, with a silent agent")
    crash.add_argument("--stopped", action="store_true", help="it powered itself off instead: Azure shows that")
    silence = _machine(actions, ask, "silence", "let the agent of a running machine stop to report")
    silence.add_argument("--end", action="store_true", help="let it report again")
    maintain = _machine(actions, ask, "maintain", "announce maintenance in a machine's metadata, and do it")
    maintain.add_argument("type", choices=("Reboot", "Redeploy", "Freeze"))
    for action in (evict, maintain):
        action.add_argument(
            "--notice", type=float, metavar="SECONDS", help="real seconds; default: Azure's, times the time scale"
        )
    events = actions.add_parser("events", help="the Scheduled Events that a machine sees, as JSON")
    events.add_argument("name", help="id or name of the machine")

    def show(state: StateDirectory, options: argparse.Namespace) -> int:
        print(json.dumps(ask(state, "machines/events", {"name": options.name}), indent=2))
        return 0

    events.set_defaults(run=show)


def _machine(actions: Any, ask: Ask, name: str, text: str) -> argparse.ArgumentParser:
    """A command about one machine: what the parser finds goes to the server."""
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text)
    parser.add_argument("name", help="id or name of the machine, such as hpc_3")

    def send(state: StateDirectory, options: argparse.Namespace) -> int:
        words = ("name", "notice", "stopped", "end", "type")
        found = ask(state, f"machines/{name}", {key: getattr(options, key) for key in words if hasattr(options, key)})
        print(f"sandbox: {name} {found['id']}")
        return 0

    parser.set_defaults(run=send)
    return parser
