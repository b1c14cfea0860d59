"""Why a score can be believed, and how far: what was checked, what it means, how good it is.

Only what was really compared is named: a body part that the images do not state was not.

Source: DESIGN "One job through the house" (step 3, the guards); model card, `operating_point`.
"""

from cds_service.domain.finding import Finding, score_text
from smart_app.model_facts import Measured, Share

_PATIENT = {
    "patient-id": "patient number",
    "birth-date": "birth date",
    "sex": "sex",
}
_FITS = {
    "modality": "kind of image",
    "body-part": "body part",
    "view": "view",
    "age": "patient's age",
}
_QUALITY = {
    "pixels": "complete and readable",
    "size": "large enough",
    "contrast": "with contrast",
    "polarity": "black and white told by the image itself (its header contradicts itself)",
    "kind": "looks like the images it was made for",
}


def checks_of(finding: Finding) -> list[tuple[str, str]]:
    """Return the checks that the finding's image passed: what was looked at, and how it was.

    Empty for a result of an older version, which did not keep them.
    """
    groups = (
        ("Patient", "{} agree with the chart", "{} agrees with the chart", _PATIENT),
        ("Intended use", "{} fit", "{} fits", _FITS),
        ("Image quality", "{}", "{}", _QUALITY),
    )
    found = []
    for name, several, one, words in groups:
        passed = [word for code, word in words.items() if code in finding.guards]
        if passed:
            text = (one if len(passed) == 1 else several).format(_listed(passed))
            found.append((name, f"{text[0].upper()}{text[1:]}."))
    return found


def score_meaning(finding: Finding, measured: Measured | None) -> str:
    """Say what kind of number the score is."""
    name = finding.coding.display.lower()
    if measured is None:
        return f"A probability of {name} by the model's own calibration; its card has no figures."
    return (
        f"A calibrated probability: among the images that the model was measured on, "
        f"{_in_hundred(finding.probability)} of 100 with this score show {name}. There, "
        f"{_percent(measured.with_finding / measured.images)} of all images did; where {name} "
        "is rarer, the score is too high."
    )


def threshold_meaning(finding: Finding, measured: Measured | None) -> str:
    """Say how the decision at the threshold did; "" where the model card has no figures."""
    if measured is None:
        return ""
    name = finding.coding.display.lower()
    where = (
        "images of other hospitals too"
        if measured.is_external
        else "images of the hospital that it learned from; other hospitals are untested"
    )
    return (
        f"Of the images with {name}, {_share(measured.sensitivity)} were above it (sensitivity); "
        f"of those without, {_share(measured.specificity)} were not (specificity). Measured on "
        f"{measured.images} {where}."
    )


def _share(share: Share) -> str:
    """Say a share with its interval: "95 % (94-96 %)"."""
    low, high = round(100 * share.low), round(100 * share.high)
    return f"{_percent(share.value)} (95 % interval {low} to {high} %)"


def _percent(share: float) -> str:
    return f"{round(100 * share)} %"


def _in_hundred(probability: float) -> str:
    """Say a probability as a count; as for a score, never none and never all."""
    text = score_text(probability)
    if text.startswith(">"):
        return "more than 99"
    return "fewer than 1" if text.startswith("<") else f"about {round(100 * float(text))}"


def _listed(words: list[str]) -> str:
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} and {words[-1]}"
