# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.arm.errors import ArmError
from sandbox.arm.tokens import Principal, Tokens

ME = Principal("object", "application")
ARM = "https://management.azure.com/"


def test_a_token_of_an_earlier_process_is_still_good(tmp_path: Path) -> None:
    token = Tokens(tmp_path, "tenant").issue(ME, ARM)
    claims = Tokens(tmp_path, "tenant").verify(f"Bearer {token}")
    assert (claims["oid"], claims["appid"], claims["tid"]) == ("object", "application", "tenant")
    assert (tmp_path / "token.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("audience", "lifetime", "code"),
    [
        (ARM, -1, "ExpiredAuthenticationToken"),
        ("https://vault.azure.net", 60, "InvalidAuthenticationTokenAudience"),
    ],
)
def test_expired_and_foreign_tokens_are_refused(tmp_path: Path, audience: str, lifetime: int, code: str) -> None:
    tokens = Tokens(tmp_path, "tenant")
    with pytest.raises(ArmError) as refusal:
        tokens.verify(f"Bearer {tokens.issue(ME, audience, lifetime)}")
    assert (refusal.value.status, refusal.value.code) == (401, code)


def test_another_sandboxs_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    token = Tokens(tmp_path / "other", "tenant").issue(ME, ARM)
    with pytest.raises(ArmError, match="InvalidAuthenticationToken"):
        Tokens(tmp_path, "tenant").verify(f"Bearer {token}")
