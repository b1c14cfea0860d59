"""Which of the enabled models a study goes to: the first one whose intended use fits.

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

    def fits(self, study: StudyReference, patient: PatientFacts | None) -> bool:
        """Tell whether nothing known of the study is outside the model's intended use."""
        use, region = self.use, region_of(study)
        if study.modalities and use.modalities.isdisjoint(study.modalities):
            return False
        if region and use.body_parts and region.upper() not in use.body_parts:
            return False
        if use.series is not None and not self._may_take_one(use.series, study, patient):
            return False
        birth = patient.birth_date if patient else None
        if birth is None or study.started is None:
            return True
        return use.min_age_days <= (study.started.date() - birth).days <= use.max_age_days

    @staticmethod
    def _may_take_one(
        rules: SeriesRules, study: StudyReference, patient: PatientFacts | None
    ) -> bool:
        """Tell whether the rules leave at least one series, as far as the EHR describes them."""
        series = study.series or (None,)
        return any(not rules.excludes(facts_before(study, one, patient)) for one in series)


def route_of(routes: Sequence[Route], study: StudyReference, patient: PatientFacts | None) -> Route:
    """Return the first that fits, else the first of all: its refusal is what people read."""
    return next((route for route in routes if route.fits(study, patient)), routes[0])
