"""A resource group with the scale sets of a cluster on the small ARM of arm.py, behaving as Uniform scale sets do."""

from __future__ import annotations

import re
import typing as t

from tests.unit.plugins.module_utils.azure.arm import SUBSCRIPTION, Answer, Arm, Sent

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/demo-rg"
SETS = f"{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets"
CREATED = "2026-11-20T09:00:00.1234567+00:00"


class World(Arm):
    """Grows and shrinks. ``slow`` sets list new instances only after that many looks."""

    def __init__(self) -> None:
        super().__init__()
        self.slow: dict[str, int] = {}
        self._next: dict[str, int] = {}

    def scale_set(self, name: str, size: str = "Standard_D4s_v5", instances: int = 0, **tags: str) -> str:
        """Let a scale set with running instances exist."""
        path = f"{SETS}/{name}"
        marks = {"hpc-cluster": "demo", "hpc-node-array": "htc", "hpc-vm-size": size, **tags}
        marks = {key.replace("_", "-"): value for key, value in marks.items()}
        body = {
            "location": "westeurope",
            "tags": marks,
            "sku": {"name": size, "tier": "Standard", "capacity": 0},
            "properties": {"provisioningState": "Succeeded"},
        }
        self.put(path, body)
        self.grow(name, instances)
        return path

    def grow(self, name: str, capacity: int, state: str = "Succeeded") -> None:
        """Bring a set to a capacity by new instances in a state."""
        document = self.resources[f"{SETS}/{name}".casefold()]
        for _each in range(capacity - len(self.instances(name))):
            self._add(name, state)
        document["sku"]["capacity"] = capacity

    def instances(self, name: str) -> list[dict[str, t.Any]]:
        """The instances of a set as ARM lists them."""
        prefix = f"{SETS}/{name}/virtualmachines/".casefold()
        return [one for path, one in self.resources.items() if path.startswith(prefix)]

    def _add(self, name: str, state: str) -> None:
        number = self._next[name] = self._next.get(name, -1) + 1
        path = f"{SETS}/{name}/virtualMachines/{number}"
        properties = {
            "provisioningState": state,
            "timeCreated": CREATED,
            "osProfile": {"computerName": f"{name[-4:]}{number:06d}"},
        }
        self.put(path, {"instanceId": str(number), "name": f"{name}_{number}", "properties": properties})
        address = {"privateIPAddress": f"10.0.{len(self._next)}.{number + 4}", "primary": True}
        configuration = {"name": "primary", "properties": address}
        interface = {"virtualMachine": {"id": path.upper()}, "primary": True, "ipConfigurations": [configuration]}
        self.put(f"{SETS}/{name}/networkInterfaces/nic{number}", {"properties": interface})

    def _usual(self, sent: Sent) -> Answer:
        match = re.fullmatch(f"{SETS}/([^/]+)(/[a-z]+)?".casefold(), sent.path.casefold())
        if match is None:
            return super()._usual(sent)
        name, rest = match.groups()
        document = next(one for one in self.resources.values() if str(one.get("name", "")).casefold() == name)
        if sent.method == "PATCH" and (sent.body or {}).get("sku"):
            self.grow(document["name"], sent.body["sku"]["capacity"], "Creating")
            return self._operation(200, document)
        if sent.method == "POST" and rest == "/delete":
            for number in sent.body["instanceIds"]:
                self.resources[f"{sent.path.rpartition('/')[0]}/virtualMachines/{number}".casefold()]["properties"][
                    "provisioningState"
                ] = "Deleting"
            document["sku"]["capacity"] -= len(sent.body["instanceIds"])
            return self._operation(202, None)
        if rest in ("/virtualmachines", "/networkinterfaces") and self.slow.get(document["name"], 0) > 0:
            self.slow[document["name"]] -= rest == "/virtualmachines"
            return Answer(200, {"value": []})
        return super()._usual(sent)
