"""Why a score can be believed, and how far: what was checked, what it means, how good it is.

Only what was really compared is named: a body part that the images do not state was not.

Source: architecture "One job through the house" (the guards); model card, `operating_point`.
"""

from cds_service.domain.finding import Finding, score_text
from cds_service.domain.vocabulary import marked
from smart_app.language import _, count_text, listed, percent_text
from smart_app.model_facts import Measured, Share

_PATIENT = {
    "patient-id": marked("patient number"),
    "birth-date": marked("birth date"),
    "sex": marked("sex"),
}
_FITS = {
    "modality": marked("kind of image"),
    "body-part": marked("body part"),
    "view": marked("view"),
    "age": marked("patient's age"),
}
_QUALITY = {
    "pixels": marked("complete and readable"),
    "size": marked("large enough"),
    "contrast": marked("with contrast"),
    "polarity": marked("black and white told by the image itself (its header contradicts itself)"),
    "kind": marked("looks like the images it was made for"),
}


def checks_of(finding: Finding) -> list[tuple[str, str]]:
    """Return the checks that the finding's image passed: what was looked at, and how it was.

    Empty for a result of an older version, which did not keep them.
    """
    groups = (
        (_("Patient"), _("{} agree with the chart"), _("{} agrees with the chart"), _PATIENT),
        (_("Intended use"), _("{} fit"), _("{} fits"), _FITS),
        (_("Image quality"), "{}", "{}", _QUALITY),
    )
    found = []
    for name, several, one, words in groups:
        passed = [_(word) for code, word in words.items() if code in finding.guards]
        if passed:
            text = (one if len(passed) == 1 else several).format(listed(passed))
            found.append((name, f"{text[0].upper()}{text[1:]}."))
    return found


def score_meaning(finding: Finding, measured: Measured | None) -> str:
    """Say what kind of number the score is."""
    name = _(finding.coding.display.lower())
    if measured is None:
        return _(
            "A probability of %(finding)s by the model's own calibration; its card has no figures.",
            finding=name,
        )
    return _(
        "A calibrated probability: among the images that the model was measured on, %(count)s of "
        "100 with this score show %(finding)s. There, %(share)s of all images did; where "
        "%(finding)s is rarer, the score is too high.",
        count=_in_hundred(finding.probability),
        finding=name,
        share=percent_text(measured.with_finding / measured.images),
    )


def threshold_meaning(finding: Finding, measured: Measured | None) -> str:
    """Say how the decision at the threshold did; "" where the model card has no figures."""
    if measured is None:
        return ""
    decided = _(
        "Of the images with %(finding)s, %(sensitivity)s were above it (sensitivity); of those "
        "without, %(specificity)s were not (specificity).",
        finding=_(finding.coding.display.lower()),
        sensitivity=_share(measured.sensitivity),
        specificity=_share(measured.specificity),
    )
    if measured.is_external:
        where = _(
            "Measured on %(count)s images of other hospitals too.",
            count=count_text(measured.images),
        )
    else:
        where = _(
            "Measured on %(count)s images of the hospital that it learned from; other hospitals "
            "are untested.",
            count=count_text(measured.images),
        )
    return f"{decided} {where}"


def _share(share: Share) -> str:
    """Say a share with its interval: "95% (95% interval 94% to 96%)"."""
    return _(
        "%(share)s (%(level)s interval %(low)s to %(high)s)",
        share=percent_text(share.value),
        level=percent_text(0.95),
        low=percent_text(share.low),
        high=percent_text(share.high),
    )


def _in_hundred(probability: float) -> str:
    """Say a probability as a count; as for a score, never none and never all."""
    text = score_text(probability)
    if text.startswith(">"):
        return _("more than 99")
    if text.startswith("<"):
        return _("fewer than 1")
    return _("about %(count)s", count=round(100 * float(text)))
