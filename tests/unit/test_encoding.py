"""A result as an older Sightline wrote it."""

from cds_service.adapters.ledger.encoding import analysis_document, analysis_from
from tests.builders import a_finding, an_analysis


def test_a_finding_written_before_checks_were_kept_has_none() -> None:
    document = analysis_document(an_analysis(findings=(a_finding(guards=("modality",)),)))
    for finding in document["findings"]:
        del finding["guards"]

    assert analysis_from(document).findings[0].guards == ()
