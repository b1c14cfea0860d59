"""The `sightline analyze` command: DICOM files or folders to findings, without any EHR.

Source: docs/reference/analyze.md, the public contract of this command.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table
from rich.text import Text

from cds_service.domain.finding import Analysis, AnalysisStatus, Finding, Reason, score_text
from cds_service.domain.guards import age_in_days
from cds_service.domain.study import HeaderOverrides
from cds_service.errors import SightlineError
from cds_service.usecases.analyse_study import analyse_study

if TYPE_CHECKING:  # the decoders load only when the command runs
    from cds_service.adapters.dicom_files import FileStudy
    from cds_service.adapters.pixels import DicomReader
    from cds_service.adapters.runtime import OnnxClassifier

MODEL_ID = "cxr_pneumonia_peds"
_MANY = 3  # studies; more get a progress bar
_ERROR = "error"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one study."""

    paths: tuple[str, ...]
    status: str  # analysed, not_analysed, error
    reason: Reason | None = None
    analysis: Analysis | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the public shape (docs/reference/analyze.md)."""
        done = self.analysis
        timings = done.timings if done else None
        return {
            "path": list(self.paths),
            "study_uid": done.study_uid if done else None,
            "status": self.status,
            "reason": {"code": self.reason.code, "text": self.reason.text} if self.reason else None,
            "instances": [
                {"path": reason.path, "code": reason.code, "text": reason.text}
                for reason in (done.instances if done else ())
            ],
            "model": {
                "id": done.model.id,
                "version": done.model.version,
                "digest": done.model.digest,
            }
            if done
            else None,
            "findings": [_finding_json(finding) for finding in (done.findings if done else ())],
            "timings_ms": {
                name: round(getattr(timings, name), 3) if timings else 0.0
                for name in ("read", "prepare", "infer", "total")
            },
        }


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.coding.code,
        "system": finding.coding.system,
        "display": finding.coding.display,
        "probability": finding.probability,
        "threshold": finding.threshold,
        "present": finding.present,
        "series_uid": finding.series_uid or None,
        "sop_uid": finding.sop_uid or None,
    }


class _Age(click.ParamType[int]):
    """A DICOM age string, as days."""

    name = "age"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        days = age_in_days(str(value))
        if days is None:
            self.fail("an age looks like 003Y, 018M, 040W or 010D", param, ctx)
        return days


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(readable=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object per study and line.")
@click.option(
    "--heatmap",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a PNG with the heatmap of each analysed study into this folder.",
)
@click.option("--patient-age", type=_Age(), help="Where a header lacks it, such as 003Y or 018M.")
@click.option("--view", help="Where a header lacks it, such as AP or PA.")
@click.option("--modality", help="Where a header lacks it, such as CR or DX.")
@click.option("--body-part", help="Where a header lacks it, such as CHEST.")
@click.option("--model", default=MODEL_ID, show_default=True, help="Id of the model to run.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Folder of the installation whose imported models may be run.",
)
def analyze(
    paths: tuple[Path, ...],
    as_json: bool,
    heatmap: Path | None,
    patient_age: int | None,
    view: str | None,
    modality: str | None,
    body_part: str | None,
    model: str,
    data: Path | None,
) -> None:
    """Look for findings in DICOM files and folders, without any EHR.

    Exit code 0: all analysed. 1: some study was not analysed. 2: some study failed by our fault.
    """
    overrides = HeaderOverrides(patient_age, view, modality, body_part)
    outcomes = []
    for outcome in _Bench.open(heatmap, overrides, model, data).outcomes(paths):
        outcomes.append(outcome)
        if as_json:
            click.echo(_line(outcome))
    if outcomes and not as_json:
        _print_table(outcomes)
    statuses = {outcome.status for outcome in outcomes}
    sys.exit(2 if _ERROR in statuses else 1 if AnalysisStatus.NOT_ANALYSED in statuses else 0)


def _line(outcome: Outcome) -> bytes:
    """Return the study's line of JSON, UTF-8 whatever the terminal is."""
    text = json.dumps(outcome.as_json(), ensure_ascii=False)
    # A file name may hold bytes that are no UTF-8; Python's escape for them is JSON's too.
    return text.encode("utf-8", "backslashreplace")


