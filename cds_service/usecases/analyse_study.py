"""Analyse a study: guard every instance, read the pixels, run the model, keep what is likeliest.

Source: architecture "One job through the house", steps 3 and 4.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from cds_service.domain.binding import Strictness, check_patient, mismatch
from cds_service.domain.finding import (
    Analysis,
    AnalysisStatus,
    Finding,
    InstanceReason,
    PixelDigest,
    Reason,
    Timings,
)
from cds_service.domain.guards import check_header, rank
from cds_service.domain.job import JobStep
from cds_service.domain.study import InstanceHeader, PatientFacts
from cds_service.errors import (
    HostileInstance,
    OutputOutOfRange,
    PatientMismatch,
    StudyIncomplete,
    StudyUnusable,
    UnreadableInstance,
)
from cds_service.usecases.choose_images import choose_images, no_series
from cds_service.usecases.ports import (
    Classification,
    Classifier,
    ImageFinding,
    ImageReader,
    Pixels,
    SourceInstance,
)

_MOST_MISSED = 1000  # instances that a result names as missing; what an EHR states is its own


def analyse_study(
    instances: Iterable[SourceInstance],
    *,
    reader: ImageReader,
    classifier: Classifier,
    patient: PatientFacts | None = None,
    accessions: tuple[str, ...] = (),
    strictness: Strictness = Strictness.STANDARD,
    expected_study_uid: str | None = None,
    stated_instances: int | None = None,
    earlier_pixels: Iterable[PixelDigest] = (),
    on_step: Callable[[JobStep], None] = lambda _step: None,
    timer: Callable[[], float] = time.perf_counter,  # seconds
) -> Analysis:
    """Run one model on one study.

    For each finding the image in which it is likeliest decides. An instance that cannot be used is
    named in `instances` and does not refuse the others; but one image of another patient or study,
    or two different images under one UID, refuse them all. Without `patient` neither the patient
    nor the accession number is compared, with it as `strictness` says; without
    `expected_study_uid` the first instance that states one names the study. Where the EHR states
    more instances than there are, the analysis is partial. An image that decodes to other pixels
    than `earlier_pixels` say is damaged, now or then, and is not used.

    Raises InferenceFailed when the model fails; what iterating `instances` raises passes through.
    """
    binding = (patient, accessions, strictness)
    run = _Run(reader, classifier, *binding, expected_study_uid, on_step, timer, timer())
    run.earlier_pixels = tuple(earlier_pixels)
    on_step(JobStep.READING)
    use, left_out = classifier.intended_use, frozenset[int]()
    if use.series is not None:
        instances = list(instances)
        choice = choose_images(instances, reader, use, patient)
        left_out = choice.passed_over
    try:
        for place, instance in enumerate(instances):
            run.take(instance, is_wanted=place not in left_out)
    except PatientMismatch as refusal:
        run.notes.update(refusal.differs)
        return run.refused(refusal)
    except HostileInstance as refusal:
        return run.refused(refusal)
    run.miss((stated_instances or 0) - len(run.seen))
    if run.used:
        return run.analysed()
    return run.refused(no_series(choice, use) if left_out else _chief(run.refusals))


def _chief(refusals: list[StudyUnusable]) -> StudyUnusable:
    """Return the refusal that says most about the study, and among equals the most frequent."""
    if not refusals:
        return StudyIncomplete("no-instances", "it holds no image")
    best = min(map(rank, refusals))
    candidates = [refusal for refusal in refusals if rank(refusal) == best]
    code, _ = Counter(refusal.code for refusal in candidates).most_common(1)[0]
    return next(refusal for refusal in candidates if refusal.code == code)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One finding in the image in which it was likeliest so far; `place` is its position there."""

    finding: Finding
    place: int
    classification: Classification


