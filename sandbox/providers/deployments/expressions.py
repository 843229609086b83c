# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The language inside ``"[...]"``: from text to a tree. What the tree means is the evaluator's business."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import LarkError, VisitError

LONGEST = 24576

GRAMMAR = r"""
?start: value
?value: STRING -> string
      | NUMBER -> number
      | FUNCTION "(" [value ("," value)*] ")" -> call
      | value "." NAME -> member
      | value ".?" NAME -> safe_member
      | value "[" value "]" -> index
      | value "[?" value "]" -> safe_index
STRING: /'(?:[^']|'')*'/
NUMBER: /[-+]?\d+/
FUNCTION: /[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?=\s*\()/
NAME: /[A-Za-z_]\w*/
%import common.WS
%ignore WS
"""


class TemplateError(Exception):
    """A template, a parameter or an expression is wrong. The text is what Azure would say."""


@dataclass(frozen=True)
class Literal:
    value: str | int


@dataclass(frozen=True)
class Call:
    """``name`` is lower case; a user's function has its namespace in front: ``contoso.uniquename``."""

    name: str
    arguments: tuple[Node, ...]
    spelled: str


@dataclass(frozen=True)
class Index:
    """``target[index]`` and ``target.name``; ``safe``: null instead of an error if there is no such thing."""

    target: Node
    index: Node
    safe: bool = False


Node = Literal | Call | Index


@v_args(inline=True)
class _Tree(Transformer[Token, Node]):
    def string(self, token: Token) -> Node:
        return Literal(str(token)[1:-1].replace("''", "'"))

    def number(self, token: Token) -> Node:
        return Literal(int(token))

    def call(self, name: Token, *arguments: Node | None) -> Node:
        given = tuple(argument for argument in arguments if argument is not None)
        return Call(str(name).lower().removeprefix("sys."), given, str(name))

    def member(self, target: Node, name: Token) -> Node:
        return Index(target, Literal(str(name)))

    def safe_member(self, target: Node, name: Token) -> Node:
        return Index(target, Literal(str(name)), safe=True)

    def index(self, target: Node, index: Node) -> Node:
        return Index(target, index)

    def safe_index(self, target: Node, index: Node) -> Node:
        return Index(target, index, safe=True)


_PARSER = Lark(GRAMMAR, parser="lalr", maybe_placeholders=False)


def is_expression(value: Any) -> bool:
    """Is this string evaluated? ``[[...`` is the escape for a text that begins with a bracket."""
    return isinstance(value, str) and value.startswith("[") and value.endswith("]") and not value.startswith("[[")


def unescaped(text: str) -> str:
    """The text that a string which is no expression stands for."""
    return text[1:] if text.startswith("[[") and text.endswith("]") else text


@lru_cache(maxsize=4096)
def parse(text: str) -> Node:
    """The tree of an expression, given with its brackets. Raises TemplateError."""
    if len(text) > LONGEST:
        raise TemplateError(f"The language expression length limit of '{LONGEST}' exceeded.")
    try:
        node = _Tree().transform(_PARSER.parse(text[1:-1]))
    except VisitError:
        raise
    except LarkError as error:
        position = getattr(error, "pos_in_stream", None) or 0
        found = text[1:-1][position : position + 1]
        what = (
            f"the string character '{found}' at position '{position}' is not expected" if found else "it is incomplete"
        )
        raise TemplateError(f"The language expression '{text[1:-1]}' is not valid: {what}.") from None
    if not isinstance(node, (Literal, Call, Index)):
        raise TemplateError(f"The language expression '{text[1:-1]}' is not valid.")
    return node
