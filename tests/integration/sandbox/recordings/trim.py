# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cut a vcr cassette (YAML) down to what the regression test needs: ``trim.py CASSETTE.yaml [INDEX...] > NAME.json``.

Without indices all exchanges are kept but the polls of operations; the order stays.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

POLL = re.compile(r"/(\w*operations|operationResults|operationStatuses|operationsStatus)/[^/]+(\?|$)", re.I)
HEADERS = ("azure-asyncoperation", "location")


def body_of(raw: Any) -> Any:
    """JSON if it is JSON; else the text, which a lenient reader may still understand."""
    text = raw.decode() if isinstance(raw, bytes) else raw
    if not isinstance(text, str) or not text.strip():
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def exchange(interaction: dict[str, Any]) -> dict[str, Any]:
    request, response = interaction["request"], interaction["response"]
    headers = {key.lower(): value[0] for key, value in response["headers"].items()}
    return {
        "method": request["method"],
        "url": request["uri"],
        "request": body_of(request.get("body")),
        "status": response["status"]["code"],
        "headers": {key: headers[key].partition("?")[0] for key in HEADERS if key in headers},
        "answer": body_of((response.get("body") or {}).get("string")),
    }


def main() -> None:
    cassette = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))
    wanted = set(map(int, sys.argv[2:]))
    kept = [
        exchange(interaction)
        for index, interaction in enumerate(cassette["interactions"])
        if (index in wanted if wanted else not POLL.search(interaction["request"]["uri"]))
    ]
    json.dump(kept, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
