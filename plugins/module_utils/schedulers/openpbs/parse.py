# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PBS's commands print, as values."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output

from . import asking, formats
from .jobs import Reader
from .limits import Rules
from .nodes import Placement, read_nodes


def queue(outputs: t.Mapping[str, Output], observed_at: int) -> Queue:
    """The queue from all outputs. Whatever could not be read is named in ``errors``, single jobs in ``skipped``."""
    errors: list[str] = []

    def read(what: t.Callable[[], t.Any], otherwise: t.Any) -> t.Any:
        try:
            return what()
        except formats.OutputError as error:
            errors.append(str(error))
            return otherwise

    found, broken, name = read(lambda: formats.jobs(outputs), ({}, [], ""))
    vnodes, _same = read(lambda: formats.section(outputs, formats.NODES, "nodes"), ({}, ""))
    servers, server_name = read(lambda: formats.section(outputs, formats.SERVER, "Server"), ({}, ""))
    queues, _same = read(lambda: formats.section(outputs, formats.QUEUES, "Queue"), ({}, ""))
    scheduler = read(lambda: formats.scheduler(formats.answered(outputs, formats.SCHEDULER)), {})
    custom = read(lambda: formats.definitions(formats.answered(outputs, formats.DEFINITIONS)), {})
    if errors:
        return Queue("openpbs", server_name or name, observed_at, errors=tuple(errors), adds_nodes=True)
    server: formats.Attributes = next(iter(servers.values()), {})
    definitions = asking.Definitions(custom)
    nodes = read_nodes(vnodes, found, queues, definitions)
    placement = Placement(server, queues, scheduler)
    reader = Reader(definitions, Rules(server, queues, definitions), placement, nodes)
    jobs, skipped = reader.read(found)
    return Queue(
        scheduler="openpbs",
        cluster=server_name or name,
        observed_at=observed_at,
        jobs=jobs,
        nodes=nodes.all,
        skipped=(*broken, *skipped),
        adds_nodes=True,
        # Where an administrator has switched scheduling off, a kick would switch it on again.
        kicks=formats.truth(server.get("scheduling"), default=True),
    )
