"""Which results of a study stand, when several models have read it, some of them again.

A result takes the place of an older one of the same model, and of another model's when it looked
for everything that the other looked for: of two versions of a model the one that read last speaks,
and what only one of two models looked for is never lost.

Source: docs/reference/routing.md; architecture "Three keys".
"""

from collections.abc import Iterable, Sequence

from cds_service.domain.binding import MISMATCH_CODES
from cds_service.domain.finding import AnalysisStatus, Result


def standing_results(results: Iterable[Result]) -> tuple[Result, ...]:
    """Return those of one study that stand, the newest first.

    A refusal stands beside another model's findings only when the images may be somebody else's:
    that a second model is not made for them says nothing about the first.
    """
    kept: list[Result] = []
    for one in sorted(results, key=lambda result: result.computed_at, reverse=True):
        if not any(_takes_the_place(newer, one) for newer in kept):
            kept.append(one)
    is_analysed = any(one.analysis.status is AnalysisStatus.ANALYSED for one in kept)
    said = [one for one in kept if not is_analysed or not _is_idle(one)]
    return tuple(said) if is_analysed else tuple(said[:1])


def standing_for(model_id: str | None, results: Sequence[Result]) -> Result | None:
    """Return what one model said of a study, or what took its place, else the newest that stands.

    A refusal of its own is returned also where it does not stand: somebody asked for it.
    """
    own = [one for one in results if one.analysis.model.id == model_id]
    stands = standing_results(results)
    if not own or own[0] in stands:
        return own[0] if own else next(iter(stands), None)
    return next((one for one in stands if _takes_the_place(one, own[0])), own[0])


def codes_of(result: Result) -> frozenset[str]:
    """Return the codes of what was looked for; none where nothing was analysed."""
    return frozenset(finding.coding.code for finding in result.analysis.findings)


def _takes_the_place(newer: Result, older: Result) -> bool:
    if newer.analysis.model.id == older.analysis.model.id:
        return True
    looked_for = codes_of(older)
    return bool(looked_for) and looked_for <= codes_of(newer)


def _is_idle(result: Result) -> bool:
    reason = result.analysis.reason
    return reason is not None and reason.code not in MISMATCH_CODES
