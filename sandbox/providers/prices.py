# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""prices.azure.com: the retail price list, with as much of its OData filter as clients use."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from sandbox.arm.core import Core
from sandbox.arm.messages import Answer, Request

PAGE = 1000
TOKEN = re.compile(r"\s*(?:(\(|\))|'((?:[^']|'')*)'|(,)|([A-Za-z0-9_.]+))")
Test = Callable[[dict[str, Any]], bool]


class Prices:
    """Answers from the list that the compute provider offers as ``retail_prices``."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def answer(self, request: Request) -> Answer:
        """One page of the items that match ``$filter``; 400 for a filter that cannot be read."""
        listing: Callable[[], list[dict[str, Any]]] = self._core.service("retail_prices", list)
        try:
            test = parse(request.query.get("$filter", ""))
            skip = int(request.query.get("$skip", "0"))
        except ValueError as error:
            return Answer(
                400, {"error": {"code": "BadRequest", "message": f"Invalid OData parameters supplied: {error}"}}
            )
        found = [item for item in listing() if test(item)]
        body: dict[str, Any] = {
            "BillingCurrency": "USD",
            "CustomerEntityId": "Default",
            "CustomerEntityType": "Retail",
            "Items": found[skip : skip + PAGE],
            "NextPageLink": None,
            "Count": len(found[skip : skip + PAGE]),
        }
        if skip + PAGE < len(found):
            query = "&".join(f"{k}={quote(v)}" for k, v in request.query.items() if k != "$skip")
            body["NextPageLink"] = f"{request.base_url}{request.path}?{query}&$skip={skip + PAGE}"
        return Answer(200, body)


def parse(text: str) -> Test:
    """``a eq 'x' and (b ne 'y' or contains(c, 'z'))`` as a function of an item. Raises ValueError."""
    tokens = _tokens(text)
    if not tokens:
        return lambda item: True
    test, rest = _either(tokens)
    if rest:
        raise ValueError(f"unexpected {rest[0][1]!r}")
    return test


Tokens = list[tuple[str, str]]


def _tokens(text: str) -> Tokens:
    found, at, text = [], 0, text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise ValueError(f"cannot read {text[at:]!r}")
        bracket, string, comma, word = match.groups()
        if string is not None:
            found.append(("string", string.replace("''", "'")))
        else:
            found.append(("word" if word else "mark", word or bracket or comma))
        at = match.end()
    return found


def _take(tokens: Tokens, kind: str, value: str | None = None) -> tuple[str, Tokens]:
    if not tokens or tokens[0][0] != kind or (value is not None and tokens[0][1].lower() != value):
        raise ValueError(f"expected {value or kind}, found {tokens[0][1] if tokens else 'the end'!r}")
    return tokens[0][1], tokens[1:]


def _follows(tokens: Tokens, word: str) -> bool:
    return bool(tokens) and tokens[0][0] in ("word", "mark") and tokens[0][1].lower() == word


def _either(tokens: Tokens) -> tuple[Test, Tokens]:
    test, tokens = _both(tokens)
    while _follows(tokens, "or"):
        left = test
        right, tokens = _both(tokens[1:])
        test = _or(left, right)
    return test, tokens


def _both(tokens: Tokens) -> tuple[Test, Tokens]:
    test, tokens = _one(tokens)
    while _follows(tokens, "and"):
        left = test
        right, tokens = _one(tokens[1:])
        test = _and(left, right)
    return test, tokens


def _or(left: Test, right: Test) -> Test:
    return lambda item: left(item) or right(item)


def _and(left: Test, right: Test) -> Test:
    return lambda item: left(item) and right(item)


def _one(tokens: Tokens) -> tuple[Test, Tokens]:
    if _follows(tokens, "("):
        test, tokens = _either(tokens[1:])
        _unused, tokens = _take(tokens, "mark", ")")
        return test, tokens
    field, tokens = _take(tokens, "word")
    if field.lower() in ("contains", "startswith", "endswith"):
        return _function(field.lower(), tokens)
    operator, tokens = _take(tokens, "word")
    if not tokens or tokens[0][0] == "mark":
        raise ValueError(f"nothing to compare {field} with")
    kind, value = tokens[0]
    wanted: Any = value if kind == "string" else {"true": True, "false": False}.get(value.lower(), value)
    if operator.lower() not in ("eq", "ne"):
        raise ValueError(f"operator {operator!r}")
    equal = operator.lower() == "eq"
    return (lambda item: (_value(item, field) == wanted) is equal), tokens[1:]


def _function(name: str, tokens: Tokens) -> tuple[Test, Tokens]:
    _unused, tokens = _take(tokens, "mark", "(")
    field, tokens = _take(tokens, "word")
    _unused, tokens = _take(tokens, "mark", ",")
    wanted, tokens = _take(tokens, "string")
    _unused, tokens = _take(tokens, "mark", ")")
    tests: dict[str, Callable[[str], bool]] = {
        "contains": lambda text: wanted in text,
        "startswith": lambda text: text.startswith(wanted),
        "endswith": lambda text: text.endswith(wanted),
    }
    test = tests[name]
    return (lambda item: test(str(_value(item, field)))), tokens


def _value(item: dict[str, Any], field: str) -> Any:
    # The one field that filters call otherwise than items do.
    field = "type" if field.lower() == "pricetype" else field
    if field in item:
        return item[field]
    lowered = {key.lower(): value for key, value in item.items()}
    return lowered.get(field.lower())
