# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Resources/tags (the tags of anything, as a resource of their own) and the tag names of subscriptions."""

from __future__ import annotations

from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import GATEWAY, ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.router import SCOPE, SUBSCRIPTION
from sandbox.arm.store import Resource
from sandbox.providers import common

TYPE = "Microsoft.Resources/tags"
NAMES = "Microsoft.Resources/tagNames"
OPERATIONS = ("Merge", "Replace", "Delete")


class Tags:
    """The provider."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def _owner(self, request: Request) -> Resource:
        """What the tags hang on: a subscription's are kept in a row of their own."""
        scope = request.params["scope"]
        if len(scope.strip("/").split("/")) == 2:
            own = f"{scope}/providers/{TYPE}/default"
            return self._core.store.get(own) or Resource(own, {"tags": {}})
        rid = ids.parse(scope)
        if rid.types == ("resourceGroups",):
            return self._core.require_group(rid.subscription, rid.group)
        return self._core.require(rid)

    def _answer(self, request: Request, tags: dict[str, str]) -> Answer:
        own = f"{request.params['scope']}/providers/{TYPE}/default"
        return Answer(200, {"id": own, "name": "default", "type": TYPE, "properties": {"tags": tags}})

    def get(self, request: Request) -> Answer:
        return self._answer(request, self._owner(request).body.get("tags") or {})

    def write(self, request: Request) -> Answer:
        """PUT replaces all tags, PATCH merges, replaces or deletes as its ``operation`` says."""
        given = common.tags(request.body.get("properties") or {})
        if given is None:
            raise ArmError(400, "InvalidRequestContent", "The request has no tags.", headers=GATEWAY)
        named = str(request.body.get("operation", "Merge")) if request.method == "PATCH" else "Replace"
        operation = {word.lower(): word for word in OPERATIONS}.get(named.lower())
        if operation is None:
            text = f"The tags patch operation '{named}' is invalid. Allowed values: {', '.join(OPERATIONS)}."
            raise ArmError(400, "InvalidTagsPatchOperation", text, headers=GATEWAY)
        with self._core.store.transaction():
            owner = self._owner(request)
            before: dict[str, str] = owner.body.get("tags") or {}
            if operation == "Delete":
                gone = {name.lower() for name in given}
                after = {name: value for name, value in before.items() if name.lower() not in gone}
            elif operation == "Merge":
                new = {name.lower() for name in given}
                after = {**{name: value for name, value in before.items() if name.lower() not in new}, **given}
            else:
                after = given
            owner.body["tags"] = common.tags({"tags": after})
            self._core.store.put(owner)
        return self._answer(request, after)

    def delete(self, request: Request) -> Answer:
        with self._core.store.transaction():
            owner = self._owner(request)
            owner.body["tags"] = {}
            self._core.store.put(owner)
        return Answer(200)

    # names

    def _names(self, subscription: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = self._core.store.setting(f"tag-names:{subscription.lower()}", {})
        return found

    def _shown(self, subscription: str, name: str, values: list[str]) -> dict[str, Any]:
        own = f"/subscriptions/{subscription}/tagNames/{name}"
        used = self._used(subscription, name)
        shown = [self._value(own, value, sum(one == value for one in used)) for value in values]
        return {"id": own, "tagName": name, "count": {"type": "Total", "value": len(used)}, "values": shown}

    def _used(self, subscription: str, name: str) -> list[str]:
        rows = self._core.store.in_scope(subscription)
        return [v for row in rows for k, v in (row.body.get("tags") or {}).items() if k.lower() == name.lower()]

    @staticmethod
    def _value(own: str, value: str, count: int) -> dict[str, Any]:
        return {"id": f"{own}/tagValues/{value}", "tagValue": value, "count": {"type": "Total", "value": count}}

    def list_names(self, request: Request) -> Answer:
        names = self._names(request.subscription)
        return Answer(200, {"value": [self._shown(request.subscription, *entry) for entry in sorted(names.items())]})

    def write_name(self, request: Request) -> Answer:
        """A name, or a value of a name that is there."""
        names, name, value = self._names(request.subscription), request.params["tag"], request.params.get("value")
        known = name in names and (value is None or value in names[name])
        if value is not None and name not in names:
            raise _no_name(name)
        values = names.setdefault(name, [])
        if value is not None and not known:
            values.append(value)
        self._core.store.set_setting(f"tag-names:{request.subscription.lower()}", names)
        body = self._shown(request.subscription, name, values)
        if value is not None:
            body = next(entry for entry in body["values"] if entry["tagValue"] == value)
        return Answer(200 if known else 201, body)

    def delete_name(self, request: Request) -> Answer:
        names, name, value = self._names(request.subscription), request.params["tag"], request.params.get("value")
        known = name in names and (value is None or value in names[name])
        if known and value is not None:
            names[name].remove(value)
        elif known and names[name]:
            text = f"The tag '{name}' has values and cannot be deleted. Please delete its values first."
            raise ArmError(409, "TagNameNotEmpty", text, headers=GATEWAY)
        elif known:
            del names[name]
        self._core.store.set_setting(f"tag-names:{request.subscription.lower()}", names)
        return Answer(200 if known else 204)


def _no_name(name: str) -> ArmError:
    return ArmError(404, "TagNameNotFound", f"The tag '{name}' could not be found.", headers=GATEWAY)


def register(core: Core) -> None:
    tags, add = Tags(core), core.router.add
    own = f"{SCOPE}/providers/{TYPE}/default"
    add("GET", own, tags.get, type=TYPE)
    add("PUT", own, tags.write, type=TYPE)
    add("PATCH", own, tags.write, type=TYPE)
    add("DELETE", own, tags.delete, type=TYPE)
    names = f"{SUBSCRIPTION}/tagNames"
    add("GET", names, tags.list_names, type=NAMES, kind="list")
    for below in ("", "/tagValues/{value}"):
        add("PUT", f"{names}/{{tag}}{below}", tags.write_name, type=NAMES, kind="bare")
        add("DELETE", f"{names}/{{tag}}{below}", tags.delete_name, type=NAMES)
