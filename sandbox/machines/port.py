# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A port that accepts connections and has nothing to say: a program with its number, and an address if not all."""

from __future__ import annotations

import socket
import sys


def main() -> None:
    """Accept and close, for ever."""
    address = sys.argv[2] if len(sys.argv) > 2 else "0.0.0.0"  # noqa: S104 - in a namespace
    with socket.create_server((address, int(sys.argv[1])), backlog=4096) as listener:
        while True:
            listener.accept()[0].close()


if __name__ == "__main__":
    main()
