# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A port that accepts connections and has nothing to say: run as a program with the number of the port."""

from __future__ import annotations

import socket
import sys


def main() -> None:
    """Accept and close, for ever."""
    with socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=4096) as listener:  # noqa: S104 - in a namespace
        while True:
            listener.accept()[0].close()


if __name__ == "__main__":
    main()
