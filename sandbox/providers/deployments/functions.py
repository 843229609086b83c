# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Template functions of text, times and address ranges, and the table of all that need nothing but their arguments."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote, urljoin

from sandbox.providers.deployments.hashes import unique
from sandbox.providers.deployments.values import VALUES

# The namespace that guid() derives its version 5 UUIDs in.
GUIDS = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")
DURATION = re.compile(
    r"(?P<sign>-?)P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?"
)
PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(\d+)(?:,(-?\d+))?(?::([^}]*))?\}")


def string(value: Any) -> str:
    """``string``: texts as they are, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _joined(values: tuple[Any, ...]) -> str:
    return "-".join(str(value) if not isinstance(value, (list, dict, bool)) else string(value) for value in values)


def _concat(*values: Any) -> Any:
    if values and isinstance(values[0], list):
        return [entry for value in values for entry in (value if isinstance(value, list) else [value])]
    if any(isinstance(value, (dict, list)) for value in values):
        raise TypeError("all arguments must be arrays, or all must be strings")
    return "".join(_plain(value) for value in values)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if not isinstance(value, (bool, list, dict)) else string(value).capitalize()


def _format(text: str, *values: Any) -> str:
    def filled(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0][0]
        value, width, style = values[int(found[1])], int(found[2] or 0), found[3] or ""
        shown = (
            _styled(value, style) if style else _plain(value) if not isinstance(value, (list, dict)) else string(value)
        )
        return shown.rjust(width) if width >= 0 else shown.ljust(-width)

    try:
        return PLACEHOLDER.sub(filled, text)
    except IndexError:
        raise ValueError("a placeholder has no argument") from None


def _styled(value: Any, style: str) -> str:
    letter, digits = style[0].lower(), style[1:]
    if isinstance(value, int) and letter in "dxnf" and (not digits or digits.isdigit()):
        if letter == "d":
            return f"{value:0{int(digits or 0)}d}"
        if letter == "x":
            return f"{value:0{int(digits or 0)}{style[0]}}"
        return f"{value:{',' if letter == 'n' else ''}.{int(digits or 2)}f}"
    if isinstance(value, int) and set(style) == {"0"}:
        return f"{value:0{len(style)}d}"
    raise ValueError(f"the format '{style}' is not supported")


def _split(text: str, separators: Any) -> list[str]:
    wanted = [separators] if isinstance(separators, str) else separators
    return re.split("|".join(map(re.escape, wanted)), text)


def _substring(text: str, start: int, length: int | None = None) -> str:
    end = len(text) if length is None else start + length
    if start < 0 or end > len(text) or end < start:
        raise ValueError("the index and length parameters must refer to a location within the string")
    return text[start:end]


def _pad_left(value: Any, width: int, character: str = " ") -> str:
    return str(value).rjust(width, character)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _from_base64(text: str) -> str:
    return base64.b64decode(text, validate=True).decode()


def _data_uri(text: str) -> str:
    return f"data:text/plain;charset=utf8;base64,{_base64(text)}"


def _from_data_uri(text: str) -> str:
    head, _comma, data = text.partition(",")
    return _from_base64(data) if head.endswith(";base64") else unquote(data)


def _uri(base: str, relative: str) -> str:
    return urljoin(base, relative)


def _join(values: list[Any], separator: str) -> str:
    return separator.join(_plain(value) for value in values)


# times


def _read_time(text: str) -> datetime:
    found = datetime.fromisoformat(text.strip())
    return found.replace(tzinfo=found.tzinfo or UTC)


def show_time(moment: datetime, style: str = "") -> str:
    """A time in one of the .NET formats that templates use; ``yyyyMMddTHHmmssZ`` if none is given."""
    style = style or "yyyyMMddTHHmmssZ"
    style = {"u": "yyyy-MM-dd HH:mm:ssZ", "d": "M/d/yyyy", "o": "yyyy-MM-ddTHH:mm:ss.fffffffZ"}.get(style, style)
    known = {
        "yyyy": f"{moment:%Y}", "yy": f"{moment:%y}", "MM": f"{moment:%m}", "dd": f"{moment:%d}",
        "HH": f"{moment:%H}", "mm": f"{moment:%M}", "ss": f"{moment:%S}", "M": str(moment.month),
        "d": str(moment.day), "H": str(moment.hour), "fffffff": f"{moment:%f}0", "fff": f"{moment:%f}"[:3],
        "hh": f"{moment:%I}", "tt": f"{moment:%p}", "MMM": f"{moment:%b}", "MMMM": f"{moment:%B}",
    }  # fmt: skip
    return re.sub(r"y{2,4}|M{1,4}|d{1,2}|H{1,2}|h{2}|m{2}|s{2}|f{3,7}|tt", lambda m: known.get(m[0], m[0]), style)


def _add_time(base: str, duration: str, style: str = "") -> str:
    found = DURATION.fullmatch(duration)
    if found is None or duration.lstrip("-") in ("P", "PT"):
        raise ValueError(f"'{duration}' is no ISO 8601 duration")
    part = {name: int(value or 0) for name, value in found.groupdict().items() if name != "sign"}
    sign, moment = -1 if found["sign"] else 1, _read_time(base)
    months = moment.month - 1 + sign * (part["months"] + 12 * part["years"])
    year, month = moment.year + months // 12, months % 12 + 1
    last = (datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC) - timedelta(days=1)).day
    moment = moment.replace(year=year, month=month, day=min(moment.day, last))
    rest = {name: part[name] for name in ("weeks", "days", "hours", "minutes", "seconds")}
    return show_time(moment + sign * timedelta(**rest), style or "u")


# address ranges


def _parse_cidr(text: str) -> dict[str, Any]:
    network = ipaddress.ip_network(text, strict=False)
    v4 = isinstance(network, ipaddress.IPv4Network)
    made: dict[str, Any] = {"network": str(network.network_address), "netmask": str(network.netmask)}
    if v4:
        made["broadcast"] = str(network.broadcast_address)
    small = network.num_addresses <= 2 or not v4
    made["firstUsable"] = str(network[0] if small else network[1])
    made["lastUsable"] = str(network[-1] if small else network[-2])
    return {**made, "cidr": network.prefixlen}


def _cidr_subnet(text: str, prefix: int, at: int) -> str:
    network = ipaddress.ip_network(text, strict=False)
    bits = network.max_prefixlen
    if not network.prefixlen <= prefix <= bits or not 0 <= at < 2 ** (prefix - network.prefixlen):
        raise ValueError(f"there is no subnet {at} of length {prefix} in {text}")
    return str(type(network)((int(network.network_address) + at * 2 ** (bits - prefix), prefix)))


def _cidr_host(text: str, at: int) -> str:
    network = ipaddress.ip_network(text, strict=False)
    return str(network[at + 1])


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **VALUES,
    "base64": _base64,
    "base64tojson": lambda text: json.loads(_from_base64(text)),
    "base64tostring": _from_base64,
    "cidrhost": _cidr_host,
    "cidrsubnet": _cidr_subnet,
    "concat": _concat,
    "datauri": _data_uri,
    "datauritostring": _from_data_uri,
    "datetimeadd": _add_time,
    "datetimefromepoch": lambda seconds: show_time(datetime.fromtimestamp(seconds, UTC), "yyyy-MM-ddTHH:mm:ssZ"),
    "datetimetoepoch": lambda text: int(_read_time(text).timestamp()),
    "endswith": lambda text, part: text.lower().endswith(part.lower()),
    "format": _format,
    "guid": lambda *values: str(uuid.uuid5(GUIDS, _joined(values))),
    "join": _join,
    "padleft": _pad_left,
    "parsecidr": _parse_cidr,
    "replace": lambda text, old, new: text.replace(old, new),
    "split": _split,
    "startswith": lambda text, part: text.lower().startswith(part.lower()),
    "string": string,
    "substring": _substring,
    "tolower": lambda text: text.lower(),
    "toupper": lambda text: text.upper(),
    "trim": lambda text: text.strip(),
    "uniquestring": lambda *values: unique(_joined(values)),
    "uri": _uri,
    "uricomponent": lambda text: quote(text, safe="!'()*"),
    "uricomponenttostring": unquote,
}
