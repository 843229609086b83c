# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Authorization/locks: management locks, and what they forbid."""

from __future__ import annotations

from sandbox.arm import ids, shapes
from sandbox.arm.core import Core
from sandbox.arm.errors import GATEWAY, ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.router import SCOPE, Route
from sandbox.arm.store import Resource
from sandbox.providers.at_scope import AtScope

TYPE = "Microsoft.Authorization/locks"
LEVELS = ("CanNotDelete", "ReadOnly")
COLLECTION = f"{SCOPE}/providers/{TYPE}"


class Locks(AtScope):
    """The provider. A lock holds at its scope and below; a scope with a locked part cannot be deleted either."""

    def __init__(self, core: Core) -> None:
        super().__init__(core, TYPE)

    def put(self, request: Request) -> Answer:
        given = shapes.read(request.body, {"properties": {"level": str, "notes": str}}).get("properties") or {}
        levels = {level.lower(): level for level in LEVELS}
        level = levels.get(str(given.get("level", "")).lower())
        if level is None:
            text = f"The lock level '{given.get('level')}' is invalid. Allowed values: {', '.join(LEVELS)}."
            raise ArmError(400, "InvalidLockLevel", text, headers=GATEWAY)
        self._core.require_scope(request.params["scope"])
        with self._core.store.transaction():
            known = self._find(request)
            lock = known or Resource(self._id(request), {})
            properties = {"level": level, **({"notes": given["notes"]} if given.get("notes") else {})}
            lock.body = {"properties": properties, "id": lock.id, "type": TYPE, "name": request.params["name"]}
            self._core.store.put(lock)
        return Answer(200 if known else 201, lock.body)

    def get(self, request: Request) -> Answer:
        text = f"The lock '{request.params['name']}' could not be found."
        return self._shown(request, ArmError(404, "LockNotFound", text, headers=GATEWAY))

    def delete(self, request: Request) -> Answer:
        return Answer(200 if self._removed(request) else 204)

    def list(self, request: Request) -> Answer:
        """Locks at the scope and below; with ``atScope()`` at the scope and above."""
        scope, above = ids.key(request.params["scope"]), "atscope()" in request.query.get("$filter", "").lower()
        found = []
        for lock in self._core.store.list(TYPE):
            at = _scope(lock)
            if scope == at or (scope.startswith(f"{at}/") if above else at.startswith(f"{scope}/")):
                found.append(lock.body)
        return Answer(200, {"value": found})

    def guard(self, request: Request, route: Route) -> None:
        """409 ScopeLocked for what a lock forbids. Reads are always allowed, and so is writing locks."""
        if request.method in ("GET", "HEAD", "OPTIONS") or route.type == TYPE or not request.subscription:
            return
        scope = ids.key(request.rid if request.rid is not None else request.path)
        held = []
        for lock in self._core.store.list(TYPE, subscription=request.subscription):
            at, strict = _scope(lock), lock.properties["level"] == "ReadOnly"
            above, below = f"{scope}/".startswith(f"{at}/"), at.startswith(f"{scope}/")
            if (above and (strict or request.method == "DELETE")) or (below and request.method == "DELETE"):
                held.append(lock.id[: lock.id.lower().rindex("/providers/microsoft.authorization/locks/")])
        if held:
            what = "delete" if request.method == "DELETE" else "write"
            where = request.rid if request.rid is not None else request.path
            text = (
                f"The scope '{where}' cannot perform {what} operation because following scope(s) are locked: "
                f"'{','.join(sorted(set(held)))}'. Please remove the lock and try again."
            )
            raise ArmError(409, "ScopeLocked", text, headers=GATEWAY)


def _scope(lock: Resource) -> str:
    return ids.key(lock.id).rpartition(f"/providers/{TYPE.lower()}/")[0]


def register(core: Core) -> None:
    locks, add = Locks(core), core.router.add
    add("GET", COLLECTION, locks.list, type=TYPE)
    for method in ("get", "put", "delete"):
        add(method.upper(), f"{COLLECTION}/{{name}}", getattr(locks, method), type=TYPE)
    core.guards.append(locks.guard)
