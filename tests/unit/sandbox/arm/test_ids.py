# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from sandbox.arm import ids

VNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v"


def test_a_nested_id_knows_its_parent_type_and_name() -> None:
    rid = ids.parse(f"{VNET}/subnets/a")
    assert (rid.type, rid.name, str(rid.parent)) == ("Microsoft.Network/virtualNetworks/subnets", "a", VNET)
    assert rid.type_and_name == "Microsoft.Network/virtualNetworks/v/subnets/a"


@pytest.mark.parametrize(
    "text",
    [
        "/subscriptions/s/resourceGroups/g",
        VNET,
        "/subscriptions/s/providers/Microsoft.Compute/locations/westeurope",
        f"{VNET}/providers/Microsoft.Authorization/roleAssignments/r",
        "/subscriptions/s/providers/Microsoft.Authorization/roleAssignments/r",
    ],
)
def test_an_id_is_written_as_it_was_read(text: str) -> None:
    assert str(ids.parse(text)) == text


def test_an_extension_belongs_to_what_it_hangs_on_and_has_its_own_type() -> None:
    rid = ids.parse(f"{VNET}/providers/Microsoft.Authorization/roleAssignments/r")
    assert (rid.type, rid.scope, rid.group, rid.parent) == ("Microsoft.Authorization/roleAssignments", VNET, "g", None)


@pytest.mark.parametrize("text", ["", "/subscriptions/s", f"{VNET}/subnets", "/x/s/resourceGroups/g", f"{VNET}//a"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a resource id"):
        ids.parse(text)


def test_ids_are_compared_without_case() -> None:
    assert ids.parse(VNET).key == ids.key(VNET.upper().replace("/SUBSCRIPTIONS", "/subscriptions"))
