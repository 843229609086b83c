# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions of HTCondor's ClassAd language: read once, evaluated for a job and a machine.

Implements what jobs' requests and requirements are made of: literals, attributes of both ads, operators with
three-valued logic, lists and the usual functions. Text that is no such expression raises ClassAdError; what an
expression cannot answer is UNDEFINED or ERROR, as in HTCondor itself.
"""

from __future__ import annotations

import math
import re
import typing as t

from .functions import ERROR, FUNCTIONS, UNDEFINED, Special


class ClassAdError(ValueError):
    """Text that is no expression, or one that uses what is not implemented; the text says what."""


Value = t.Any  # bool, int, float, str, list, Special
Ad = t.Mapping[str, t.Any]  # attribute names in lower case; values, or expressions as Expression
_MAX_TEXT, _MAX_DEPTH = 50_000, 60


class Scope(t.NamedTuple):
    """The two ads of a match: ``my`` owns the expression. Names without a scope are looked up in it first."""

    my: Ad
    target: Ad
    depth: int = 0


Node = t.Callable[[Scope], Value]


class Expression(t.NamedTuple):
    """An expression with the names that it uses, in lower case."""

    text: str
    node: Node
    names: frozenset[str]

    def evaluate(self, my: Ad, target: Ad) -> Value:
        """Its value for a job and a machine (or the other way round)."""
        return self.node(Scope(my, target))


_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?[BKMGTbkmgt]?(?![A-Za-z0-9_]))
  | (?P<string>"(?:[^"\\]|\\.)*")
  | (?P<quoted>'(?:[^'\\]|\\.)*')
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<op>=\?=|=!=|==|!=|<=|>=|<<|>>|&&|\|\||\?:|[-+*/%!<>()?:,.{}\[\]|&^~])
    )""",
    re.VERBOSE,
)
_UNITS = {"b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("||",),
    ("&&",),
    ("==", "!=", "=?=", "=!=", "is", "isnt"),
    ("<", "<=", ">", ">="),
    ("+", "-"),
    ("*", "/", "%"),
)


def parse(text: str) -> Expression:
    """Read an expression. Raises ClassAdError."""
    if len(text) > _MAX_TEXT:
        raise ClassAdError(f"the expression has more than {_MAX_TEXT} characters")
    parser = _Parser(_tokens(text))
    node = parser.whole()
    return Expression(text, node, frozenset(parser.names))


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ClassAdError(f"not understood: {text[at : at + 40]!r}")
        found.append((str(match.lastgroup), match.group(str(match.lastgroup))))
        at = match.end()
    return [*found, ("end", "")]


