# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a template to the list of what is to be deployed: ids, loops, children, conditions, dependencies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from sandbox.arm import ids
from sandbox.providers.deployments.evaluator import UNKNOWN, Scope, unknown
from sandbox.providers.deployments.expressions import TemplateError

# Keys of a template resource that say how it is deployed and are not sent.
OWN = {
    "type", "apiversion", "name", "dependson", "comments", "condition", "copy", "scope", "resources", "existing",
    "subscriptionid", "resourcegroup", "metadata", "import",
}  # fmt: skip
NESTED = "microsoft.resources/deployments"
WHERE = "at line '1' and column '0'"


@dataclass
class Item:
    """One resource to be deployed. ``raw`` is what the template says; ``scope`` knows the round of its loop.

    ``reads`` are (id, api-version or "") that its expressions refer to; ``needs`` are ids of other items.
    """

    id: str
    type: str
    name: str
    api_version: str
    raw: dict[str, Any]
    scope: Scope
    wanted: bool = True
    existing: bool = False
    location: str | None = None
    symbol: str = ""
    loop: str = ""
    after: list[str] = field(default_factory=list)
    reads: list[tuple[str, str]] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        return ids.key(self.id)

    def aliases(self) -> set[str]:
        """All that a ``dependsOn`` may call it, in lower case."""
        relative = self.id.rpartition("/providers/")[2]
        names = {self.id, relative, f"{self.type}/{self.name}", self.name, self.symbol, self.loop}
        return {name.lower().strip("/") for name in names if name}

    def body(self) -> dict[str, Any]:
        """What is to be put, with everything evaluated now."""
        kept = {key: value for key, value in self.raw.items() if key.lower() not in OWN}
        if self.type.lower() == NESTED and _inner(kept):
            # The nested template is evaluated by its own deployment.
            properties = dict(kept.pop("properties"))
            template = properties.pop("template", None)
            return {**self.scope.value(kept), "properties": {**self.scope.value(properties), "template": template}}
        made: dict[str, Any] = self.scope.value(kept)
        return made


def _inner(body: dict[str, Any]) -> bool:
    options = (body.get("properties") or {}).get("expressionEvaluationOptions") or {}
    return str(options.get("scope", "")).lower() == "inner"


