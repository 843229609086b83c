# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Compute: virtual machines, scale sets, images, galleries, disks, and what the regions offer.

Offered to the other providers: ``instance_metadata`` (virtual network, private address -> what the metadata service
tells),
``retail_prices`` (-> items of the price list), ``subscription_usages`` (subscription, location -> usages) and
``compute_limits``, a
``limits.Limits``: ``set_quota(location, name, limit)`` and ``set_capacity(location, size, count | None)``.
"""

from __future__ import annotations

from typing import Any

from sandbox.arm.core import Core

from . import beside, kept_commands, price_list, sizes
from .catalogue import Catalogue
from .commands import Commands
from .disks import DISK, SNAPSHOT, Disks
from .extensions import Extensions
from .flexible_sets import FlexibleSets
from .galleries import Galleries
from .images import Images
from .instance_nics import InstanceNics
from .interruptions import Interruptions
from .limits import AVAILABILITY_SET, INSTANCE, VM, Limits
from .machines import Machines, Recovery, metadata
from .offers import Offers
from .placement import GROUP, Placement
from .preflight import Preflight
from .rolling_upgrades import RollingUpgrades
from .scale_set_extensions import ScaleSetExtensions
from .scale_set_instances import ScaleSetInstances
from .scale_set_works import ScaleSetWorks
from .scale_sets import ScaleSets
from .scheduled_events import ScheduledEvents
from .virtual_machines import VirtualMachines
from .vm_actions import VmActions
from .vm_services import VmServices


def register(core: Core) -> None:
    """Add the routes, works and services of Microsoft.Compute."""
    limits, machines = Limits(core), Machines(core)
    Catalogue(core, limits).register()
    Offers(core, limits).register()
    beside.register(core)
    vms, actions = VirtualMachines(core, limits, machines), VmActions(core, limits, machines)
    vms.register()
    actions.register()
    Extensions(core).register()
    Commands(core).register()
    kept_commands.register(core)
    VmServices(core, vms).register()
    works = ScaleSetWorks(core, limits, machines)
    works.register()
    flexible = FlexibleSets(core, machines, vms, actions, works)
    flexible.register()
    sets = ScaleSets(core, limits, machines, flexible)
    sets.register()
    ScaleSetExtensions(core, sets).register()
    instances = ScaleSetInstances(core, limits, flexible)
    instances.register()
    InstanceNics(core).register()
    events = ScheduledEvents(core)
    interruptions = Interruptions(core, machines, events)
    interruptions.register()
    interruptions.evicts(VM, actions.evict)
    interruptions.evicts(INSTANCE, instances.evict)
    core.offer("scheduled_events", events)
    RollingUpgrades(core, works).register()
    Images(core, machines).register()
    Galleries(core, machines).register()
    Disks(core, DISK).register()
    Disks(core, SNAPSHOT).register()
    Placement(core, GROUP).register()
    Placement(core, AVAILABILITY_SET).register()

    def instance_metadata(vnet_id: str, address: str) -> dict[str, Any] | None:
        owner = machines.owner(vnet_id, address)
        return metadata(core, owner) if owner is not None else None

    core.offer("instance_metadata", instance_metadata)
    core.offer("retail_prices", lambda: [item for place in sizes.regions() for item in price_list.price_items(place)])
    core.offer("subscription_usages", limits.usages)
    core.offer("compute_limits", limits)
    core.offer("compute_preflight", Preflight(limits))
    core.offer("machines_recovered", Recovery(core, machines))
