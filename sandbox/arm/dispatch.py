# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a request to an answer: route, faults, group, handler. Knows no HTTP library and no resource."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import GATEWAY, ArmError, internal_error
from sandbox.arm.messages import Answer, Request
from sandbox.arm.router import Route

GROUP_NAME = re.compile(r"[-\w._()]{0,89}[-\w_()]")
log = logging.getLogger(__name__)


def dispatch(core: Core, request: Request) -> Answer:
    """Answer one authenticated ARM request. Never raises."""
    try:
        if request.method == "HEAD" and core.router.match("HEAD", request.path) is None:
            return _exists(core, request)
        route, request.params = _route(core, request)
        request.type = route.type
        check_group_name(request.group)
        if not request.api_version:
            message = "The api-version query parameter (?api-version=) is required for all requests."
            raise ArmError(400, "MissingApiVersionParameter", message, headers=GATEWAY)
        if route.kind in ("resource", "child"):
            request.rid = _identify(core, route, request)
        if request.method == "PUT" and route.kind == "resource" and request.id.types != ("resourceGroups",):
            _require_living_group(core, request)
        bare = route.kind == "bare" and request.body is None
        if request.method in ("PUT", "PATCH") and not bare and not isinstance(request.body, dict):
            message = "The request content was invalid and could not be deserialized: 'a JSON object is expected'."
            raise ArmError(400, "InvalidRequestContent", message, headers=GATEWAY)
        for guard in core.guards:
            guard(request, route)
        return route.handler(request)
    except ArmError as error:
        return Answer(error.status, error.body(), dict(error.headers))
    except ids.InvalidId as error:
        refusal = ArmError(400, "LinkedInvalidPropertyId", f"A property is no fully qualified resource id: {error}.")
        return Answer(refusal.status, refusal.body())
    except Exception:
        log.exception("%s %s", request.method, request.path)
        return Answer(500, internal_error().body())


def _exists(core: Core, request: Request) -> Answer:
    """Whether what a GET would answer is there: 204, or the status of the GET, without a body."""
    found = dispatch(core, replace(request, method="GET"))
    return Answer(204 if found.status == 200 else found.status, None, found.headers)


def check_group_name(name: str) -> None:
    """400 InvalidResourceGroup for what cannot be the name of a group, whatever is asked of it."""
    if name and not GROUP_NAME.fullmatch(name):
        strange = "".join(dict.fromkeys(char for char in name if not re.fullmatch(r"[-\w.()]", char)))
        if strange:
            message = (
                f"The provided resource group name '{name}' has these invalid characters: '{strange}'. The name can "
                "only be a letter, digit, '-', '.', '(', ')' or '_'."
            )
        else:
            message = f"The provided resource group name '{name}' is longer than 90 characters or ends with a period."
        raise ArmError(400, "InvalidResourceGroup", message, headers=GATEWAY)


def _require_living_group(core: Core, request: Request) -> None:
    group = core.require_group(request.subscription, request.group)
    if group.properties.get("provisioningState") == "Deleting":
        name = group.body["name"]
        message = f"The resource group '{name}' is in deprovisioning state and cannot perform this operation."
        raise ArmError(409, "ResourceGroupBeingDeleted", message, headers=GATEWAY)


def _route(core: Core, request: Request) -> tuple[Route, dict[str, str]]:
    found = core.router.match(request.method, request.path)
    if found:
        return found
    if core.router.methods(request.path):
        message = f"The requested resource does not support http method '{request.method}'."
        raise ArmError(405, "MethodNotAllowed", message)
    segments = request.path.strip("/").split("/")
    lowered = [segment.lower() for segment in segments]
    if "providers" in lowered:
        at = len(lowered) - 1 - lowered[::-1].index("providers")
        if at + 2 < len(segments):
            namespace = segments[at + 1]
            known = {type.split("/")[0] for type in core.router.types}
            kinds = "/".join(segments[at + 2 :: 2])
            if namespace.lower() not in known:
                message = f"The resource namespace '{namespace}' is invalid."
                raise ArmError(404, "InvalidResourceNamespace", message, headers=GATEWAY)
            message = (
                f"The resource type '{kinds}' could not be found in the namespace '{namespace}' for api version "
                f"'{request.api_version}'. The supported api-versions are '{request.api_version}'."
            )
            raise ArmError(404, "InvalidResourceType", message, headers=GATEWAY)
    message = f"No HTTP resource was found that matches the request URI '{request.base_url}{request.path}'."
    raise ArmError(404, "NotFound", message)


def _identify(core: Core, route: Route, request: Request) -> ids.ResourceId:
    """The id that the path names: types as documented, names as they were first spelled."""
    template, path = route.template.strip("/").split("/"), request.path.strip("/").split("/")
    parts = [actual if wanted.startswith("{") else wanted for wanted, actual in zip(template, path, strict=True)]
    if route.kind == "child":
        parts = parts[:-1]
    rid = ids.parse("/".join(parts))
    known: Any = core.store.get(rid)
    if known is not None:
        return ids.parse(known.id)
    if rid.parent is not None:
        parent = core.store.get(rid.parent)
        if parent is not None:
            return parent.rid.child(rid.types[-1], rid.name)
    group = core.store.get(rid.group_id)
    name = group.body["name"] if group else rid.group
    return ids.ResourceId(rid.subscription, name, rid.namespace, rid.types, rid.names)
