"""The scores of a card: every one of a few findings, of many those that are present or unsure.

Source: architecture "What a card says".
"""

from collections.abc import Sequence

from cds_service.domain.finding import Finding, score_text
from cds_service.usecases.card_language import Words
from cds_service.usecases.card_words import finding_name, finding_title, labelled, markdown

MAX_SCORES = 4  # findings that are all told with their scores


def scores(findings: Sequence[Finding], words: Words) -> list[str]:
    """Say the scores; of many findings, those that are absent by name only."""
    absent = [one for one in findings if one.present is False]
    is_short = len(findings) <= MAX_SCORES
    lines = [
        f"**{markdown(finding_title(one.coding.display, words))}:** {_score(one, words)}"
        for one in findings
        if is_short or one.present is not False
    ]
    if absent and not is_short:
        names = ", ".join(markdown(finding_name(one.coding.display, words)) for one in absent)
        lines.append(labelled(words.gettext("Below their thresholds:"), names))
    return lines


def _score(finding: Finding, words: Words) -> str:
    return words.gettext(
        "score %(score)s, threshold %(threshold)s",
        score=markdown(words.number(score_text(finding.probability))),
        threshold=words.number(f"{finding.threshold:.2f}"),
    )
