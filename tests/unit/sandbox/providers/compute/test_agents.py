# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extensions in the model of a scale set: who has them."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from .conftest import Cloud

AGENT = {
    "publisher": "Microsoft.Azure.Monitor",
    "type": "AzureMonitorLinuxAgent",
    "typeHandlerVersion": "1.21",
    "protectedSettings": {"key": "hidden"},
}


def test_instances_have_the_extensions_of_the_model_that_they_were_made_of(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc", 1)
    cloud.run("PUT", f"{path}/extensions/AzureMonitorLinuxAgent", {"properties": AGENT})
    cloud.run("PATCH", path, {"sku": {"capacity": 2}})
    old, new = (cloud.ok("GET", f"{path}/virtualMachines/{number}?$expand=instanceView") for number in (0, 1))
    assert "resources" not in old
    (agent,) = new["resources"]
    assert (agent["name"], agent["properties"]["provisioningState"]) == ("AzureMonitorLinuxAgent", "Succeeded")
    assert "hidden" not in str(new)
    (told,) = new["properties"]["instanceView"]["extensions"]
    assert told["type"] == "Microsoft.Azure.Monitor.AzureMonitorLinuxAgent"
