"""The page of a result with several findings, and of a model without feature maps."""

from datetime import timedelta

from cds_service.domain.finding import Activation, Coding, MapMethod
from cds_service.domain.tenant import Tenant
from tests.builders import NOW, a_finding, a_result, an_analysis
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import Browser, House

EFFUSION = Coding("http://snomed.info/sct", "60046008", "Pleural effusion")
HIDING = "Found by hiding parts of the image"


def test_each_finding_has_its_own_place_on_the_page(
    house: House, browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    findings = (a_finding(), a_finding(coding=EFFUSION, probability=0.1, present=False))
    house.keep(a_result(analysis=an_analysis(findings=findings)))

    page = browser.get(browser.open(tenant.fhir_base, launch_of())).text

    assert page.count('<article class="finding"') == 2
    assert "signs of pneumonia" in page and "pleural effusion" in page


def test_a_map_that_was_made_by_hiding_says_so(
    house: House, browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    for method, is_said in ((MapMethod.OCCLUSION, True), (MapMethod.ACTIVATION, False)):
        activation = Activation(2, 2, (1.0, 0.0, 0.0, 0.0), method)
        finding = a_finding(activation=activation)
        result = a_result(
            id=f"r-{method}",
            key=f"k-{method}",
            analysis=an_analysis(findings=(finding,)),
            computed_at=NOW + timedelta(minutes=0 if is_said else 1),
        )
        house.keep(result)

        page = browser.get(browser.open(tenant.fhir_base, launch_of())).text

        assert (HIDING in page) is is_said