class Plan:
    """The items of a template, deployed to ``base`` (the id of a resource group or a subscription)."""

    def __init__(self, template: dict[str, Any], scope: Scope, base: str) -> None:
        self._scope = scope
        self._base = base
        resources = template.get("resources") or []
        named = resources.items() if isinstance(resources, dict) else (("", entry) for entry in resources)
        self.items: list[Item] = []
        for symbol, raw in named:
            if not isinstance(raw, dict):
                raise TemplateError("The template resources are not valid: an object is expected.")
            self.items += self._read(symbol, raw, None)
        self._refuse_twins()

    def _read(self, symbol: str, raw: dict[str, Any], parent: Item | None) -> Iterator[Item]:
        copy = raw.get("copy")
        outer = parent.scope if parent is not None else self._scope
        if not isinstance(copy, dict):
            yield from self._one(symbol, raw, outer, parent, "")
            return
        name = str(copy.get("name", symbol))
        for number in range(outer.count(copy.get("count"))):
            yield from self._one(f"{symbol}[{number}]", raw, outer.in_loop(name, number), parent, name)

    def _one(self, symbol: str, raw: dict[str, Any], scope: Scope, parent: Item | None, loop: str) -> Iterator[Item]:
        for key in ("type", "name", "apiVersion"):
            if not isinstance(raw.get(key), str):
                raise TemplateError(
                    f"The template resource '{raw.get('name', '')}' {WHERE} is not valid. The {key.lower()} property "
                    "is missing or invalid. Please see https://aka.ms/arm-syntax-resources for usage details."
                )
        kind, name = str(scope.value(raw["type"])), self._known(scope.value(raw["name"]), raw)
        if parent is not None:
            kind, name = f"{parent.type}/{kind}", f"{parent.name}/{name}"
        item = Item(
            id=self._id(kind, name, raw, scope),
            type=kind,
            name=name,
            api_version=str(scope.value(raw.get("apiVersion", ""))),
            raw=raw,
            scope=scope,
            wanted=self._condition(raw, scope) and (parent is None or parent.wanted),
            existing=bool(raw.get("existing")),
            symbol=symbol,
            loop=loop,
        )
        location = scope.value(raw.get("location"))
        item.location = str(location).replace(" ", "").lower() if location and location is not UNKNOWN else None
        item.after = [str(scope.value(entry)) for entry in raw.get("dependsOn") or []]
        yield item
        for child in raw.get("resources") or []:
            yield from self._read("", child, item)

    def _known(self, value: Any, raw: dict[str, Any]) -> str:
        if unknown(value) or not isinstance(value, str):
            raise TemplateError(
                f"The template resource '{raw['name']}' {WHERE} is not valid: its name must be a string that is known "
                "when the deployment begins. Please see https://aka.ms/arm-syntax-resources for usage details."
            )
        return value

    def _condition(self, raw: dict[str, Any], scope: Scope) -> bool:
        value = scope.value(raw.get("condition", True))
        if not isinstance(value, bool):
            raise TemplateError(
                f"The template resource '{raw['name']}' {WHERE} is not valid: its condition is no boolean. Please see "
                "https://aka.ms/arm-syntax-resources for usage details."
            )
        return value

    def _id(self, kind: str, name: str, raw: dict[str, Any], scope: Scope) -> str:
        namespace, *kinds = kind.split("/")
        names = name.split("/")
        if len(kinds) != len(names) or not all(names):
            raise TemplateError(
                f"The template resource '{name}' for type '{kind}' {WHERE} has incorrect segment lengths. A nested "
                "resource type must have identical number of segments as its resource name. A root resource type must "
                "have segment length one greater than its resource name. Please see "
                "https://aka.ms/arm-syntax-resources for usage details."
            )
        path = "/".join(part for pair in zip(kinds, names, strict=True) for part in pair)
        base = self._base
        where = scope.value(raw["scope"]) if isinstance(raw.get("scope"), str) else ""
        if where:
            base = where if where.startswith("/subscriptions") else f"{base}/providers/{where}"
        if kind.lower() == "microsoft.resources/resourcegroups":
            return f"/subscriptions/{base.split('/')[2]}/resourceGroups/{name}"
        if raw.get("subscriptionId"):
            base = f"/subscriptions/{scope.value(raw['subscriptionId'])}"
        if raw.get("resourceGroup"):
            base = "/".join(base.split("/")[:3]) + f"/resourceGroups/{scope.value(raw['resourceGroup'])}"
        return f"{base.rstrip('/')}/providers/{namespace}/{path}"

    def _refuse_twins(self) -> None:
        seen: set[str] = set()
        for item in self.items:
            if item.wanted and not item.existing:
                if item.key in seen:
                    raise TemplateError(
                        f"The resource '{item.id.rpartition('/providers/')[2]}' {WHERE} is defined multiple times in a "
                        "template. Please see https://aka.ms/arm-syntax-resources for usage details."
                    )
                seen.add(item.key)

    # dependencies

    def find(self, name: str) -> list[Item]:
        """The items that go by a name."""
        wanted = name.lower().strip("/")
        return [item for item in self.items if wanted in item.aliases()]

    def connect(self) -> None:
        """Find out who needs whom, from ``dependsOn`` and from what the items read. Raises TemplateError."""
        for item in self.items:
            found: list[Item] = []
            for name in item.after:
                others = self.find(name)
                if not others:
                    raise TemplateError(
                        f"The resource '{name.rpartition('/providers/')[2]}' is not defined in the template. Please "
                        "see https://aka.ms/arm-syntax for usage details."
                    )
                found += others
            for target, _version in item.reads:
                found += [other for other in self.find(target) if other is not item]
            item.needs = list(dict.fromkeys(other.key for other in found))
        try:
            self.order().prepare()
        except CycleError as error:
            raise TemplateError(
                f"Circular dependency detected on resource: '{error.args[1][0]}'. Please see "
                "https://aka.ms/arm-syntax-resources for usage details."
            ) from None

    def order(self) -> TopologicalSorter[str]:
        return TopologicalSorter({item.key: item.needs for item in self.items})

    def deployed(self) -> list[Item]:
        return [item for item in self.items if item.wanted and not item.existing]
