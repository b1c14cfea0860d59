"""From a report back to the finding and the model version: SQLite and PostgreSQL."""

import os
from datetime import timedelta

from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import SqlCardLog, SqlJobs, SqlJudgements, SqlResults
from cds_service.adapters.vault import Vault
from cds_service.domain.card import Feedback, Outcome, ShownCard
from cds_service.domain.finding import Coding
from tests.builders import NOW, PNEUMONIA, a_model, a_patient, a_result, a_study, an_analysis


def shown_about_a_result(engine: Engine, version: str) -> None:
    """A result of this model version, and a card about its finding."""
    jobs = SqlJobs(engine, Vault(os.urandom(32)), lease_s=20, attempts=3)
    uid = f"1.2.840.99999.{version}"
    job, _ = jobs.open(version, a_study(study_uid=uid), a_patient(), "cxr_pneumonia_peds")
    lease = jobs.take(job.id, "worker")
    assert lease is not None
    analysis = an_analysis(study_uid=uid, model=a_model(version=version))
    result = a_result(id=f"r-{version}", key=version, study_uid=uid, analysis=analysis)
    SqlResults(engine).save(result, lease)
    card = ShownCard(f"card-{version}", result_id=result.id, finding_code=PNEUMONIA.code)
    SqlCardLog(engine).shown("t-1", card)


def test_a_report_leads_to_its_card_finding_and_model_version(engine: Engine) -> None:
    for version in ("0.1.0", "0.2.0"):
        shown_about_a_result(engine, version)
    reason = Coding("s", "c", "Known already")
    report = Feedback("t-1", "card-0.2.0", Outcome.OVERRIDDEN, NOW, reason, True)
    SqlCardLog(engine).record(report)

    (judgement,) = SqlJudgements(engine).of("t-1")

    assert judgement.feedback == report
    assert (judgement.result_id, judgement.finding_code) == ("r-0.2.0", PNEUMONIA.code)
    assert judgement.model == a_model(version="0.2.0")


def test_a_report_about_a_card_without_a_result_has_no_model(engine: Engine) -> None:
    cards = SqlCardLog(engine)
    cards.shown("t-1", ShownCard("running"))
    cards.record(Feedback("t-1", "running", Outcome.OVERRIDDEN, NOW))

    (judgement,) = SqlJudgements(engine).of("t-1")

    assert (judgement.result_id, judgement.finding_code, judgement.model) == (None, None, None)


def test_the_history_of_one_card_is_kept_and_another_ehr_s_is_not_shown(engine: Engine) -> None:
    cards = SqlCardLog(engine)
    for tenant_id in ("t-1", "t-2"):
        cards.shown(tenant_id, ShownCard("card-1"))
    later = NOW + timedelta(hours=5)
    accepted = Feedback("t-1", "card-1", Outcome.ACCEPTED, later, suggestion_ids=("s-1",))
    overridden = Feedback("t-1", "card-1", Outcome.OVERRIDDEN, NOW)
    for report in (accepted, overridden, accepted):  # late, repeated
        cards.record(report)

    assert [one.feedback for one in SqlJudgements(engine).of("t-1")] == [overridden, accepted]
    assert SqlJudgements(engine).of("t-2") == []
