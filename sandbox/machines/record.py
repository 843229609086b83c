# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver that boots nothing: it keeps the states that machines would have, and a journal of what it was told."""

from __future__ import annotations

import json
import shutil
import threading
import typing as t
from pathlib import Path

from sandbox.machines import Command, MachineError, MachineSpec, MetadataListener, Output, PowerState, VnetState
from sandbox.machines.names import digest
from sandbox.machines.values import spec_from_json, spec_to_json, vnet_from_json, vnet_to_json


class RecordDriver:
    """A driver whose machines exist on paper. Refuses what the booting driver refuses, in the same words.

    ``<state>/record.jsonl`` has one line per call that changed something; ``recover`` replays it.
    """

    def __init__(self, state: Path, metadata: MetadataListener) -> None:
        self._journal = state / "record.jsonl"
        self._metadata = metadata
        self._lock = threading.RLock()
        self._specs: dict[str, MachineSpec] = {}
        self._states: dict[str, PowerState] = {}
        self._images: set[str] = set()
        self.vnets: dict[str, VnetState] = {}
        state.mkdir(parents=True, exist_ok=True)

    def create(self, spec: MachineSpec) -> None:
        """Remember a machine as running."""
        key = spec.arm_id.casefold()
        with self._lock:
            if key in self._specs:
                raise MachineError("Conflict", f"machine {spec.arm_id} exists already")
            if spec.vnet_id.casefold() not in self.vnets:
                raise MachineError("NetworkNotFound", f"there is no network {spec.vnet_id}")
            if spec.image.startswith("/") and spec.image.casefold() not in self._images:
                raise MachineError("ImageNotFound", f"there is no image {spec.image}")
            self._specs[key], self._states[key] = spec, PowerState.RUNNING
            self._note("create", spec=spec_to_json(spec))

    def spec(self, arm_id: str) -> MachineSpec:
        """What a machine was created with; ``MachineError`` NotFound if there is none."""
        try:
            return self._specs[arm_id.casefold()]
        except KeyError:
            raise MachineError("NotFound", f"there is no machine {arm_id}") from None

    def start(self, arm_id: str) -> None:
        """Running from now on."""
        self._set("start", arm_id, PowerState.RUNNING)

    def stop(self, arm_id: str) -> None:
        """Stopped from now on."""
        self._set("stop", arm_id, PowerState.STOPPED)

    def crash(self, arm_id: str) -> None:
        """Stopped from now on."""
        if self.state(arm_id) is PowerState.RUNNING:
            self._set("stop", arm_id, PowerState.STOPPED)

    def freeze(self, arm_id: str, frozen: bool) -> None:
        """Nothing runs that could be paused."""
        self.spec(arm_id)

    def deallocate(self, arm_id: str) -> None:
        """Deallocated from now on."""
        self._set("deallocate", arm_id, PowerState.DEALLOCATED)

    def restart(self, arm_id: str) -> None:
        """Running, before and after."""
        self._set("restart", arm_id, PowerState.RUNNING)

    def delete(self, arm_id: str) -> None:
        """Forget a machine."""
        with self._lock:
            if self._specs.pop(arm_id.casefold(), None) is not None:
                self._states.pop(arm_id.casefold())
                self._note("delete", arm_id=arm_id)

    def state(self, arm_id: str) -> PowerState:
        """The state by the calls so far."""
        return self._states.get(arm_id.casefold(), PowerState.ABSENT)

    def machines(self) -> dict[str, PowerState]:
        """All machines and their states."""
        with self._lock:
            return {spec.arm_id: self._states[key] for key, spec in self._specs.items()}

    def run(self, arm_id: str, command: Command) -> Output:
        """Nothing runs, and nothing is printed."""
        self.spec(arm_id)
        if self.state(arm_id) is not PowerState.RUNNING:
            raise MachineError("Conflict", f"machine {arm_id} does not run")
        return Output()

    def console(self, arm_id: str) -> str:
        """Nothing is ever written there."""
        self.spec(arm_id)
        return ""

    def capture(self, arm_id: str, image_id: str) -> None:
        """Remember an image."""
        with self._lock:
            self.spec(arm_id)
            if image_id.casefold() in self._images:
                raise MachineError("Conflict", f"image {image_id} exists already")
            self._images.add(image_id.casefold())
            self._note("capture", arm_id=arm_id, image_id=image_id)

    def delete_image(self, image_id: str) -> None:
        """Forget an image."""
        with self._lock:
            if image_id.casefold() in self._images:
                self._images.discard(image_id.casefold())
                self._note("delete_image", image_id=image_id)

    def apply_network(self, vnet: VnetState) -> None:
        """Remember a virtual network. There is no metadata socket: nothing could connect to it."""
        with self._lock:
            if self.vnets.get(vnet.vnet_id.casefold()) != vnet:
                self.vnets[vnet.vnet_id.casefold()] = vnet
                self._note("apply_network", vnet=vnet_to_json(vnet))

    def serve(self, vnet_id: str, address: str, port: int, name: str = "") -> Path:
        """A directory: nothing could connect to a port."""
        if vnet_id.casefold() not in self.vnets:
            raise MachineError("NetworkNotFound", f"there is no network {vnet_id}")
        path = self._journal.parent / "servers" / digest(vnet_id) / address
        path.mkdir(parents=True, exist_ok=True)
        return path

    def unserve(self, vnet_id: str, address: str) -> None:
        """Remove the directory."""
        shutil.rmtree(self._journal.parent / "servers" / digest(vnet_id) / address, ignore_errors=True)

    def remove_network(self, vnet_id: str) -> None:
        """Forget a virtual network."""
        with self._lock:
            if any(spec.vnet_id.casefold() == vnet_id.casefold() for spec in self._specs.values()):
                raise MachineError("Conflict", f"there are machines in {vnet_id}")
            if self.vnets.pop(vnet_id.casefold(), None) is not None:
                self._note("remove_network", vnet_id=vnet_id)

    def reserved_public_addresses(self) -> frozenset[str]:
        """None: no address is routed."""
        return frozenset()

    def recover(self) -> dict[str, PowerState]:
        """Replay the journal."""
        with self._lock:
            lines = self._journal.read_text().splitlines() if self._journal.exists() else []
            for line in lines:
                try:
                    self._replay(json.loads(line))
                except json.JSONDecodeError:
                    continue  # the process was killed while it wrote its last line
            self._compact()
            return self.machines()

    def _compact(self) -> None:
        """Write the journal anew: short, and without a torn line that would swallow the next one."""
        lines = [{"call": "apply_network", "vnet": vnet_to_json(vnet)} for vnet in self.vnets.values()]
        lines += [{"call": "capture", "image_id": image} for image in sorted(self._images)]
        for key, spec in self._specs.items():
            lines.append({"call": "create", "spec": spec_to_json(spec)})
            if self._states[key] is not PowerState.RUNNING:
                call = "stop" if self._states[key] is PowerState.STOPPED else "deallocate"
                lines.append({"call": call, "arm_id": spec.arm_id})
        draft = self._journal.with_suffix(".new")
        draft.write_text("".join(json.dumps(line) + "\n" for line in lines))
        draft.replace(self._journal)

    def close(self) -> None:
        """Machines that ran are stopped, as they are when their host goes down."""
        with self._lock:
            for key, state in self._states.items():
                if state is PowerState.RUNNING:
                    self._set("stop", key, PowerState.STOPPED)

    def _replay(self, entry: dict[str, t.Any]) -> None:
        key = str(entry.get("arm_id", "")).casefold()
        match entry["call"]:
            case "create":
                spec = spec_from_json(entry["spec"])
                self._specs[spec.arm_id.casefold()] = spec
                self._states[spec.arm_id.casefold()] = PowerState.RUNNING
            case "delete":
                self._specs.pop(key, None)
                self._states.pop(key, None)
            case "start" | "restart":
                self._states[key] = PowerState.RUNNING
            case "stop":
                self._states[key] = PowerState.STOPPED
            case "deallocate":
                self._states[key] = PowerState.DEALLOCATED
            case "capture":
                self._images.add(entry["image_id"].casefold())
            case "delete_image":
                self._images.discard(entry["image_id"].casefold())
            case "apply_network":
                vnet = vnet_from_json(entry["vnet"])
                self.vnets[vnet.vnet_id.casefold()] = vnet
            case "remove_network":
                self.vnets.pop(entry["vnet_id"].casefold(), None)

    def _set(self, call: str, arm_id: str, state: PowerState) -> None:
        with self._lock:
            self.spec(arm_id)
            self._states[arm_id.casefold()] = state
            self._note(call, arm_id=arm_id)

    def _note(self, call: str, **values: t.Any) -> None:
        with self._journal.open("a") as journal:
            journal.write(json.dumps({"call": call, **values}) + "\n")
