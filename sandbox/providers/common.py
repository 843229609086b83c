# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Resource Manager checks for every provider: regions and tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.arm.errors import GATEWAY, ArmError
from sandbox.arm.messages import Request
from sandbox.arm.store import Resource

MAX_TAGS = 50


@dataclass(frozen=True)
class Region:
    """A region as ``GET /subscriptions/{id}/locations`` describes it."""

    name: str
    display: str
    group: str
    place: str
    latitude: str
    longitude: str
    pair: str
    zones: bool = True

    @property
    def regional_display(self) -> str:
        return f"({'US' if self.group == 'US' else self.group}) {self.display}"


REGIONS = (
    Region("eastus", "East US", "US", "Virginia", "37.3719", "-79.8164", "westus"),
    Region("eastus2", "East US 2", "US", "Virginia", "36.6681", "-78.3889", "centralus"),
    Region("southcentralus", "South Central US", "US", "Texas", "29.4167", "-98.5", "northcentralus"),
    Region("westus2", "West US 2", "US", "Washington", "47.233", "-119.852", "westcentralus"),
    Region("westus3", "West US 3", "US", "Phoenix", "33.448376", "-112.074036", "eastus"),
    Region("centralus", "Central US", "US", "Iowa", "41.5908", "-93.6208", "eastus2"),
    Region("northcentralus", "North Central US", "US", "Illinois", "41.8819", "-87.6278", "southcentralus", False),
    Region("westcentralus", "West Central US", "US", "Wyoming", "40.89", "-110.234", "westus2", False),
    Region("westus", "West US", "US", "California", "37.783", "-122.417", "eastus", False),
    Region("centraluseuap", "Central US EUAP", "US", "", "41.5908", "-93.6208", "eastus2euap"),
    Region("eastus2euap", "East US 2 EUAP", "US", "", "36.6681", "-78.3889", "centraluseuap"),
    Region("westeurope", "West Europe", "Europe", "Netherlands", "52.3667", "4.9", "northeurope"),
    Region("northeurope", "North Europe", "Europe", "Ireland", "53.3478", "-6.2597", "westeurope"),
    Region("uksouth", "UK South", "UK", "London", "50.941", "-0.799", "ukwest"),
    Region("ukwest", "UK West", "UK", "Cardiff", "53.427", "-3.084", "uksouth", False),
    Region("swedencentral", "Sweden Central", "Europe", "Gävle", "60.67488", "17.14127", "swedensouth"),
    Region(
        "germanywestcentral", "Germany West Central", "Europe", "Frankfurt", "50.110924", "8.682127", "germanynorth"
    ),
    Region("francecentral", "France Central", "Europe", "Paris", "46.3772", "2.373", "francesouth"),
    Region("southeastasia", "Southeast Asia", "Asia Pacific", "Singapore", "1.283", "103.833", "eastasia"),
    Region("eastasia", "East Asia", "Asia Pacific", "Hong Kong", "22.267", "114.188", "southeastasia"),
    Region("canadacentral", "Canada Central", "Canada", "Toronto", "43.653", "-79.383", "canadaeast"),
    Region("brazilsouth", "Brazil South", "South America", "Sao Paulo State", "-23.55", "-46.633", "southcentralus"),
    Region("centralindia", "Central India", "Asia Pacific", "Pune", "18.5822", "73.9197", "southindia"),
    Region("koreacentral", "Korea Central", "Asia Pacific", "Seoul", "37.5665", "126.9780", "koreasouth"),
    Region("norwayeast", "Norway East", "Europe", "Norway", "59.913868", "10.752245", "norwaywest"),
    Region("switzerlandnorth", "Switzerland North", "Europe", "Zurich", "47.451542", "8.564572", "switzerlandwest"),
    Region("southafricanorth", "South Africa North", "Africa", "Johannesburg", "-25.731", "28.218", "southafricawest"),
    Region("uaenorth", "UAE North", "Middle East", "Dubai", "25.266666", "55.316666", "uaecentral"),
    Region("japaneast", "Japan East", "Asia Pacific", "Tokyo, Saitama", "35.68", "139.77", "japanwest"),
    Region(
        "australiaeast", "Australia East", "Asia Pacific", "New South Wales", "-33.86", "151.2094", "australiasoutheast"
    ),
    Region(
        "australiasoutheast",
        "Australia Southeast",
        "Asia Pacific",
        "Victoria",
        "-37.8136",
        "144.9631",
        "australiaeast",
        False,
    ),
    Region(
        "australiacentral",
        "Australia Central",
        "Asia Pacific",
        "Canberra",
        "-35.3075",
        "149.1244",
        "australiacentral2",
        False,
    ),
    Region("japanwest", "Japan West", "Asia Pacific", "Osaka", "34.6939", "135.5022", "japaneast"),
    Region("koreasouth", "Korea South", "Asia Pacific", "Busan", "35.1796", "129.0756", "koreacentral", False),
    Region("southindia", "South India", "Asia Pacific", "Chennai", "12.9822", "80.1636", "centralindia", False),
    Region("westindia", "West India", "Asia Pacific", "Mumbai", "19.088", "72.868", "southindia", False),
    Region("canadaeast", "Canada East", "Canada", "Quebec", "46.817", "-71.217", "canadacentral", False),
    Region(
        "brazilsoutheast", "Brazil Southeast", "South America", "Rio", "-22.90278", "-43.2075", "brazilsouth", False
    ),
    Region("francesouth", "France South", "Europe", "Marseille", "43.8345", "2.1972", "francecentral", False),
    Region("germanynorth", "Germany North", "Europe", "Berlin", "53.073635", "8.806422", "germanywestcentral", False),
    Region("norwaywest", "Norway West", "Europe", "Norway", "58.969975", "5.733107", "norwayeast", False),
    Region(
        "switzerlandwest", "Switzerland West", "Europe", "Geneva", "46.204391", "6.143158", "switzerlandnorth", False
    ),
    Region("swedensouth", "Sweden South", "Europe", "Malmö", "55.6059", "13.0007", "swedencentral", False),
    Region(
        "southafricawest",
        "South Africa West",
        "Africa",
        "Cape Town",
        "-34.075691",
        "18.843266",
        "southafricanorth",
        False,
    ),
    Region("uaecentral", "UAE Central", "Middle East", "Abu Dhabi", "24.466667", "54.366669", "uaenorth", False),
    Region("italynorth", "Italy North", "Europe", "Milan", "45.46888", "9.18109", ""),
    Region("polandcentral", "Poland Central", "Europe", "Warsaw", "52.23334", "21.01666", ""),
    Region("spaincentral", "Spain Central", "Europe", "Madrid", "40.4259", "3.4209", ""),
    Region("israelcentral", "Israel Central", "Middle East", "Israel", "31.2655633", "33.4506633", ""),
    Region("qatarcentral", "Qatar Central", "Middle East", "Doha", "25.551462", "51.439327", ""),
    Region("mexicocentral", "Mexico Central", "Mexico", "Querétaro State", "20.588818", "-100.389888", ""),
    Region("newzealandnorth", "New Zealand North", "Asia Pacific", "Auckland", "-36.84853", "174.76349", ""),
    Region(
        "jioindiawest", "Jio India West", "Asia Pacific", "Jamnagar", "22.470701", "70.05773", "jioindiacentral", False
    ),
)
_KNOWN = {region.name for region in REGIONS}


