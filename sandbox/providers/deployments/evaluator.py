# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluating expressions: names, scopes, loops, lambdas, and what is not known before deployment.

A template is evaluated twice: as a whole when it is accepted, and resource by resource when its turn comes. What only
the deployment can tell (``reference``, ``list...``) is UNKNOWN the first time, and so is all that is computed from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sandbox.providers.deployments.expressions import (
    Call,
    Index,
    Literal,
    Node,
    TemplateError,
    is_expression,
    parse,
    unescaped,
)
from sandbox.providers.deployments.functions import FUNCTIONS
from sandbox.providers.deployments.values import find_key, kind_of


class _Unknown:
    """What is not known yet."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()
Special = Callable[["Scope", tuple[Any, ...]], Any]


@dataclass
class Lambda:
    """``lambda('name', ..., expression)`` with the scope that it was written in."""

    scope: Scope
    names: tuple[str, ...]
    body: Node

    def __call__(self, *values: Any) -> Any:
        bound = {name.lower(): value for name, value in zip(self.names, values, strict=False)}
        return self.scope.with_lambda(bound).run(self.body)


@dataclass
class Scope:
    """Everything that names in an expression mean.

    ``parameters`` holds values, ``variables`` raw ones that are evaluated when first asked for; ``functions`` are the
    template's own, by ``namespace.name``; ``specials`` are functions that need to know where the template is deployed;
    ``loops`` are the running copy loops, the innermost last. All keys are lower case.
    """

    specials: dict[str, Special] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    functions: dict[str, dict[str, Any]] = field(default_factory=dict)
    loops: dict[str, int] = field(default_factory=dict)
    lambdas: dict[str, Any] = field(default_factory=dict)
    _known: dict[str, Any] = field(default_factory=dict)
    _running: list[str] = field(default_factory=list)

    def with_lambda(self, bound: dict[str, Any]) -> Scope:
        return replace(self, lambdas={**self.lambdas, **bound})

    def in_loop(self, name: str, number: int) -> Scope:
        """The same, in one round of a copy loop. Variables do not see loops."""
        outer = {key: value for key, value in self.loops.items() if key != name.lower()}
        return replace(self, loops={**outer, name.lower(): number})

    # values

    def value(self, raw: Any) -> Any:
        """A value of the template with all its expressions evaluated; copy loops in objects are unrolled."""
        if isinstance(raw, str):
            return self.run(parse(raw)) if is_expression(raw) else unescaped(raw)
        if isinstance(raw, list):
            return [self.value(entry) for entry in raw]
        if not isinstance(raw, dict):
            return raw
        made: dict[str, Any] = {}
        for key, entry in raw.items():
            if key.lower() == "copy" and _is_copy(entry):
                for loop in entry:
                    made[loop["name"]] = self.unrolled(loop["name"], loop.get("count"), loop["input"])
            else:
                made[str(self.value(key))] = self.value(entry)
        return made

    def unrolled(self, name: str, count: Any, raw: Any) -> list[Any]:
        """One value for each round of a copy loop."""
        return [self.in_loop(name, number).value(raw) for number in range(self.count(count))]

    def count(self, raw: Any) -> int:
        number = self.value(raw)
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= 800:
            raise TemplateError(
                f"The template copy definition has an invalid copy count '{number}'. The copy count must be a "
                "non-negative integer value and cannot exceed '800'."
            )
        return number

    def variable(self, name: str) -> Any:
        key = name.lower()
        if key not in self.variables:
            raise TemplateError(
                f"The template variable '{name}' is not found. Please see https://aka.ms/arm-syntax-variables for "
                "usage details."
            )
        if key not in self._known:
            with self._once(key):
                self._known[key] = replace(self, loops={}, lambdas={}).value(self.variables[key])
        return self._known[key]

    def known(self, name: str, value: Any) -> None:
        """Give a variable its value."""
        self.variables.setdefault(name.lower(), value)
        self._known[name.lower()] = value

    @contextmanager
    def _once(self, key: str) -> Iterator[None]:
        if key in self._running:
            raise TemplateError(f"The template variable '{key}' is part of a circular reference.")
        self._running.append(key)
        try:
            yield
        finally:
            self._running.remove(key)

    # expressions

    def run(self, node: Node) -> Any:
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, Index):
            return self._index(node)
        special = _FORMS.get(node.name)
        if special is not None:
            return special(self, node)
        arguments = tuple(self.run(argument) for argument in node.arguments)
        return self._call(node, arguments)

    def _call(self, node: Call, arguments: tuple[Any, ...]) -> Any:
        if node.name in self.functions:
            return self._own_function(node, arguments)
        special = self.specials.get(node.name)
        if special is None and node.name.startswith("list") and node.name not in FUNCTIONS:
            special = self.specials.get("list*")
            arguments = (node.spelled, *arguments)
        if special is None and node.name not in FUNCTIONS:
            raise TemplateError(
                f"The template function '{node.spelled}' is not valid. Please see https://aka.ms/arm-functions for "
                "usage details."
            )
        if any(unknown(argument) for argument in arguments):
            return UNKNOWN
        try:
            return special(self, arguments) if special is not None else FUNCTIONS[node.name](*arguments)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise TemplateError(
                f"Unable to evaluate template language function '{node.spelled}': {error}. Please see "
                f"https://aka.ms/arm-function-{node.name} for usage details."
            ) from None

    def _own_function(self, node: Call, arguments: tuple[Any, ...]) -> Any:
        definition = self.functions[node.name]
        names = [str(entry["name"]).lower() for entry in definition.get("parameters") or []]
        if len(names) != len(arguments):
            raise TemplateError(f"The template function '{node.spelled}' is called with a wrong number of arguments.")
        bound = dict(zip(names, arguments, strict=True))
        inner = replace(self, parameters=bound, variables={}, loops={}, lambdas={}, _known={})
        return inner.value((definition.get("output") or {}).get("value"))

    def _index(self, node: Index) -> Any:
        target, key = self.run(node.target), self.run(node.index)
        if unknown(key) or target is UNKNOWN:
            return UNKNOWN
        if node.safe and target is None:
            return None
        if isinstance(target, dict) and isinstance(key, str):
            found = find_key(target, key)
            if found is not None:
                return target[found]
            if node.safe:
                return None
            known = ", ".join(target)
            raise TemplateError(
                f"The language expression property '{key}' doesn't exist, available properties are '{known}'."
            )
        if isinstance(target, list) and isinstance(key, int):
            if 0 <= key < len(target):
                return target[key]
            if node.safe:
                return None
            raise TemplateError(f"The language expression property array index '{key}' is out of bounds.")
        raise TemplateError(
            f"The language expression property '{key}' can't be evaluated, the target is of type '{kind_of(target)}'."
        )


def unknown(value: Any) -> bool:
    """Is there anything in the value that only the deployment can tell?"""
    if isinstance(value, dict):
        return any(unknown(entry) for entry in value.values())
    if isinstance(value, list):
        return any(unknown(entry) for entry in value)
    return value is UNKNOWN


def _is_copy(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(e, dict) and "name" in e and "input" in e for e in value)


# forms: functions whose arguments are not all evaluated


def _text(scope: Scope, node: Call) -> str:
    if len(node.arguments) != 1:
        raise TemplateError(f"The template function '{node.spelled}' expects one argument.")
    name = scope.run(node.arguments[0])
    if not isinstance(name, str):
        raise TemplateError(f"The template function '{node.spelled}' expects a string.")
    return name


def _parameters(scope: Scope, node: Call) -> Any:
    name = _text(scope, node)
    if name.lower() not in scope.parameters:
        raise TemplateError(
            f"The template parameter '{name}' is not found. Please see https://aka.ms/arm-syntax-parameters for usage "
            "details."
        )
    return scope.parameters[name.lower()]


def _variables(scope: Scope, node: Call) -> Any:
    return scope.variable(_text(scope, node))


def _if(scope: Scope, node: Call) -> Any:
    if len(node.arguments) != 3:
        raise TemplateError("The template function 'if' expects three arguments.")
    test = scope.run(node.arguments[0])
    if test is UNKNOWN:
        return UNKNOWN
    if not isinstance(test, bool):
        raise TemplateError("The template language function 'if' expects a boolean as its first argument.")
    return scope.run(node.arguments[1 if test else 2])


def _and(scope: Scope, node: Call) -> Any:
    return _logic(scope, node, stop=False)


def _or(scope: Scope, node: Call) -> Any:
    return _logic(scope, node, stop=True)


def _logic(scope: Scope, node: Call, *, stop: bool) -> Any:
    found: Any = not stop
    for argument in node.arguments:
        value = scope.run(argument)
        if value is UNKNOWN:
            found = UNKNOWN
        elif not isinstance(value, bool):
            raise TemplateError(f"The template language function '{node.spelled}' expects booleans.")
        elif value is stop:
            return stop
    return found


def _lambda(scope: Scope, node: Call) -> Any:
    *names, body = node.arguments
    return Lambda(scope, tuple(str(scope.run(name)) for name in names), body)


def _lambda_variables(scope: Scope, node: Call) -> Any:
    name = _text(scope, node)
    if name.lower() not in scope.lambdas:
        raise TemplateError(f"The lambda variable '{name}' is not found.")
    return scope.lambdas[name.lower()]


def _copy_index(scope: Scope, node: Call) -> Any:
    arguments = [scope.run(argument) for argument in node.arguments]
    name = arguments.pop(0).lower() if arguments and isinstance(arguments[0], str) else next(reversed(scope.loops), "")
    if name not in scope.loops:
        raise TemplateError(
            "The template function 'copyIndex' is not expected at this location. The function can only be used in a "
            "resource with copy specified. Please see https://aka.ms/arm-copy for usage details."
        )
    return scope.loops[name] + (arguments[0] if arguments else 0)


_FORMS: dict[str, Callable[[Scope, Call], Any]] = {
    "parameters": _parameters,
    "variables": _variables,
    "if": _if,
    "and": _and,
    "or": _or,
    "lambda": _lambda,
    "lambdavariables": _lambda_variables,
    "copyindex": _copy_index,
}
