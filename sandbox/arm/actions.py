# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request does in the words of role definitions: its action, and the scope that it is about."""

from __future__ import annotations

from sandbox.arm.messages import Request
from sandbox.arm.router import Route

VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete", "POST": "action"}


def action_of(method: str, template: str) -> str:
    """``Microsoft.Compute/virtualMachines/start/action`` for a POST on the template of that name, and so on."""
    _unused, found, below = template.rpartition("/providers/")
    words = [word for word in (below if found else template.strip("/")).split("/") if not word.startswith("{")]
    what = "/".join(words) if found else "/".join(["Microsoft.Resources", *words])
    return f"{what}/{VERBS.get(method, 'action')}"


def scope_of(route: Route | None, path: str, method: str) -> str:
    """The resource, group or subscription that a request is about."""
    if route is None:
        return path
    if method == "POST" or route.kind in ("list", "child"):
        return path.rpartition("/")[0]
    return path


def provider_of(path: str) -> str:
    """The namespace of the provider that answers the path."""
    lowered = path.lower()
    at = lowered.rfind("/providers/")
    return path[at + len("/providers/") :].split("/")[0] if at >= 0 else "Microsoft.Resources"


def is_list(route: Route | None, request: Request) -> bool:
    """Whether the request asks for a list of resources."""
    if route is None or request.method != "GET":
        return False
    last = route.template.rsplit("/", 1)[-1].lower()
    nested = route.kind == "child" and route.type.lower().endswith(f"/{last}")
    return route.kind == "list" or nested or last in ("resources", "resourcegroups")
