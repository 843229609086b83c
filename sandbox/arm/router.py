# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes: which handler answers a method and a path.

Literal segments are compared without regard to case and win over placeholders. A template may begin with ``/{scope*}``:
then it matches any path that ends so (extension resources such as role assignments), if no other route does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sandbox.arm.messages import Answer, Request

Handler = Callable[[Request], Answer]
GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"
SUBSCRIPTION = "/subscriptions/{subscription}"
SCOPE = "/{scope*}"


@dataclass
class Route:
    """``kind``: resource (the path is an id), child (id of the parent plus one segment: nested list or
    action), list, bare (a PUT whose URL says it all), other.
    """

    method: str
    template: str
    handler: Handler
    type: str
    kind: str = "other"


@dataclass
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    placeholder: _Node | None = None
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)


class Router:
    """Routes of all providers."""

    def __init__(self) -> None:
        self._root = _Node()
        self._scoped = _Node()
        self.types: dict[str, str] = {}

    def add(self, method: str, template: str, handler: Handler, *, type: str = "", kind: str = "other") -> None:
        """Answer ``method`` on ``template`` (with ``{placeholders}``) by ``handler``. A later route replaces
        an equal one.
        """
        scoped = template.startswith(SCOPE)
        node = self._scoped if scoped else self._root
        names = []
        for segment in template.removeprefix(SCOPE).strip("/").split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.placeholder = node.placeholder or _Node()
                node = node.placeholder
            else:
                node = node.literals.setdefault(segment.lower(), _Node())
        node.routes[method] = Route(method, template, handler, type, kind)
        node.names[method] = tuple(names)
        if type:
            self.types.setdefault(type.lower(), type)

    def resource(
        self,
        type: str,
        *,
        get: Handler | None = None,
        put: Handler | None = None,
        patch: Handler | None = None,
        delete: Handler | None = None,
        list: Handler | None = None,
        list_all: Handler | None = None,
    ) -> None:
        """The usual routes of a type such as ``Microsoft.Network/virtualNetworks`` (or nested: ``.../subnets``).

        ``list`` answers the list in a group (nested: below the parent), ``list_all`` the one of the subscription. The
        placeholders of names are ``name`` for the last and ``parent``, ``grandparent`` before it.
        """
        namespace, *kinds = type.split("/")
        labels = ["grandparent", "parent", "name"][-len(kinds) :]
        collection = f"{GROUP}/providers/{namespace}"
        for kind, label in zip(kinds, labels, strict=True):
            path, collection = f"{collection}/{kind}", f"{collection}/{kind}/{{{label}}}"
        for method, handler in (("GET", get), ("PUT", put), ("PATCH", patch), ("DELETE", delete)):
            if handler is not None:
                self.add(method, collection, handler, type=type, kind="resource")
        if list is not None:
            self.add("GET", path, list, type=type, kind="child" if len(kinds) > 1 else "list")
        if list_all is not None:
            self.add("GET", f"{SUBSCRIPTION}/providers/{type}", list_all, type=type, kind="list")

    def action(self, type: str, action: str, handler: Handler, *, method: str = "POST") -> None:
        """``method`` on ``<id of a resource of type>/<action>``; ``request.rid`` is the resource."""
        namespace, *kinds = type.split("/")
        labels = ["grandparent", "parent", "name"][-len(kinds) :]
        path = f"{GROUP}/providers/{namespace}"
        for kind, label in zip(kinds, labels, strict=True):
            path += f"/{kind}/{{{label}}}"
        self.add(method, f"{path}/{action}", handler, type=type, kind="child")

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route and the values of its placeholders, or None."""
        segments = path.strip("/").split("/")
        found = _walk(self._root, method, segments, [])
        if found:
            return found
        lowered = [segment.lower() for segment in segments]
        for start in range(len(segments) - 1, -1, -1):
            if lowered[start] != "providers":
                continue
            found = _walk(self._scoped, method, segments[start:], [])
            if found:
                route, params = found
                return route, {**params, "scope": "/" + "/".join(segments[:start]) if start else ""}
        return None

    def routes(self) -> Iterator[Route]:
        """All routes, in no order that means anything."""
        nodes = [self._root, self._scoped]
        while nodes:
            node = nodes.pop()
            yield from node.routes.values()
            nodes += [*node.literals.values(), *([node.placeholder] if node.placeholder else [])]

    def methods(self, path: str) -> list[str]:
        """The methods that the path answers to."""
        return [method for method in ("GET", "PUT", "PATCH", "POST", "DELETE", "HEAD") if self.match(method, path)]


def _walk(node: _Node, method: str, segments: list[str], values: list[str]) -> tuple[Route, dict[str, str]] | None:
    if not segments:
        route = node.routes.get(method)
        return (route, dict(zip(node.names[method], values, strict=True))) if route else None
    head, rest = segments[0], segments[1:]
    literal = node.literals.get(head.lower())
    if literal is not None:
        found = _walk(literal, method, rest, values)
        if found:
            return found
    if node.placeholder is not None and head:
        return _walk(node.placeholder, method, rest, [*values, head])
    return None
