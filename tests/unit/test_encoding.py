"""A result as an older Sightline wrote it."""

from cds_service.adapters.ledger.encoding import analysis_document, analysis_from
from cds_service.domain.finding import Coding
from tests.builders import a_finding, an_analysis


def test_a_finding_written_before_checks_were_kept_has_none() -> None:
    document = analysis_document(an_analysis(findings=(a_finding(guards=("modality",)),)))
    for finding in document["findings"]:
        del finding["guards"]

    assert analysis_from(document).findings[0].guards == ()


def test_a_finding_written_before_body_sites_were_kept_has_none() -> None:
    site = Coding("http://snomed.info/sct", "51185008", "Thoracic structure")
    document = analysis_document(an_analysis(findings=(a_finding(body_site=site),)))
    assert analysis_from(document).findings[0].body_site == site
    for finding in document["findings"]:
        del finding["body_site"]

    assert analysis_from(document).findings[0].body_site is None
