# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of a template: what was given against what is declared."""

from __future__ import annotations

from typing import Any

from sandbox.providers.deployments.evaluator import Scope
from sandbox.providers.deployments.expressions import TemplateError
from sandbox.providers.deployments.values import kind_of, same

# How a declared type is shown, and which JSON types it takes.
TYPES = {
    "string": ("String", (str,)),
    "securestring": ("SecureString", (str,)),
    "int": ("Int", (int,)),
    "bool": ("Bool", (bool,)),
    "object": ("Object", (dict,)),
    "secureobject": ("SecureObject", (dict,)),
    "array": ("Array", (list,)),
}
WHERE = "at line '1' and column '0'"


def bind(template: dict[str, Any], given: dict[str, Any], scope: Scope) -> dict[str, dict[str, Any]]:
    """Put the values of all parameters into the scope. Answers them as the deployment shows them: secrets by
    type only. Raises TemplateError.
    """
    declared = template.get("parameters") or {}
    if not isinstance(declared, dict) or not isinstance(given, dict):
        raise TemplateError(
            f"Template parameter JToken type is not valid. Expected 'Object'. Actual '{kind_of(given)}'. Please see "
            "https://aka.ms/resource-manager-parameter-files for usage details."
        )
    lowered = {key.lower(): value for key, value in given.items()}
    _refuse_strangers(declared, given)
    shown: dict[str, dict[str, Any]] = {}
    for name, definition in declared.items():
        kind = TYPES.get(str(definition.get("type", "")).lower())
        if kind is None:
            raise TemplateError(f"The type of the template parameter '{name}' {WHERE} is not valid.")
        value = _value(name, definition, lowered.get(name.lower()), scope)
        _check(name, definition, kind, value)
        scope.parameters[name.lower()] = value
        secret = kind[0].startswith("Secure")
        shown[camel(name)] = {"type": kind[0]} if secret else {"type": kind[0], "value": value}
    return shown


def _refuse_strangers(declared: dict[str, Any], given: dict[str, Any]) -> None:
    known = {name.lower() for name in declared}
    strangers = [name for name in given if name.lower() not in known]
    if strangers:
        raise TemplateError(
            f"The template parameters '{', '.join(strangers)}' in the parameters file are not valid; they are not "
            "present in the original template and can therefore not be provided at deployment time. The only supported "
            f"parameters for this template are '{', '.join(declared)}'. Please see "
            "https://aka.ms/arm-pass-parameter-values for usage details."
        )


def _value(name: str, definition: dict[str, Any], given: Any, scope: Scope) -> Any:
    if isinstance(given, dict) and given.get("reference") is not None:
        raise TemplateError(f"The secret of KeyVault parameter '{name}' cannot be retrieved: there is no such vault.")
    if isinstance(given, dict) and given.get("value") is not None:
        return given["value"]
    if "defaultValue" in definition:
        return scope.value(definition["defaultValue"])
    if definition.get("nullable"):
        return None
    raise TemplateError(
        f"The value for the template parameter '{name}' {WHERE} is not provided. Please see "
        "https://aka.ms/arm-create-parameter-file for usage details."
    )


def _check(name: str, definition: dict[str, Any], kind: tuple[str, tuple[type, ...]], value: Any) -> None:
    shown, types = kind
    if value is None and definition.get("nullable"):
        return
    if not isinstance(value, types) or (shown == "Int" and isinstance(value, bool)):
        wanted = {"Int": "Integer", "Bool": "Boolean"}.get(shown, shown.removeprefix("Secure"))
        raise TemplateError(
            f"Template parameter JToken type is not valid. Expected '{wanted}'. Actual '{kind_of(value)}'. Please see "
            "https://aka.ms/resource-manager-parameter-files for usage details."
        )
    allowed = definition.get("allowedValues")
    if allowed is not None and not any(same(value, one) for one in allowed):
        subset = isinstance(value, list) and all(any(same(entry, one) for one in allowed) for entry in value)
        if not subset:
            raise TemplateError(
                f"The provided value for the template parameter '{name}' {WHERE} is not valid. The value "
                f"'{value}' is not part of the allowed value(s): '{','.join(map(str, allowed))}'."
            )
    length = len(value) if isinstance(value, (str, list)) else value if isinstance(value, int) else 0
    for key, wrong in (("minLength", -1), ("minValue", -1), ("maxLength", 1), ("maxValue", 1)):
        bound = definition.get(key)
        if bound is not None and (length - bound) * wrong > 0:
            raise TemplateError(
                f"The provided value for the template parameter '{name}' {WHERE} is not valid. The value is out of the "
                f"bound '{key}' of '{bound}'. Please see https://aka.ms/arm-create-parameter-file for usage details."
            )


def camel(name: str) -> str:
    """A name as Azure's answers spell it: capitals at the beginning become small ones (``VMSS``: ``vmss``)."""
    made: list[str] = []
    for at, letter in enumerate(name):
        last = at + 1 >= len(name) or name[at + 1].isupper()
        if not letter.isupper() or (at > 0 and not last):
            return "".join(made) + name[at:]
        made.append(letter.lower())
    return "".join(made)