@dataclass(slots=True)
class _Run:
    """What is known so far about the study."""

    reader: ImageReader
    classifier: Classifier
    patient: PatientFacts | None
    accessions: tuple[str, ...]
    strictness: Strictness
    study_uid: str | None
    on_step: Callable[[JobStep], None]
    timer: Callable[[], float]
    started_s: float
    likeliest: dict[str, _Candidate] = field(default_factory=dict)  # by finding code
    said: dict[tuple[str, str], float] = field(default_factory=dict)  # by SOP UID and finding code
    seen: set[str] = field(default_factory=set)  # digests
    used: set[str] = field(default_factory=set)  # digests
    reasons: list[InstanceReason] = field(default_factory=list)
    refusals: list[StudyUnusable] = field(default_factory=list)
    notes: set[str] = field(default_factory=set)
    earlier_pixels: tuple[PixelDigest, ...] = ()
    pixel_digests: list[PixelDigest] = field(default_factory=list)
    read_s: float = 0.0
    prepare_ms: float = 0.0
    infer_ms: float = 0.0

    def take(self, instance: SourceInstance, *, is_wanted: bool = True) -> None:
        """Use one instance, or note why not; raise what refuses the whole study.

        One that the model's rules leave out is only held against the patient and the study.
        """
        digest = instance.digest
        if digest in self.seen:
            return
        self.seen.add(digest)
        header: InstanceHeader | None = None
        started = self.timer()
        try:
            try:
                header = self.reader.header(instance.data)
                guards = self._identify(header)
                if not is_wanted:
                    return
                guards = (*guards, *self._check(header, instance))
                pixels = self.reader.pixels(instance.data, self._frame_of(header))
            finally:
                self.read_s += self.timer() - started
            self.notes.update(pixels.notes)
            self._hold_against_earlier(pixels, digest, self._frame_of(header))
            self._classify(header, pixels, (*guards, "pixels"))
            self.used.add(digest)
        except StudyUnusable as refusal:
            sop_uid = header.sop_uid if header else None
            self.reasons.append(InstanceReason(refusal.code, refusal.text, sop_uid, instance.path))
            self.refusals.append(refusal)
            if isinstance(refusal, PatientMismatch | HostileInstance):
                raise

    def _hold_against_earlier(self, pixels: Pixels, instance: str, frame: int) -> None:
        """Keep what was decoded; raise UnreadableInstance when it was something else before."""
        if pixels.sha256 is None:
            return
        now = PixelDigest(instance, frame, pixels.sha256, pixels.lossy_decoder)
        before = next(filter(now.contradicts, self.earlier_pixels), None)
        self.pixel_digests.append(before or now)
        if before:
            self.notes.add("pixels-differ")
            raise UnreadableInstance("damaged-pixels", "its image data are damaged")

    def _frame_of(self, header: InstanceHeader) -> int:
        """Return the number of the frame that the model reads."""
        return 1 if header.frames <= 1 else self.classifier.intended_use.frame or 1

    def _identify(self, header: InstanceHeader) -> tuple[str, ...]:
        """Return the codes of what agrees with study and patient; raise PatientMismatch."""
        if self.study_uid is None:
            self.study_uid = header.study_uid
        if header.study_uid != self.study_uid:
            raise mismatch("other-study")
        if self.patient is None:
            return ()
        binding = check_patient(header, self.patient, self.accessions, self.strictness)
        self.notes.update(binding.notes)
        return binding.proofs

    def _check(self, header: InstanceHeader, instance: SourceInstance) -> tuple[str, ...]:
        """Return the codes of the checks of the intended use; raise StudyUnusable."""
        use = self.classifier.intended_use
        return check_header(header, use, instance.overrides, self.patient)

    def _classify(self, header: InstanceHeader, pixels: Pixels, guards: tuple[str, ...]) -> None:
        if not self.likeliest:
            self.on_step(JobStep.INFERRING)
        outcome = self.classifier.classify(pixels)
        self.prepare_ms += outcome.prepare_ms
        self.infer_ms += outcome.infer_ms
        for place, said in enumerate(outcome.findings):
            if not 0.0 <= said.probability <= 1.0:  # NaN is in no range
                raise OutputOutOfRange("The model gave a value that is not a probability.")
            finding = _finding(header, self._frame_of(header), said, (*guards, *outcome.guards))
            twin = (finding.sop_uid, finding.coding.code)
            if finding.sop_uid and self.said.setdefault(twin, said.probability) != said.probability:
                raise HostileInstance("duplicate-uid", "two different images carry one identifier")
            known = self.likeliest.get(finding.coding.code)
            if known is None or finding.probability > known.finding.probability:
                self.likeliest[finding.coding.code] = _Candidate(finding, place, outcome)

    def miss(self, count: int) -> None:
        """Name the instances that the EHR counts and the archive does not have."""
        missing = StudyIncomplete("partly-in-archive", "the archive has only some of its images")
        reason = InstanceReason(missing.code, missing.text)
        self.reasons += [reason] * min(count, _MOST_MISSED)

    def analysed(self) -> Analysis:
        """Return the findings, each from the image that decides, and look for their heat there."""
        findings = tuple(map(_explained, self.likeliest.values()))
        return self._analysis(AnalysisStatus.ANALYSED, None, findings)

    def refused(self, refusal: StudyUnusable) -> Analysis:
        reason = Reason(refusal.code, refusal.text)
        return self._analysis(AnalysisStatus.NOT_ANALYSED, reason, ())

    def _analysis(
        self, status: AnalysisStatus, reason: Reason | None, findings: tuple[Finding, ...]
    ) -> Analysis:
        return Analysis(
            study_uid=self.study_uid,
            status=status,
            reason=reason,
            model=self.classifier.identity,
            findings=findings,
            instances=tuple(self.reasons),
            instance_digests=tuple(sorted(self.used)),
            timings=Timings(
                read=1000 * self.read_s,
                prepare=self.prepare_ms,
                infer=self.infer_ms,
                total=1000 * (self.timer() - self.started_s),
            ),
            notes=tuple(sorted(self.notes)),
            pixel_digests=tuple(self.pixel_digests),
        )


def _finding(
    header: InstanceHeader, frame: int, said: ImageFinding, guards: tuple[str, ...]
) -> Finding:
    return Finding(
        coding=said.coding,
        probability=said.probability,
        threshold=said.threshold,
        present=said.present,
        series_uid=header.series_uid or "",
        sop_uid=header.sop_uid or "",
        critical=said.critical,
        body_site=said.body_site,
        frame=frame,
        region=said.heat.region if said.heat else None,
        activation=said.heat.activation if said.heat else None,
        guards=guards,
    )


def _explained(candidate: _Candidate) -> Finding:
    """Add where the score comes from, unless it is known or there is nothing to point at."""
    finding, explain = candidate.finding, candidate.classification.explain
    if explain is None or finding.present is False:
        return finding
    heat = explain()[candidate.place]
    return replace(finding, activation=heat.activation, region=heat.region)
