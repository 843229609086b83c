"""A small Azure for whole passes: scale sets of the layout, whose instances the stand-in's hosts are."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan as steps
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Fleet, Instance, ScaleSet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout

from tests.stand_ins.core import Cluster


class Azure:
    """Machines get a name and an address when they are made."""

    def __init__(self, layout: Layout) -> None:
        self._prefixes = {spec.name: spec.computer_name_prefix for spec in layout.scale_sets}
        self.sets = {
            spec.name: ScaleSet(
                f"/x/{spec.name}", spec.name, spec.node_array, spec.vm_size, 0, spec.priority, spec.zone,
                placement_group=spec.placement_group,
            )
            for spec in layout.scale_sets
        }  # fmt: skip
        self._made = 0

    def fleet(self, now: int) -> Fleet:
        """What a pass sees of it."""
        return Fleet(tuple(self.sets.values()), now)

    def machines(self, node_array: str = "") -> list[Instance]:
        """All instances, or those of one node array."""
        return [
            one
            for item in self.sets.values()
            for one in item.instances
            if not node_array or item.node_array == node_array
        ]

    def apply(self, step: steps.AzureStep, cluster: Cluster) -> None:
        """Carry out one step. A machine that is deleted goes with `finish`."""
        if isinstance(step, steps.Grow):
            item = self.sets[step.scale_set]
            new = tuple(self._instance(item, cluster.now) for _number in range(step.capacity - len(item.instances)))
            self.sets[item.name] = replace(item, capacity=step.capacity, instances=(*item.instances, *new))
            cluster.data["names"].update({one.computer_name: one.private_ip for one in new})
        elif isinstance(step, steps.Shrink):
            item = self.sets[step.scale_set]
            marked = tuple(
                replace(one, provisioning_state="Deleting") if one.instance_id in step.instance_ids else one
                for one in item.instances
            )
            left = sum(one.provisioning_state != "Deleting" for one in marked)
            self.sets[item.name] = replace(item, capacity=left, instances=marked)

    def finish(self, cluster: Cluster) -> None:
        """What is being deleted is gone."""
        for one in self.machines():
            if one.provisioning_state == "Deleting":
                self.delete(one, cluster)

    def delete(self, instance: Instance, cluster: Cluster) -> None:
        """A machine goes, with its name."""
        item = self.sets[instance.scale_set]
        kept = tuple(one for one in item.instances if one != instance)
        self.sets[item.name] = replace(item, capacity=len(kept), instances=kept)
        cluster.stop(instance.computer_name)
        cluster.data["names"].pop(instance.computer_name, None)

    def off(self, cluster: Cluster) -> list[Instance]:
        """Machines that are made and do not run yet."""
        return [one for one in self.machines() if one.computer_name not in cluster.data["machines"]]

    def _instance(self, item: ScaleSet, now: int) -> Instance:
        self._made += 1
        return Instance(
            id=f"{item.id}/virtualMachines/{self._made}",
            scale_set=item.name,
            instance_id=str(self._made),
            computer_name=f"{self._prefixes[item.name]}{self._made:06}".lower(),
            private_ip=f"10.20.16.{self._made + 3}",
            provisioning_state="Succeeded",
            created_at=now,
        )
