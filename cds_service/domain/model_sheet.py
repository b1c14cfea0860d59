"""All that anybody may read about a model: what it is for, how good it is, what is not known.

No patient data. The questions are those of the source attributes; each has an answer, or it says
why it has none.

Source: 45 CFR 170.315(b)(11)(iv)(A) and (B) (HTI-1, 89 FR 1192), in our own words; HL7 AI
Transparency on FHIR (model card).
"""

from dataclasses import dataclass, field

from cds_service.domain.finding import Coding, ModelIdentity
from cds_service.domain.vocabulary import marked

NOT_STATED = marked("The model's package does not state it.")
NOT_MEASURED_HERE = marked("Not yet measured here.")

# Group, and the name and the question of each of its attributes: 31 in all.
ATTRIBUTES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        marked("Details and output"),
        (
            ("developer", marked("Developer, and how to reach them")),
            ("funding", marked("Who paid for the development")),
            ("output_value", marked("Value that the model gives")),
            ("output_type", marked("Kind of output")),
        ),
    ),
    (
        marked("Purpose"),
        (
            ("intended_use", marked("Intended use")),
            ("intended_population", marked("Intended patients")),
            ("intended_users", marked("Intended users")),
            ("role", marked("Role in the decision")),
        ),
    ),
    (
        marked("Cautioned out-of-scope use"),
        (
            ("cautioned_uses", marked("Tasks, situations and people it is not for")),
            ("known_risks", marked("Known risks, unsuitable settings and limits")),
        ),
    ),
    (
        marked("Development and input data"),
        (
            ("training_criteria", marked("What was included in the training data, and left out")),
            ("sensitive_inputs", marked("Personal and social characteristics used as input")),
            ("training_representativeness", marked("Whom the training data represent")),
            (
                "training_relevance",
                marked("How the training data relate to where the model is used"),
            ),
        ),
    ),
    (
        marked("Fairness in development"),
        (
            ("fairness_approach", marked("How a fair output was sought")),
            ("bias_approach", marked("How bias was managed, reduced or removed")),
        ),
    ),
    (
        marked("External validation"),
        (
            ("external_data", marked("Data source and setting")),
            ("external_party", marked("Who tested")),
            ("external_representativeness", marked("Whom the data represent")),
            ("external_process", marked("How it was tested")),
        ),
    ),
    (
        marked("Performance in figures"),
        (
            ("internal_validity", marked("Validity in data of the same source")),
            ("internal_fairness", marked("Fairness in data of the same source")),
            ("external_validity", marked("Validity in other data")),
            ("external_fairness", marked("Fairness in other data")),
            ("outcome_references", marked("Evaluations of outcomes for patients")),
        ),
    ),
    (
        marked("Ongoing maintenance"),
        (
            ("validity_monitoring", marked("How, and how often, validity is monitored")),
            ("local_validity", marked("Validity in local data")),
            ("fairness_monitoring", marked("How, and how often, fairness is monitored")),
            ("local_fairness", marked("Fairness in local data")),
        ),
    ),
    (
        marked("Updates"),
        (
            ("updates", marked("How, and how often, the model is updated")),
            ("corrections", marked("How, and how often, its performance is corrected")),
        ),
    ),
)
LOCAL = frozenset({"local_validity", "local_fairness"})  # a package cannot know them


@dataclass(frozen=True, slots=True)
class Attribute:
    """One question and its answer; `number` counts through all groups, from 1."""

    number: int
    name: str
    question: str
    answer: str  # "" where nobody has answered

    @property
    def words(self) -> str:
        """The answer, or why there is none."""
        return self.answer or (NOT_MEASURED_HERE if self.name in LOCAL else NOT_STATED)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number with its 95 % interval, where it has one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """The number: a share with four decimals, a count with none."""
        return f"{self.value:.4f}" if self.value <= 1 else f"{self.value:.0f}"

    @property
    def interval(self) -> str:
        """The 95 % interval: "0.9936 to 0.9961"; "" without one."""
        if self.low is None or self.high is None:
            return ""
        return f"{self.low:.4f} to {self.high:.4f}"

    @property
    def words(self) -> str:
        """Name, number and interval: "AUC 0.9949 (95 % interval 0.9936 to 0.9961)"."""
        said = f"{self.name} {self.text}"
        return f"{said} (95 % interval {self.interval})" if self.interval else said


@dataclass(frozen=True, slots=True)
class FigureTable:
    """Measured figures that belong together; each row has a cell for each heading but the first."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    method: str = ""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Where the model decides about one finding: calibrated probabilities, 0..1."""

    finding: Coding
    threshold: float
    abstain_low: float
    abstain_high: float


@dataclass(frozen=True, slots=True)
class ModelSheet:
    """One version of one model, for everybody to read."""

    identity: ModelIdentity
    developer: str
    scope: str  # "frontal chest X-rays of children aged 1-5"
    does_not_look_for: tuple[str, ...]
    limits: tuple[str, ...]
    points: tuple[OperatingPoint, ...]
    point_method: str  # how the operating point was chosen; "": not stated
    figures: tuple[Figure, ...]  # the overall ones
    figures_method: str
    tables: tuple[FigureTable, ...]
    training_data: tuple[tuple[str, str], ...]  # name and text
    citations: tuple[str, ...]
    answers: dict[str, str] = field(default_factory=dict)  # by attribute name
    facts: dict[str, str] = field(default_factory=dict)  # what other card formats ask for
    keywords: tuple[str, ...] = ()

    @property
    def groups(self) -> tuple[tuple[str, tuple[Attribute, ...]], ...]:
        """Return every attribute, in its group."""
        found, number = [], 0
        for title, questions in ATTRIBUTES:
            group = []
            for name, question in questions:
                number += 1
                group.append(Attribute(number, name, question, self.answers.get(name, "")))
            found.append((title, tuple(group)))
        return tuple(found)

    def words(self, name: str) -> str:
        """Return the words about one attribute; raise KeyError for a name that is none."""
        every = {one.name: one.words for _, group in self.groups for one in group}
        return every[name]
