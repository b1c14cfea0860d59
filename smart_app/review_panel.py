"""What the page shows of a finding's reviews: who said what, and how far it is in the chart.

Source: architecture "every state is designed"; issue "Review" (in the chart, or why not).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cds_service.domain.finding import Finding, Result
from cds_service.domain.review import Review, ReviewWrite, Verdict, WriteState, standing
from cds_service.domain.smart_scope import allows
from cds_service.domain.vocabulary import marked
from cds_service.usecases.publish_findings import why_not_written
from smart_app.language import _, report_words
from smart_app.open_launch import OpenLaunch
from smart_app.report_sentence import report_sentence
from smart_app.scopes import LaunchKind

NOT_A_CLINICIAN = marked("Only a clinician whom the EHR names can review a finding.")
NOT_A_REVIEWER = marked(
    "This hospital lets other clinicians review findings. Your EHR administrator can say whom."
)
NO_SCOPE = marked(
    "The EHR did not grant this sign-in to read Observations (patient/Observation.rs), so nothing "
    "about them can be changed from here. Tell your EHR administrator."
)
NO_USER_SCOPE = marked(
    "The EHR did not grant this sign-in to read Observations (user/Observation.rs), so nothing "
    "about them can be changed from here. Tell your EHR administrator."
)
_IN_CHART = {
    None: marked("taken back: in the chart as preliminary again."),
    Verdict.AGREE: marked("in the chart as final, verified by you."),
    Verdict.WRONG_PLACE: marked(
        "in the chart as final, verified by you, with a note on the place."
    ),
    Verdict.DISAGREE: marked("in the chart as entered in error, with your reason."),
}


@dataclass(frozen=True, slots=True)
class ReviewPanel:
    """One finding's reviews as its reader meets them."""

    said: Review | None  # the reader's standing verdict
    comment: str | None  # the reader's newest comment that was not taken back
    was_withdrawn: bool
    other: Review | None  # another clinician's verdict, where that one stands
    progress: str | None  # "saved; being written to the chart"; None: nothing to tell
    is_waiting: bool
    report: str


def why_no_review(launch: OpenLaunch) -> str | None:
    """Return why this user cannot review here, None who can."""
    if not launch.session.facts.may_review:
        return NOT_A_CLINICIAN
    if not launch.tenant.lets_review(launch.session.fhir_user, launch.session.roles):
        return NOT_A_REVIEWER
    if allows(launch.session.scope, "Observation", "r"):
        return None
    return NO_USER_SCOPE if launch.session.kind is LaunchKind.USER else NO_SCOPE


def review_panels(launch: OpenLaunch, result: Result) -> dict[str, ReviewPanel]:
    """Return the panel of each finding of this result, by finding code."""
    reviews = launch.house.reviews.of(result.id)
    write = launch.house.review_writes.of(result.id)
    return {
        finding.coding.code: _panel(launch, result, finding, reviews, write)
        for finding in result.analysis.findings
    }


def _panel(
    launch: OpenLaunch,
    result: Result,
    finding: Finding,
    reviews: Sequence[Review],
    write: ReviewWrite | None,
) -> ReviewPanel:
    code = finding.coding.code
    mine = [
        one
        for one in reviews
        if one.finding_code == code and one.reviewer == launch.session.fhir_user
    ]
    said = standing(mine).get(code)
    stands = standing(reviews).get(code)
    judged = [one for one in mine if one.verdict is not Verdict.COMMENT]
    progress, is_waiting = (
        _progress(launch, result, said, stands, write) if judged else (None, False)
    )
    return ReviewPanel(
        said=said,
        comment=_comment(mine),
        was_withdrawn=bool(judged) and judged[-1].verdict is Verdict.WITHDRAWN,
        other=stands if stands is not None and stands not in mine else None,
        progress=progress,
        is_waiting=is_waiting,
        report=report_sentence(result.analysis.model, finding, said, **report_words(launch.tenant)),
    )


def _comment(mine: Sequence[Review]) -> str | None:
    comment = None
    for one in mine:
        comment = None if one.verdict is Verdict.WITHDRAWN else one.comment or comment
    return comment


def _progress(
    launch: OpenLaunch,
    result: Result,
    said: Review | None,
    stands: Review | None,
    write: ReviewWrite | None,
) -> tuple[str | None, bool]:
    """Say how far it is, and whether that is still changing."""
    unwanted = why_not_written(result, launch.tenant)
    if unwanted is not None or write is None:
        why = _(unwanted) if unwanted else _("this EHR took none when it was said")
        return _("Saved in Sightline. Not written to the chart: %(why)s.", why=why), False
    if write.state is WriteState.WAITING:
        if write.error is None:
            return _("Saved; being written to the chart."), True
        told = _(
            "Saved; the EHR did not take it yet (%(error)s). It is tried again.", error=write.error
        )
        return told, True
    if write.state is WriteState.DONE:
        if stands is not said:
            return _("Saved; another clinician's newer verdict is in the chart."), False
        where = _(_IN_CHART[said.verdict if said else None])
        return _("Saved; %(where)s", where=where), False
    why = "; ".join(map(_lost_text, write.lost)) or _("the EHR refused it")
    return _("Saved in Sightline. Not in the chart: %(why)s.", why=why), False


def _lost_text(lost: str) -> str:
    """Say why something is not in the chart; the name of an error stays as it is."""
    why, colon, name = lost.partition(": ")
    return f"{_(why)}{colon}{name}"