def normal(location: str) -> str:
    """``West Europe`` and ``westeurope`` are one place."""
    return location.replace(" ", "").lower()


def region(request: Request, existing: Resource | None = None) -> str:
    """The region that a PUT asks for: known, and not another than the one the resource lives in."""
    given = request.body.get("location")
    if not isinstance(given, str) or not given:
        if existing is not None:
            return str(existing.body["location"])
        message = "The location property is required for this definition."
        raise ArmError(400, "LocationRequired", message, headers=GATEWAY)
    wanted, rid = normal(given), request.id
    if wanted not in _KNOWN:
        message = (
            f"The provided location '{given}' is not available for resource type '{rid.type}'. "
            f"List of available regions for the resource type is '{','.join(sorted(_KNOWN))}'."
        )
        raise ArmError(400, "LocationNotAvailableForResourceType", message, headers=GATEWAY)
    if existing is not None and normal(existing.body["location"]) != wanted:
        message = (
            f"The resource '{rid.name}' already exists in location '{existing.body['location']}' in resource group "
            f"'{rid.group}'. A resource with the same name cannot be created in location '{given}'. "
            "Please select a new resource name."
        )
        raise ArmError(409, "InvalidResourceLocation", message, headers=GATEWAY)
    return wanted


def tags(body: dict[str, Any]) -> dict[str, str] | None:
    """The tags of a request: None if it has none; 400 for what is no tag."""
    given = body.get("tags")
    if given is None:
        return None
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        message = "The request content was invalid and could not be deserialized: 'tags must be strings'."
        raise ArmError(400, "InvalidRequestContent", message, headers=GATEWAY)
    if len(given) > MAX_TAGS:
        message = (
            f"The number of tags '{len(given)}' on the resource exceeds the limit of '{MAX_TAGS}' for a resource, "
            "resource group or subscription."
        )
        raise ArmError(400, "TooManyTags", message, headers=GATEWAY)
    for name, value in given.items():
        if not name or len(name) > 512 or len(value) > 256 or any(c in "<>%&\\?/" for c in name):
            message = f"The tag '{name}' or its value is too long, empty, or has one of the characters <,>,%,&,\\,?,/."
            raise ArmError(400, "InvalidTagNameCharacters", message, headers=GATEWAY)
    return given
