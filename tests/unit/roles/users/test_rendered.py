# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles write for directory services and for databases that no test can run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.plugins.filter.core import FilterModule as Core

ROLES = Path(__file__).parents[4] / "roles"
DIRECTORY = {"uris": ["ldaps://a", "ldaps://b"], "search_base": "dc=x"}


def render(role: str, template: str, **variables: Any) -> dict[str, str]:
    """The options of the file by name."""
    environment = jinja2.Environment(  # noqa: S701 - no HTML
        loader=jinja2.FileSystemLoader(ROLES / role / "templates"), trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters = {**Core().filters(), **environment.filters}
    known = {
        **yaml.safe_load((ROLES / role / "defaults/main.yml").read_text()),
        **yaml.safe_load((ROLES / role / "vars/main.yml").read_text()),
        **variables,
    }
    text = environment.get_template(template).render(known)
    return {
        name.strip(): value.strip() for name, mark, value in (one.partition("=") for one in text.splitlines()) if mark
    }


def test_an_ldap_directory_is_asked_over_tls_and_certificates_are_checked() -> None:
    found = render("users", "sssd.conf.j2", users_directory=DIRECTORY, users_home="/shared/home")
    assert found["ldap_uri"] == "ldaps://a, ldaps://b"
    assert found["ldap_tls_reqcert"] == "demand"
    assert found["ldap_schema"] == "rfc2307"
    assert found["override_homedir"] == "/shared/home/%u"
    assert "ldap_default_authtok" not in found


def test_entra_domain_services_get_numbers_that_every_machine_calculates_alike() -> None:
    directory = {
        **DIRECTORY,
        "kind": "entra",
        "bind_dn": "CN=hpc,OU=AADDC Users,DC=x",
        "options": {"ldap_schema": "ad2"},
    }
    found = render("users", "sssd.conf.j2", users_directory=directory, users_directory_password="secret")
    assert found["ldap_id_mapping"] == "true"
    assert found["ldap_user_name"] == "sAMAccountName"
    assert found["ldap_default_bind_dn"] == "CN=hpc,OU=AADDC Users,DC=x"
    assert found["ldap_schema"] == "ad2"  # what a site says wins


def azure_mysql(password: str, ca_file: str = "") -> dict[str, str]:
    return render(
        "accounting",
        "slurmdbd.conf.j2",
        accounting_head="demo-head",
        accounting_database={"type": "azure_mysql", "host": "x.mysql.database.azure.com", "ca_file": ca_file},
        accounting_database_password=password,
        _accounting_mariadb=False,
        _accounting_name="slurm_acct_db",
        _accounting_ca_file="/etc/ssl/certs/ca-certificates.crt",
    )


@pytest.mark.parametrize(
    ("password", "written"),
    [("Str0ng", '"Str0ng"'), ("a b", '"a b"'), ("a#b", r'"a\#b"'), (r"a\b", r'"a\\b"'), ('a"b#c', r'a"b\#c')],
)
def test_slurm_takes_the_whole_password(password: str, written: str) -> None:
    assert azure_mysql(password)["StoragePass"] == written


@pytest.mark.parametrize("ca_file", ["", "/etc/ssl/own.pem"])
def test_a_database_of_azure_is_reached_over_tls(ca_file: str) -> None:
    found = azure_mysql("secret", ca_file)
    assert found["StorageHost"] == "x.mysql.database.azure.com"
    assert found["StorageParameters"] == f"SSL_CA={ca_file or '/etc/ssl/certs/ca-certificates.crt'}"
    assert found["StoragePass"] == '"secret"'


def test_mariadb_on_the_head_has_no_password() -> None:
    found = render(
        "accounting",
        "slurmdbd.conf.j2",
        accounting_head="h",
        _accounting_mariadb=True,
        _accounting_name="slurm_acct_db",
    )
    assert found["StorageHost"] == "localhost"
    assert "StoragePass" not in found
    assert found["PurgeJobAfter"] == "24months"
