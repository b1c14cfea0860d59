"""Say which models would read a study and why, without running one: `sightline route`.

Source: docs/reference/routing.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cds_service.domain.routing import Route, routes_of
from cds_service.domain.rule import Line, explain
from cds_service.domain.series_rules import Decision
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.usecases.choose_images import Choice, choose_images
from cds_service.usecases.ports import ImageReader, SourceInstance


@dataclass(frozen=True, slots=True)
class ImageSaid:
    """One image of a series."""

    path: str | None
    refusal: str  # by the guards, a clause; "": they let it pass
    lines: tuple[Line, ...]  # of the model's rule; none: it has none
    is_read: bool


@dataclass(frozen=True, slots=True)
class SeriesSaid:
    """One series, as one model's rules see it."""

    uid: str
    decision: Decision
    images: tuple[ImageSaid, ...]


@dataclass(frozen=True, slots=True)
class ModelSaid:
    """One model, in the order in which they are asked."""

    model_id: str
    version: str
    is_asked: bool  # by what is known before any image is read
    why_not: str  # a clause; "" where it is asked
    series: tuple[SeriesSaid, ...]

    @property
    def reads(self) -> int:
        """How many images it would read."""
        return sum(image.is_read for one in self.series for image in one.images)


def explain_routing(
    routes: Sequence[Route],
    study: StudyReference,
    patient: PatientFacts | None,
    instances: Sequence[SourceInstance],
    reader: ImageReader,
) -> tuple[ModelSaid, ...]:
    """Return what every enabled model would do with the study.

    study, patient   as the EHR states them; for files what their first header states
    instances        none: only what is known before the images are read is judged
    """
    asked = routes_of(routes, study, patient)
    return tuple(
        ModelSaid(
            model_id=route.model.id,
            version=route.model.version,
            is_asked=route in asked,
            why_not=_why_not(route, route in asked, study, patient),
            series=_series(route, instances, reader, patient),
        )
        for route in routes
    )


def _why_not(
    route: Route, is_asked: bool, study: StudyReference, patient: PatientFacts | None
) -> str:
    known = route.why_not(study, patient)
    if is_asked:
        return f"{known}; asked because no other fits" if known else ""
    return known or "those before it look for the same"


def _series(
    route: Route,
    instances: Sequence[SourceInstance],
    reader: ImageReader,
    patient: PatientFacts | None,
) -> tuple[SeriesSaid, ...]:
    choice = choose_images(instances, reader, route.use, patient)
    return tuple(
        SeriesSaid(one.series.uid, one, tuple(_images(one, route, choice, instances)))
        for one in choice.decisions
    )


def _images(
    decision: Decision, route: Route, choice: Choice, instances: Sequence[SourceInstance]
) -> list[ImageSaid]:
    rule = route.use.series.rule if route.use.series else None
    return [
        ImageSaid(
            path=instances[place].path,
            refusal=image.refusal.text if image.refusal else "",
            lines=tuple(explain(rule, image.facts)) if rule else (),
            is_read=place in choice.taken,
        )
        for place, image in enumerate(choice.images)
        if image.header is not None and (image.header.series_uid or "") == decision.series.uid
    ]
