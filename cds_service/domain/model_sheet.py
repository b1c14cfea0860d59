"""All that anybody may read about a model: what it is for, how good it is, what is not known.

No patient data. The questions are those of the source attributes; each has an answer, or it says
why it has none.

Source: 45 CFR 170.315(b)(11)(iv)(A) and (B) (HTI-1, 89 FR 1192), in our own words; HL7 AI
Transparency on FHIR (model card).
"""

from dataclasses import dataclass, field

from cds_service.domain.finding import Coding, ModelIdentity

NOT_STATED = "The model's package does not state it."
NOT_MEASURED_HERE = "Not yet measured here."

# Group, and the name and the question of each of its attributes: 31 in all.
ATTRIBUTES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Details and output",
        (
            ("developer", "Developer, and how to reach them"),
            ("funding", "Who paid for the development"),
            ("output_value", "Value that the model gives"),
            ("output_type", "Kind of output"),
        ),
    ),
    (
        "Purpose",
        (
            ("intended_use", "Intended use"),
            ("intended_population", "Intended patients"),
            ("intended_users", "Intended users"),
            ("role", "Role in the decision"),
        ),
    ),
    (
        "Cautioned out-of-scope use",
        (
            ("cautioned_uses", "Tasks, situations and people it is not for"),
            ("known_risks", "Known risks, unsuitable settings and limits"),
        ),
    ),
    (
        "Development and input data",
        (
            ("training_criteria", "What was included in the training data, and left out"),
            ("sensitive_inputs", "Personal and social characteristics used as input"),
            ("training_representativeness", "Whom the training data represent"),
            ("training_relevance", "How the training data relate to where the model is used"),
        ),
    ),
    (
        "Fairness in development",
        (
            ("fairness_approach", "How a fair output was sought"),
            ("bias_approach", "How bias was managed, reduced or removed"),
        ),
    ),
    (
        "External validation",
        (
            ("external_data", "Data source and setting"),
            ("external_party", "Who tested"),
            ("external_representativeness", "Whom the data represent"),
            ("external_process", "How it was tested"),
        ),
    ),
    (
        "Performance in figures",
        (
            ("internal_validity", "Validity in data of the same source"),
            ("internal_fairness", "Fairness in data of the same source"),
            ("external_validity", "Validity in other data"),
            ("external_fairness", "Fairness in other data"),
            ("outcome_references", "Evaluations of outcomes for patients"),
        ),
    ),
    (
        "Ongoing maintenance",
        (
            ("validity_monitoring", "How, and how often, validity is monitored"),
            ("local_validity", "Validity in local data"),
            ("fairness_monitoring", "How, and how often, fairness is monitored"),
            ("local_fairness", "Fairness in local data"),
        ),
    ),
    (
        "Updates",
        (
            ("updates", "How, and how often, the model is updated"),
            ("corrections", "How, and how often, its performance is corrected"),
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
