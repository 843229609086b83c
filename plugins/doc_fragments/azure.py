# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that say who we are to Azure."""

from __future__ import annotations


class ModuleDocFragment:
    """Authentication, with the names that azure.azcollection and AWX use."""

    DOCUMENTATION = r"""
options:
  subscription_id:
    description:
      - The Azure subscription. Environment variable E(AZURE_SUBSCRIPTION_ID).
    type: str
  client_id:
    description:
      - The client id of a service principal, or of a user-assigned identity with O(auth_source=msi).
        Environment variable E(AZURE_CLIENT_ID).
    type: str
  secret:
    description:
      - The secret of the service principal. Environment variables E(AZURE_SECRET), then E(AZURE_CLIENT_SECRET).
    type: str
  tenant:
    description:
      - The tenant. Environment variables E(AZURE_TENANT), then E(AZURE_TENANT_ID).
    type: str
  ad_user:
    description:
      - An Entra ID user name. Environment variable E(AZURE_AD_USER).
        Works only for accounts without a second factor; prefer a service principal.
    type: str
  password:
    description:
      - The password of O(ad_user). Environment variable E(AZURE_PASSWORD).
    type: str
  profile:
    description:
      - A section of C(~/.azure/credentials) with subscription_id, client_id, secret and tenant.
        Environment variable E(AZURE_PROFILE); without both, the section V(default).
    type: str
  x509_certificate_path:
    description:
      - A PEM file with the certificate and the private key of the service principal, instead of O(secret).
        Environment variable E(AZURE_X509_CERTIFICATE_PATH).
    type: path
  auth_source:
    description:
      - Where the credentials come from. Environment variable E(ANSIBLE_AZURE_AUTH_SOURCE).
      - V(auto), which holds when nothing is set, takes the first of the module's options, the environment, the
        credentials file and the login of the C(az) command that has something.
      - V(msi) is the managed identity of this machine.
    type: str
    choices: [auto, env, credential_file, cli, msi]
  cloud_environment:
    description:
      - V(AzureCloud) (when nothing is set), V(AzureUSGovernment) or V(AzureChinaCloud).
        Environment variable E(AZURE_CLOUD_ENVIRONMENT).
    type: str
  adfs_authority_url:
    description:
      - Where to sign in, if not where the cloud says. Environment variables E(AZURE_ADFS_AUTHORITY_URL), then
        E(AZURE_AUTHORITY_HOST).
    type: str
  cert_validation_mode:
    description:
      - Whether to validate the certificates of Azure's endpoints. Environment variable E(AZURE_CERT_VALIDATION_MODE).
    type: str
    choices: [validate, ignore]
  disable_instance_discovery:
    description:
      - Trust the sign-in host without asking Microsoft's directory about it, for clouds without a way there.
        Environment variable E(AZURE_DISABLE_INSTANCE_DISCOVERY).
    type: bool
requirements:
  - python >= 3.12 on the host that runs the module
  - azure-core
  - azure-mgmt-core
  - azure-identity
notes:
  - Runs where the credentials are, normally with C(delegate_to=localhost) or C(hosts=localhost).
"""

    TAGS = r"""
options:
  tags:
    description:
      - Tags that the resource must have. Other tags that it has are kept.
    type: dict
"""
