"""Which of the enabled models a study goes to: those whose intended use and rules fit.

Only what is known can exclude a model; the guards look at the images themselves later.

Source: docs/reference/models.md, "Which model reads a study".
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cds_service.domain.finding import ModelIdentity
from cds_service.domain.guards import IntendedUse
from cds_service.domain.imaging_terms import region_of
from cds_service.domain.series_rules import SeriesRules, facts_before
from cds_service.domain.study import PatientFacts, StudyReference


@dataclass(frozen=True, slots=True)
class Route:
    """An enabled model, as far as choosing it needs it."""

    model: ModelIdentity
    use: IntendedUse
    looks_for: frozenset[str] = frozenset()  # codes of its findings

    def fits(self, study: StudyReference, patient: PatientFacts | None) -> bool:
        """Tell whether nothing known of the study is outside the model's intended use."""
        return not self.why_not(study, patient)

    def why_not(self, study: StudyReference, patient: PatientFacts | None) -> str:
        """Return what is known against this model, as a clause; "" where nothing is."""
        use, region = self.use, region_of(study)
        if study.modalities and use.modalities.isdisjoint(study.modalities):
            return "another modality"
        if region and use.body_parts and region.upper() not in use.body_parts:
            return "another body part"
        if use.series is not None and not self._may_take_one(use.series, study, patient):
            return "its rules exclude every series"
        birth = patient.birth_date if patient else None
        if birth is None or study.started is None:
            return ""
        age = (study.started.date() - birth).days
        return "" if use.min_age_days <= age <= use.max_age_days else "another age"

    @staticmethod
    def _may_take_one(
        rules: SeriesRules, study: StudyReference, patient: PatientFacts | None
    ) -> bool:
        """Tell whether the rules leave at least one series, as far as the EHR describes them."""
        series = study.series or (None,)
        return any(not rules.excludes(facts_before(study, one, patient)) for one in series)


def routes_of(
    routes: Sequence[Route], study: StudyReference, patient: PatientFacts | None
) -> tuple[Route, ...]:
    """Return the models that read this study, in the order in which they are asked.

    Each that fits does, unless those before it look for everything that it looks for: they are
    another version of the same. Where none fits, the first of all: its refusal is what people
    read.
    """
    chosen: list[Route] = []
    for route in routes:
        covered = frozenset[str]().union(*(one.looks_for for one in chosen))
        if route.fits(study, patient) and (not chosen or route.looks_for - covered):
            chosen.append(route)
    return tuple(chosen) or (routes[0],)
