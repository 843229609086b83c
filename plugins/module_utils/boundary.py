# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one file that knows AnsibleModule: argument groups as values, the error boundary, results."""

from __future__ import annotations

import contextlib
import json
import traceback
import typing as t
from dataclasses import dataclass, field

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError

__all__ = [
    "AZURE",
    "TAGS",
    "AnsibleModule",
    "Arguments",
    "build",
    "failures_reported",
    "finish",
    "image_option",
    "state",
]

_RELATIONS = ("mutually_exclusive", "required_together", "required_one_of", "required_if")


@dataclass(frozen=True)
class Arguments:
    """A group of module arguments with the relations between them. Groups are joined with ``|``."""

    spec: t.Mapping[str, t.Any] = field(default_factory=dict)
    mutually_exclusive: tuple[t.Any, ...] = ()
    required_together: tuple[t.Any, ...] = ()
    required_one_of: tuple[t.Any, ...] = ()
    required_if: tuple[t.Any, ...] = ()

    def __or__(self, other: Arguments) -> Arguments:
        joined = {name: getattr(self, name) + getattr(other, name) for name in _RELATIONS}
        return Arguments({**self.spec, **other.spec}, **joined)


AZURE = Arguments(
    {
        "subscription_id": {"type": "str"},
        "client_id": {"type": "str"},
        "secret": {"type": "str", "no_log": True},
        "tenant": {"type": "str"},
        "ad_user": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "profile": {"type": "str"},
        "x509_certificate_path": {"type": "path"},
        "auth_source": {"type": "str", "choices": ["auto", "env", "credential_file", "cli", "msi"]},
        "cloud_environment": {"type": "str"},
        "adfs_authority_url": {"type": "str"},
        "cert_validation_mode": {"type": "str", "choices": ["validate", "ignore"]},
        "disable_instance_discovery": {"type": "bool"},
    }
)

TAGS = Arguments({"tags": {"type": "dict"}})


def state(*others: str) -> Arguments:
    """The argument ``state``: present (the default), absent, and ``others``."""
    return Arguments({"state": {"type": "str", "default": "present", "choices": ["present", "absent", *others]}})


def image_option() -> dict[str, t.Any]:
    """The specification of the option ``image``: an id, or the four names of a marketplace image."""
    options: dict[str, t.Any] = {name: {"type": "str"} for name in ("id", "publisher", "offer", "sku")}
    options["version"] = {"type": "str", "default": "latest"}
    return {
        "type": "dict",
        "options": options,
        "required_one_of": [["id", "publisher"]],
        "mutually_exclusive": [["id", "publisher"]],
        "required_together": [["publisher", "offer", "sku"]],
    }


def build(*groups: Arguments, supports_check_mode: bool = True) -> AnsibleModule:
    """The module with the arguments of all groups."""
    joined = Arguments()
    for group in groups:
        joined = joined | group
    relations = {name: [list(relation) for relation in getattr(joined, name)] for name in _RELATIONS}
    return AnsibleModule(argument_spec=dict(joined.spec), supports_check_mode=supports_check_mode, **relations)


@contextlib.contextmanager
def failures_reported(module: AnsibleModule, *known: type[Exception]) -> t.Iterator[None]:
    """Turn AzureError, the ``known`` kinds of error and a missing library into ``fail_json``; never a bare traceback.

    The result's ``error`` is what the exception's ``as_dict()`` says: playbooks can decide by code, not by text.
    """
    kinds: tuple[type[Exception], ...] = (AzureError, *known)
    try:
        yield
    except kinds as error:
        details = error.as_dict() if hasattr(error, "as_dict") else {"message": str(error)}
        if hasattr(error, "mistakes"):
            details["message"] = str(error).partition(":\n")[0]  # the list is in msg, once is enough
            details["mistakes"] = [{"path": one.path, "message": one.message} for one in error.mistakes]
        module.fail_json(msg=str(error), error=details)
    except ImportError as error:
        if not (error.name or "").startswith(("azure", "msal", "requests", "jmespath")):
            raise
        library = f"{error.name} (see the collection's requirements.txt)"
        module.fail_json(msg=missing_required_lib(library), exception=traceback.format_exc())


def finish(
    module: AnsibleModule, changed: bool, before: t.Any = None, after: t.Any = None, **result: t.Any
) -> t.NoReturn:
    """End the module: ``before`` and ``after`` become the diff if one was asked for and something differs."""
    if changed and (before is not None or after is not None):
        result["diff"] = {"before": _pretty(before), "after": _pretty(after)}
    module.exit_json(changed=changed, **result)
    raise SystemExit(0)  # never reached: exit_json ends the process


def _pretty(document: t.Any) -> str:
    return "" if not document else json.dumps(document, indent=2, sort_keys=True) + "\n"
