# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource ids: reading, comparing and building them. Azure compares ids without regard to case."""

from __future__ import annotations

from dataclasses import dataclass, replace


class InvalidId(ValueError):
    """A text that is no resource id."""


@dataclass(frozen=True)
class ResourceId:
    """A parsed id. ``types`` and ``names`` run in parallel: ``("virtualNetworks", "subnets")`` and ``("v", "s")``.

    A resource group has the namespace ``Microsoft.Resources`` and the type ``resourceGroups``. ``group`` is empty for
    resources of a subscription. ``scope`` is the id that an extension resource (a role assignment) hangs on; empty
    for all others.
    """

    subscription: str
    group: str
    namespace: str
    types: tuple[str, ...]
    names: tuple[str, ...]
    scope: str = ""

    @property
    def type(self) -> str:
        """``Microsoft.Network/virtualNetworks/subnets``, spelled as in the id."""
        return "/".join((self.namespace, *self.types))

    @property
    def name(self) -> str:
        """The last name."""
        return self.names[-1]

    @property
    def type_and_name(self) -> str:
        """``Microsoft.Network/virtualNetworks/v/subnets/s``, as error texts want it."""
        pairs = [part for pair in zip(self.types, self.names, strict=True) for part in pair]
        return "/".join((self.namespace, *pairs))

    @property
    def parent(self) -> ResourceId | None:
        """The resource that this one is nested in, or None."""
        if len(self.types) < 2:
            return None
        return replace(self, types=self.types[:-1], names=self.names[:-1])

    @property
    def group_id(self) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"

    def child(self, kind: str, name: str) -> ResourceId:
        return replace(self, types=(*self.types, kind), names=(*self.names, name))

    def sibling(self, full_type: str, name: str) -> ResourceId:
        """A top-level resource of another type in the same group."""
        namespace, kind = full_type.split("/")
        return ResourceId(self.subscription, self.group, namespace, (kind,), (name,))

    def __str__(self) -> str:
        if self.types == ("resourceGroups",):
            return self.group_id
        if self.scope:
            return f"{self.scope}/providers/{self.type_and_name}"
        head = self.group_id if self.group else f"/subscriptions/{self.subscription}"
        return f"{head}/providers/{self.type_and_name}"

    @property
    def key(self) -> str:
        """The id in lower case: what ids are compared by."""
        return str(self).lower()


def key(resource_id: str | ResourceId) -> str:
    """The comparable form of an id."""
    return str(resource_id).rstrip("/").lower()


def parse(text: str) -> ResourceId:
    """Read an id of a resource group or of a resource. Raises InvalidId for anything else."""
    parts = text.strip("/").split("/")
    if len(parts) < 4 or parts[0].lower() != "subscriptions" or "" in parts:
        raise InvalidId(f"not a resource id: {text!r}")
    subscription, group, rest = parts[1], "", parts[2:]
    if rest[0].lower() == "resourcegroups":
        group, rest = rest[1], rest[2:]
        if not rest:
            return ResourceId(subscription, group, "Microsoft.Resources", ("resourceGroups",), (group,))
    if len(rest) < 4 or len(rest) % 2 or rest[0].lower() != "providers":
        raise InvalidId(f"not a resource id: {text!r}")
    lowered, scope = [part.lower() for part in rest], ""
    extension = max(at for at in range(0, len(rest), 2) if lowered[at] == "providers")
    if extension:
        if len(rest) - extension < 4:
            raise InvalidId(f"not a resource id: {text!r}")
        scope, rest = "/" + "/".join(parts[: len(parts) - len(rest) + extension]), rest[extension:]
    return ResourceId(subscription, group, rest[1], tuple(rest[2::2]), tuple(rest[3::2]), scope)
