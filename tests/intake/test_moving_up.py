"""A study that an intake door asked for, and whose chart is then opened: the whole service."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cds_service import wiring
from cds_service.adapters.model_shelf import enabled_routes
from cds_service.domain.job import Job
from cds_service.domain.line import Priority
from tests.builders import a_patient, a_study
from tests.fuzz.installed import Installed, installed
from tests.unit.cards.builders import a_bundle, a_patient_resource, a_study_resource
from tests.web.ehr_client import a_hook_body


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installed]:
    with installed(tmp_path) as one:
        yield one


def came_in(here: Installed, house: wiring.House, number: int) -> Job:
    """Let a door ask for a study of patient p-1."""
    desk = wiring.intake_desk(here.settings, house)
    [route, *_] = enabled_routes(house.shelf, here.tenant.id)
    study = a_study(tenant_id=here.tenant.id, study_uid=f"1.2.840.99999.{number}")
    return desk.dispatch(study, a_patient(), route.model, False)


def test_a_hook_moves_the_studies_of_its_patient_up(here: Installed) -> None:
    house = wiring.open_house(here.settings)
    before, asked = came_in(here, house, 7), came_in(here, house, 8)
    house.jobs.reclaim()  # the sweep rings for both: Redis is away
    assert house.jobs.get(asked.id).priority is Priority.ROUTINE
    assert house.jobs.wait_for(asked).before == 1

    chart = {"patient": a_patient_resource(), "studies": a_bundle(a_study_resource(8))}
    answer = here.post(a_hook_body(prefetch=chart))

    assert answer.status_code == 200
    assert house.jobs.wait_for(asked).before == 0 and house.jobs.wait_for(before).before == 1
    assert house.jobs.get(asked.id).priority is Priority.ASKED
    assert house.jobs.get(before.id).priority is Priority.ROUTINE
    house.engine.dispose()
