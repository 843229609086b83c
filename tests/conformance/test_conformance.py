"""Every scheduler, on booted nodes, through the same cases. ``-k slurm`` chooses one scheduler, ``-k gpu`` one case."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance import cases
from tests.conformance.drivers import DRIVERS
from tests.conformance.site import Site

pytestmark = pytest.mark.booted


@pytest.fixture(scope="module", params=sorted(DRIVERS))
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A cluster for all cases of a scheduler: they follow one another, as a site's days do."""
    driver = DRIVERS[request.param]()
    with Site(driver, tmp_path_factory.mktemp(driver.type)).up() as living:
        yield living


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
def test_case(site: Site, case: cases.Case) -> None:
    case(site)