@dataclass(slots=True)
class _Bench:
    """The parts of one run; `fault` says why there is no model."""

    reader: "DicomReader"
    classifier: "OnnxClassifier | None"
    fault: Reason | None
    overrides: HeaderOverrides
    heatmaps: Path | None
    written: set[str] = field(default_factory=set)

    @classmethod
    def open(
        cls, heatmaps: Path | None, overrides: HeaderOverrides, model: str, data: Path | None
    ) -> "_Bench":
        from cds_service.adapters.model_shelf import ModelShelf
        from cds_service.adapters.pixels import DicomReader
        from cds_service.adapters.runtime import OnnxClassifier

        classifier, fault = None, None
        try:
            classifier = OnnxClassifier(ModelShelf(data, MODEL_ID).package(model))
        except SightlineError as error:
            fault = _fault(error)
        return cls(DicomReader(), classifier, fault, overrides, heatmaps)

    def outcomes(self, named: tuple[Path, ...]) -> Iterator[Outcome]:
        from cds_service.adapters.dicom_files import find_studies

        found = find_studies(named, self.reader)
        if found.skipped:
            files = "file" if found.skipped == 1 else "files"
            click.echo(f"{found.skipped} other {files} skipped", err=True)
        if not found.studies:
            click.echo("no DICOM files found", err=True)
        console = Console(stderr=True)
        with Progress(
            console=console,
            disable=len(found.studies) <= _MANY,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as progress:
            for study in progress.track(found.studies, description="Analysing"):
                yield self._outcome(study)

    def _outcome(self, study: "FileStudy") -> Outcome:
        """Analyse one study; whatever goes wrong on our side is its outcome, never a traceback."""
        paths = tuple(map(str, study.paths))
        if study.problem:
            return Outcome(paths, AnalysisStatus.NOT_ANALYSED, study.problem)
        if fault := study.fault or self.fault:
            return Outcome(paths, _ERROR, fault)
        try:
            return self._analysed(study, paths)
        except SightlineError as error:
            return Outcome(paths, _ERROR, _fault(error))
        except OSError:
            fault = Reason("file-error", "a file could not be read or written")
            return Outcome(paths, _ERROR, fault)
        except Exception as error:  # the outermost frame: the class is told, its text may be PHI
            fault = Reason("internal-error", f"an unexpected failure ({type(error).__name__})")
            return Outcome(paths, _ERROR, fault)

    def _analysed(self, study: "FileStudy", paths: tuple[str, ...]) -> Outcome:
        if self.classifier is None:
            raise RuntimeError("there is no model")
        analysis = analyse_study(
            study.instances(self.overrides), reader=self.reader, classifier=self.classifier
        )
        if self.heatmaps is not None:
            refused = {reason.path for reason in analysis.instances}
            for finding in analysis.findings:
                usable = [path for path in study.paths if str(path) not in refused]
                source = self._source(usable, finding)
                self._draw(source, finding, self.heatmaps, analysis.model.label)
        return Outcome(paths, analysis.status, analysis.reason, analysis)

    def _draw(self, source: Path, finding: Finding, folder: Path, label: str) -> None:
        from cds_service.adapters.heatmap import heatmap_png

        if finding.activation is None:
            return
        image = self.reader.pixels(source.read_bytes(), finding.frame)
        shown = image.negative if "negative" in finding.guards else image
        png = heatmap_png(shown, finding.activation, label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self._name(source, finding)).write_bytes(png)

    def _source(self, usable: list[Path], finding: Finding) -> Path:
        """Return the file that holds the finding's image."""
        for path in usable[:-1]:
            if self.reader.header(path.read_bytes()).sop_uid == finding.sop_uid:
                return path
        return usable[-1]

    def _name(self, source: Path, finding: Finding) -> str:
        stem = re.sub(r"[^\w.-]+", "_", f"{source.stem}-{finding.coding.display.lower()}")
        name, number = f"{stem}.png", 1
        while name in self.written:
            number += 1
            name = f"{stem}-{number}.png"
        self.written.add(name)
        return name


def _fault(error: SightlineError) -> Reason:
    """Return a stable code (the class's name with dashes) and its sentence as a clause."""
    words = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
    return Reason(words, str(error).rstrip("."))


def _print_table(outcomes: list[Outcome]) -> None:
    table = Table(Column("Study", overflow="fold"), "AI score", "Threshold", "Result")
    for outcome in outcomes:
        more = f" (+{len(outcome.paths) - 1})" if outcome.paths[1:] else ""
        name = Text(Path(outcome.paths[0]).name + more)
        if outcome.reason:
            verb = "failed" if outcome.status == _ERROR else "not analysed"
            table.add_row(name, "", "", Text(f"{verb}: {outcome.reason.text}"))
        for finding in outcome.analysis.findings if outcome.analysis else ():
            score, threshold = score_text(finding.probability), score_text(finding.threshold)
            table.add_row(name, score, threshold, Text(_verdict(finding)))
    console = Console()
    console.print(table)
    if label := next((done.analysis.model.label for done in outcomes if done.analysis), None):
        console.print(Text(label))


def _verdict(finding: Finding) -> str:
    what = finding.coding.display.lower()
    if finding.present is None:
        return f"uncertain about {what}, the AI cannot tell"
    return f"signs of {what}" if finding.present else f"no signs of {what} found"