class _Parser:
    """Recursive descent; every level gives a function of the scope."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens, self.at, self.depth = tokens, 0, 0
        self.names: set[str] = set()

    def whole(self) -> Node:
        node = self.ternary()
        if self.tokens[self.at][0] != "end":
            raise ClassAdError(f"not understood after the expression: {self.tokens[self.at][1]!r}")
        return node

    def take(self, *words: str) -> str:
        """The next token if it is one of the words (in any case), else ''."""
        kind, text = self.tokens[self.at]
        if kind in ("op", "name") and text.lower() in words:
            self.at += 1
            return text.lower()
        return ""

    def need(self, word: str) -> None:
        if not self.take(word):
            raise ClassAdError(f"{word} is missing before {self.tokens[self.at][1]!r}")

    def ternary(self) -> Node:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise ClassAdError("the expression is nested too deeply")
        test = self.binary(0)
        if self.take("?:"):
            test = _otherwise(test, self.ternary())
        elif self.take("?"):
            yes = self.ternary()
            self.need(":")
            test = _choose(test, yes, self.ternary())
        self.depth -= 1
        return test

    def binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while True:
            operator = self.take(*_LEVELS[level])
            if not operator:
                return left
            left = _binary({"is": "=?=", "isnt": "=!="}.get(operator, operator), left, self.binary(level + 1))

    def unary(self) -> Node:
        operator = self.take("!", "-", "+")
        if operator:
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise ClassAdError("the expression is nested too deeply")
            node = _unary(operator, self.unary())
            self.depth -= 1
            return node
        return self.primary()

    def primary(self) -> Node:
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return _constant(_number(text))
        if kind == "string":
            return _constant(_unescape(text))
        if kind == "quoted":
            return self.attribute(_unescape(text))
        if text == "(":
            node = self.ternary()
            self.need(")")
            return node
        if text == "{":
            items = self.items("}")
            return lambda scope: [item(scope) for item in items]
        if kind == "name":
            return self.name(text)
        raise ClassAdError(f"not understood: {text!r}" if text else "the expression ends too early")

    def items(self, end: str) -> list[Node]:
        found: list[Node] = []
        if self.take(end):
            return found
        while True:
            found.append(self.ternary())
            if self.take(end):
                return found
            self.need(",")

    def name(self, text: str) -> Node:
        word = text.lower()
        if word in _WORDS:
            return _constant(_WORDS[word])
        if self.take("("):
            if word not in FUNCTIONS:
                raise ClassAdError(f"the function {text} is not known here")
            return _call(word, self.items(")"))
        if word in ("my", "target") and self.take("."):
            kind, attribute = self.tokens[self.at]
            if kind not in ("name", "quoted"):
                raise ClassAdError(f"no attribute after {text}.")
            self.at += 1
            return self.attribute(attribute if kind == "name" else _unescape(attribute), word)
        return self.attribute(text)

    def attribute(self, text: str, where: str = "") -> Node:
        name = text.lower()
        self.names.add(name)
        return lambda scope: _look_up(scope, name, where)


_WORDS: t.Mapping[str, Value] = {"true": True, "false": False, "undefined": UNDEFINED, "error": ERROR}


def _number(text: str) -> t.Union[int, float]:
    factor = _UNITS.get(text[-1].lower(), 0)
    digits = text[:-1] if factor else text
    value: t.Union[int, float] = int(digits) if digits.isdigit() else float(digits)
    return value * (factor or 1)


def _unescape(text: str) -> str:
    plain = {"n": "\n", "t": "\t", "r": "\r"}
    return re.sub(r"\\(.)", lambda match: plain.get(match.group(1), match.group(1)), text[1:-1], flags=re.DOTALL)


def _constant(value: Value) -> Node:
    return lambda scope: value


def _look_up(scope: Scope, name: str, where: str) -> Value:
    if scope.depth > _MAX_DEPTH:
        return ERROR
    places = {"my": (0,), "target": (1,)}.get(where, (0, 1))
    for place in places:
        ad = (scope.my, scope.target)[place]
        if name in ad:
            value = ad[name]
            if not isinstance(value, Expression):
                return value
            mine, theirs = (scope.my, scope.target) if place == 0 else (scope.target, scope.my)
            return value.node(Scope(mine, theirs, scope.depth + 1))
    return UNDEFINED


def _choose(test: Node, yes: Node, no: Node) -> Node:
    def node(scope: Scope) -> Value:
        truth = _truth(test(scope))
        return truth if isinstance(truth, Special) else (yes if truth else no)(scope)

    return node


def _otherwise(first: Node, second: Node) -> Node:
    def node(scope: Scope) -> Value:
        value = first(scope)
        return second(scope) if value is UNDEFINED else value

    return node


def _truth(value: Value) -> Value:
    """A value as a condition: numbers count, texts are errors."""
    if isinstance(value, (bool, Special)):
        return value
    return bool(value) if isinstance(value, (int, float)) else ERROR


def _unary(operator: str, operand: Node) -> Node:
    def node(scope: Scope) -> Value:
        value = operand(scope)
        if isinstance(value, Special):
            return value
        if operator == "!":
            truth = _truth(value)
            return truth if isinstance(truth, Special) else not truth
        if not isinstance(value, (int, float)):
            return ERROR
        return -value if operator == "-" else +value

    return node


def _binary(operator: str, left: Node, right: Node) -> Node:
    if operator in ("&&", "||"):
        return _logic(operator == "&&", left, right)
    if operator in ("=?=", "=!="):
        return lambda scope: same(left(scope), right(scope)) == (operator == "=?=")
    compute = _COMPARE.get(operator) or _ARITHMETIC[operator]
    texts = operator in _COMPARE

    def node(scope: Scope) -> Value:
        one, other = left(scope), right(scope)
        if ERROR in (one, other):
            return ERROR
        if UNDEFINED in (one, other):
            return UNDEFINED
        if texts and isinstance(one, str) and isinstance(other, str):
            return compute(one.lower(), other.lower())
        if not isinstance(one, (int, float)) or not isinstance(other, (int, float)):
            return ERROR
        try:
            return compute(one, other)
        except (ZeroDivisionError, OverflowError, ValueError):
            return ERROR

    return node


def _logic(both: bool, left: Node, right: Node) -> Node:
    """&& and ||: false && anything is false, true || anything is true, also where the other is undefined."""

    def node(scope: Scope) -> Value:
        one = _truth(left(scope))
        if isinstance(one, bool) and one != both:
            return one
        if one is ERROR:
            return ERROR
        other = _truth(right(scope))
        if isinstance(other, bool) and other != both:
            return other
        return other if one is both else one

    return node


def same(one: Value, other: Value) -> bool:
    """=?=: the same kind and value; texts with their case; undefined is undefined."""
    if isinstance(one, Special) or isinstance(other, Special):
        return one is other
    if isinstance(one, bool) != isinstance(other, bool) or isinstance(one, str) != isinstance(other, str):
        return False
    return bool(one == other)


def _divide(one: t.Any, other: t.Any) -> t.Any:
    if isinstance(one, int) and isinstance(other, int):
        return int(math.copysign(abs(one) // abs(other), one * other)) if one else 0
    return one / other


_COMPARE: t.Mapping[str, t.Callable[[t.Any, t.Any], bool]] = {
    "==": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}
_ARITHMETIC: t.Mapping[str, t.Callable[[t.Any, t.Any], t.Any]] = {
    "+": lambda one, other: one + other,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
    "/": _divide,
    "%": lambda one, other: math.fmod(one, other) if isinstance(one, float) else int(math.fmod(one, other)),
}


def _call(word: str, arguments: list[Node]) -> Node:
    if word == "ifthenelse":
        if len(arguments) != 3:
            raise ClassAdError("ifThenElse needs three arguments")
        return _choose(*arguments)
    function = FUNCTIONS[word]

    def node(scope: Scope) -> Value:
        try:
            return function(*(argument(scope) for argument in arguments))
        except (TypeError, ValueError, ArithmeticError, AttributeError, re.error):
            return ERROR

    return node
