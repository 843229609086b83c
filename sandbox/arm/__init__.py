# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol of Azure Resource Manager: routing, operations, errors, paging, the store. It knows no resource.

Resources live in ``sandbox/providers``. A provider is a module (or package) named in ``sandbox.providers.PROVIDERS``
with one function, ``register(core)``, which is called once when the server starts. ``providers/identity.py`` is a small
complete example. Everything below is synchronous: handlers and works run in threads and may block.

**Routes.** ``core.router.resource("Microsoft.X/things", get=, put=, patch=, delete=, list=, list_all=)`` makes the
usual routes (nested types too: ``Microsoft.X/things/parts``), ``core.router.action(type, "start", handler)`` a POST on
a resource (``method="GET"`` for ``instanceView`` and the like), ``core.router.add(method, template, handler, type=)``
anything else, for example ``/subscriptions/{subscription}/providers/Microsoft.Compute/skus``. A template that begins
with ``/{scope*}`` is for extension resources. Paths match without regard to case and with any api-version.
``core.get_handler`` and ``core.list_handler`` are ready-made. A PUT reaches its handler only if the resource group
exists and the body is an object; parents are the handler's business (``core.require_parent(rid)``).

**Handlers** take a ``messages.Request`` and return a ``messages.Answer`` or raise ``errors.ArmError``. ``request.id``
is the ``ids.ResourceId`` of the resource, canonically spelled and as first created; ``request.body``;
``request.query`` (lower-case keys: ``request.query.get("$expand")``); ``request.params`` (``subscription``, ``group``,
``grandparent``, ``parent``, ``name``); ``request.claims`` (``oid``, ``appid``).

**Store.** ``core.store``: ``get(id)``, ``put(*resources)``, ``update(id, function)``, ``delete(*ids)`` (with everything
nested), ``list(type, subscription=, group=, parent=, offset=, limit=)``, ``count(type, parent=)``. A ``store.Resource``
has ``id``, ``body`` (what a GET answers), ``internal`` (never answered) and ``sort`` (order in lists; instance number
for scale set instances). Read-modify-write goes inside ``with core.store.transaction():``, which serialises writers,
nests, and rolls back when the block raises. Keep blocking work out of it. ``next_number(counter, count)`` reserves
numbers that never come again.

**Operations.** Register the work by name, then let the handler begin it::

    core.operations.register("things.create", create)              # def create(run: Run) -> Any
    with core.store.transaction():                                 # row and operation are committed together
        core.store.put(resource)
        return core.operations.begin(request, "things.create", rid, style=operations.COMPUTE, status=201,
                                     body=resource.body, headers="aao", location=location, latency=75, args={...})

The work starts after the commit, ``latency * time_scale`` seconds later, in a thread pool. It raises ``ArmError`` to
end Failed, ``Superseded`` to end Canceled. Its return value becomes ``properties.output`` (styles with output) and the
body of the Location result. Works must bear repetition: what was running when the server died is called again with the
same ``args`` (JSON) and ``run.resumed``. ``headers``: "aao", "location" or "both". ``core.operations.active(id)`` lists
what runs on a resource; ``exclusive=True`` makes a second one a 409. Styles: COMPUTE, DISKS, IMAGES, NETWORK,
STORAGE_CACHE, GROUPS; ``core.operations.add_style`` for more. Scripted asynchronous faults fail the operation before
its work, unless it was registered with ``handles_faults=True``: then they are in ``run.fault`` (an ArmError or None).
A synchronous fault never reaches the handler at all.

**Errors.** ``ArmError(status, code, message, target=, details=)``; common texts are functions in ``errors``.

**Paging.** ``paging.paged(request, lambda offset, limit: bodies, size)``.

**Resource group deletion.** ``core.on_group_delete(type, order, deleter)``: machines and scale sets 10, images 20,
disks 30, network interfaces 40, virtual networks 60, NAT gateways 65, security groups 70, public addresses 80.

**Services between providers** (``core.offer(name, value)``, ``core.service(name)``):

``network`` (providers/network): the object with ``allocate(subnet_id, owners, wanted="", nsg_id="")`` -> addresses, one
    per owner (ids of ip configurations; any number in one call); ``release(owners)``; ``release_below(prefix)`` every
    owner whose id begins so; ``mac(address)`` -> "00-0D-3A-.."; ``attach(nic_id, vm_id, primary)``; ``detach(nic_id)``;
    ``delete_nic(nic_id)`` and ``delete_public_address(id)`` without guards; ``address_of(nic_id)`` -> (vnet id, subnet
    id, private address) of the primary configuration; ``vnet_of(subnet_id)``; ``apply(vnet_id)`` -> tells the driver
    the state of the virtual network (call before booting machines in it).
``identity``: ``describe(identity_id)`` -> {"principalId", "clientId", "tenantId"} of a user-assigned identity, or
    raises ArmError; ``system(resource_id)`` -> the same for a system-assigned one.
``instance_metadata`` (offered by compute): a function (vnet_id, private_address) -> None or {"resource_id", "compute":
    {...as IMDS has it}, "network": {...}, "identities": [{"resource_id", "client_id", "principal_id", "system"?}]}.
``retail_prices`` (offered by compute): a function () -> list of items of prices.azure.com.
``compute_limits`` (offered by compute): ``set_quota(location, name, limit)``, ``set_capacity(location, size, count)``.
``machines_recovered`` (offered by compute): a function of what ``Driver.recover`` found, called before the server
    answers; ``network_recovered`` (offered by network) is called just before it.
``gate`` (offered by the server): a function (request, route) that raises ArmError if the caller of a request that is
    made inside, for a deployment, may not make it, or makes too many. ``rights`` is the first half of it.
``scheduled_events`` (optional): an object with ``document(resource_id)`` and ``start(resource_id, event_ids)``.

**Time** is ``sandbox.clock.clock``: ``now()``, ``sleep()``, ``later()``, and ``pause()`` in loops that wait for
something else to happen. Works that give work to threads of their own wrap it in ``clock.worker``, and wait for it in
``clock.watching``.

``core.driver`` is the machine driver (``sandbox.machines.Driver``), ``core.settings`` has ``time_scale`` and ``state``.
``core.admin[name]`` is what the command line may ask a running server for: a function of a JSON value that answers one.
"""
