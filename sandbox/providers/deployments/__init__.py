# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Resources/deployments: Resource Manager's templates.

A template is read (``reading``), checked and planned (``template``: loops, children, conditions, ids, dependencies),
and carried out (``runner``) by requests through the core's own routing, so that what a template makes is what a client
would have made, faults, limits and operations included. ``expressions`` is the language's grammar, ``evaluator`` its
meaning, ``values``, ``functions`` and ``surroundings`` are its functions.

No library does this. Microsoft's own engine (the NuGet packages Azure.Deployments.Core and .Expression) is .NET and not
supported for others; ex_microsoft_arm_evaluator is Elixir, arm-visualizer-engine JavaScript, and both only evaluate;
on PyPI there are libraries that write templates (ionosphere), none that evaluates them. So the language is ours, over
libraries for what is general: lark for the grammar (pyparsing builds slower parsers with less telling errors; the
``re``-based tokenisers that others wrote cannot nest), pyjson5 for the JSON with comments and bare keys that ``az``
sends (the json5 package is pure Python, and slow for templates of real size), graphlib for the order.
"""

from __future__ import annotations

from sandbox.arm.core import Core
from sandbox.arm.router import GROUP, SUBSCRIPTION
from sandbox.providers.deployments.export import Exports
from sandbox.providers.deployments.service import STYLE, TYPE, Deployments
from sandbox.providers.deployments.work import Work


def register(core: Core) -> None:
    """Add the routes of deployments to resource groups and to the subscription."""
    deployments, add = Deployments(core), core.router.add
    core.operations.add_style(STYLE)
    core.operations.register("deployments.run", Work(core).run, handles_faults=True, apart=True)
    core.operations.register("deployments.delete", deployments.delete_work)
    core.operations.register("deployments.what_if", deployments.what_if_work)
    add("POST", f"{GROUP}/exportTemplate", Exports(core).export, type="Microsoft.Resources/resourceGroups")
    for scope in (GROUP, SUBSCRIPTION):
        path = f"{scope}/providers/{TYPE}"
        one = f"{path}/{{name}}"
        for method in ("put", "get", "head", "delete"):
            add(method.upper(), one, getattr(deployments, method), type=TYPE)
        for verb in ("validate", "whatIf", "cancel", "exportTemplate"):
            handler = {"whatIf": deployments.what_if, "exportTemplate": deployments.export}.get(verb)
            add("POST", f"{one}/{verb}", handler or getattr(deployments, verb), type=TYPE)
        add("GET", f"{one}/operationStatuses/{{operation}}", deployments.status, type=f"{TYPE}/operationStatuses")
        add("GET", path, deployments.list, type=TYPE, kind="list")
        # The list of operations is asked for without the provider, too.
        for head in (one, f"{scope}/deployments/{{name}}"):
            add("GET", f"{head}/operations", deployments.operations, type=f"{TYPE}/operations")
            add("GET", f"{head}/operations/{{operation_id}}", deployments.operation, type=f"{TYPE}/operations")
