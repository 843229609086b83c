# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from sandbox.arm.messages import Answer, Request
from sandbox.arm.router import SCOPE, Router

VM = "Microsoft.Compute/virtualMachines"
BASE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines"


def answer(request: Request) -> Answer:
    return Answer(200)


@pytest.fixture
def router() -> Router:
    made = Router()
    made.resource(VM, get=answer, put=answer, list=answer, list_all=answer)
    made.resource(f"{VM}/extensions", get=answer, list=answer)
    made.action(VM, "start", answer)
    made.add("GET", f"{SCOPE}/providers/Microsoft.Authorization/roleAssignments/{{name}}", answer)
    return made


@pytest.mark.parametrize(
    ("method", "path", "params"),
    [
        ("GET", f"{BASE}/v", {"subscription": "s", "group": "g", "name": "v"}),
        ("GET", BASE.upper(), {"subscription": "S", "group": "G"}),
        ("GET", "/subscriptions/s/providers/microsoft.compute/virtualmachines", {"subscription": "s"}),
        ("GET", f"{BASE}/v/extensions/e", {"subscription": "s", "group": "g", "parent": "v", "name": "e"}),
        ("POST", f"{BASE}/v/START", {"subscription": "s", "group": "g", "name": "v"}),
        (
            "GET",
            f"{BASE}/v/providers/Microsoft.Authorization/roleAssignments/r",
            {"scope": f"{BASE}/v", "name": "r"},
        ),
    ],
)
def test_paths_find_their_route_in_any_case(router: Router, method: str, path: str, params: dict[str, str]) -> None:
    found = router.match(method, path)
    assert found is not None
    assert found[1] == params


@pytest.mark.parametrize(("method", "path"), [("DELETE", f"{BASE}/v"), ("GET", f"{BASE}/v/disks"), ("GET", "/x")])
def test_what_nobody_answers_for_is_not_found(router: Router, method: str, path: str) -> None:
    assert router.match(method, path) is None


def test_a_literal_wins_over_a_name(router: Router) -> None:
    router.add("GET", "/subscriptions/{subscription}/resourceGroups/special", answer, type="special")
    router.add("GET", "/subscriptions/{subscription}/resourceGroups/{group}", answer, type="group")
    found = [router.match("GET", f"/subscriptions/s/resourceGroups/{name}") for name in ("special", "other")]
    assert [match[0].type for match in found if match] == ["special", "group"]


def test_the_methods_of_a_path_are_known(router: Router) -> None:
    assert router.methods(f"{BASE}/v") == ["GET", "PUT"]
