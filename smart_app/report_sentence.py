"""The sentence that a clinician may copy into a report, built from codes and never from free text.

`MESSAGES` holds every piece of language under an id; `translate` turns an id's English text into
the reader's language.

Source: issue "A draft report sentence to copy, built from coded findings".
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from cds_service.domain.finding import Finding, ModelIdentity, score_text
from cds_service.domain.review import Review, Verdict
from cds_service.domain.vocabulary import marked

Translate = Callable[[str], str]

MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        "report.sentence": marked(
            "AI assistance (Sightline, %(model)s %(version)s): %(finding)s, "
            "score %(score)s (threshold %(threshold)s); %(review)s."
        ),
        "report.present": marked("signs of %(finding)s"),
        "report.absent": marked("no signs of %(finding)s"),
        "report.uncertain": marked("uncertain about %(finding)s"),
        "report.not-reviewed": marked("not reviewed by a clinician"),
        "report.agree": marked("reviewed by clinician: agree"),
        "report.disagree": marked("reviewed by clinician: disagree"),
        "report.disagree-because": marked("reviewed by clinician: disagree (%(reason)s)"),
        "report.wrong-place": marked("reviewed by clinician: present, but elsewhere in the image"),
    }
)
_PRESENCE = {True: "report.present", False: "report.absent", None: "report.uncertain"}


def report_sentence(
    model: ModelIdentity,
    finding: Finding,
    said: Review | None,
    *,
    translate: Translate = lambda text: text,
    decimal_sign: str = ".",
    note: str = "",
) -> str:
    """Return one sentence on one finding and what its reader said of it, and the model's label.

    said        the reader's standing verdict, None before there is one
    note        what to add about the translation itself
    translate   English text, with its %(names)s, to the same text in another language
    """

    def message(name: str, **values: str) -> str:
        return translate(MESSAGES[name]) % values

    display = translate(finding.coding.display.lower())  # German nouns keep their capital
    sentence = message(
        "report.sentence",
        model=model.id,
        version=model.version,
        finding=message(_PRESENCE[finding.present], finding=display),
        score=score_text(finding.probability).replace(".", decimal_sign),
        threshold=score_text(finding.threshold).replace(".", decimal_sign),
        review=_review_words(said, message, translate),
    )
    label = translate(model.label) if model.label else ""
    return " ".join(filter(None, (sentence, label, f"[{note}]" if note else "")))


def _review_words(said: Review | None, message: Callable[..., str], translate: Translate) -> str:
    if said is None:
        return message("report.not-reviewed")
    if said.verdict is Verdict.DISAGREE and said.reason is not None:
        reason = translate(said.reason.display.lower())
        return message("report.disagree-because", reason=reason)
    return message(f"report.{said.verdict.value}")
