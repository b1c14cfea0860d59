"""A model as CHAI's Applied Model Card, schema version 0.2 (XML).

CHAI publishes an XML schema and no JSON form. The schema's elements come in a fixed order.

Source: Coalition for Health AI, `coalition-for-health-ai/mc-schema`, v0.2/schema.xsd.
"""

import json
from collections.abc import Iterable
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from cds_service.domain.model_sheet import NOT_STATED, Figure, ModelSheet

NAMESPACE = "https://mc.chai.org/v0.2/schema.xsd"

_Node = tuple[str, "str | tuple[_Node, ...]"]


def chai_card(sheet: ModelSheet, *, page_url: str) -> bytes:
    """Return the document, UTF-8; what nobody has stated says so, for the schema wants a text."""
    root = Element("AppliedModelCard", {"xmlns": NAMESPACE})
    _fill(root, _sections(sheet, page_url))
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))


def _sections(sheet: ModelSheet, page_url: str) -> tuple[_Node, ...]:
    return (
        (
            "BasicInfo",
            (
                ("ModelName", sheet.identity.title or sheet.identity.id),
                ("ModelDeveloper", sheet.developer),
                ("DeveloperContact", sheet.words("developer")),
            ),
        ),
        (
            "ReleaseInfo",
            (
                ("ReleaseStage", _fact(sheet, "release_stage")),
                ("ReleaseDate", _fact(sheet, "released")),
                ("ReleaseVersion", sheet.identity.version),
                ("GlobalAvailability", _fact(sheet, "availability")),
                ("RegulatoryApproval", _fact(sheet, "regulatory_approval")),
            ),
        ),
        (
            "ModelSummary",
            (
                ("Summary", f"{sheet.words('intended_use')}\n\n{sheet.identity.label}"),
                ("Keywords", tuple(("Keyword", word) for word in sheet.keywords)),
            ),
        ),
        (
            "UsesAndDirections",
            (
                ("IntendedUseAndWorkflow", _both(sheet, "intended_use", "role")),
                ("PrimaryIntendedUsers", sheet.words("intended_users")),
                ("HowToUse", _fact(sheet, "how_to_use")),
                ("TargetedPatientPopulation", sheet.words("intended_population")),
                ("CautionedOutOfScopeSettings", sheet.words("cautioned_uses")),
            ),
        ),
        (
            "Warnings",
            (
                ("KnownRisksAndLimitations", _listed((sheet.words("known_risks"), *sheet.limits))),
                ("KnownBiasesOrEthicalConsiderations", sheet.words("bias_approach")),
                ("ClinicalRiskLevel", _fact(sheet, "clinical_risk")),
            ),
        ),
        ("TrustIngredients", (_facts(sheet, page_url), _transparency(sheet))),
        ("KeyMetrics", _metrics(sheet)),
        (
            "Resources",
            (
                ("EvaluationReferences", page_url),
                ("PeerReviewedPublications", sheet.words("outcome_references")),
                ("ReimbursementStatus", _fact(sheet, "reimbursement")),
                ("PatientConsentOrDisclosure", _fact(sheet, "consent")),
            ),
        ),
        ("Bibliography", _bibtex(sheet.citations)),
    )


def _facts(sheet: ModelSheet, page_url: str) -> _Node:
    return (
        "AISystemFacts",
        (
            ("OutcomesAndOutputs", _both(sheet, "output_value", "output_type")),
            ("ModelType", _fact(sheet, "model_type")),
            ("FoundationModels", _fact(sheet, "foundation_models")),
            ("InputDataSource", f"DICOM images: {sheet.scope}"),
            ("OutputAndInputDataTypes", _both(sheet, "output_value", "sensitive_inputs")),
            (
                "DevelopmentDataCharacterization",
                _both(sheet, "training_criteria", "training_representativeness"),
            ),
            ("BiasMitigationApproaches", _both(sheet, "fairness_approach", "bias_approach")),
            ("OngoingMaintenance", _both(sheet, "validity_monitoring", "updates", "corrections")),
            ("Security", _fact(sheet, "security")),
            ("Transparency", f"{_fact(sheet, 'transparency')}\n\n{page_url}"),
        ),
    )


def _transparency(sheet: ModelSheet) -> _Node:
    return (
        "TransparencyInformation",
        (
            ("FundingSource", sheet.words("funding")),
            ("ThirdPartyInformation", _fact(sheet, "third_parties")),
            ("StakeholdersConsulted", _fact(sheet, "stakeholders")),
        ),
    )


def _metrics(sheet: ModelSheet) -> tuple[_Node, ...]:
    """Return the three groups; the schema wants a result in each, so what is missing is null."""
    external = _both(sheet, "external_data", "external_validity")
    return (
        _metric(
            "UsefulnessUsabilityEfficacy",
            "Tell images with the finding from images without",
            sheet.figures,
            external,
            sheet,
        ),
        _metric(
            "FairnessEquity",
            "Find whether performance differs between groups of people",
            (),
            _both(sheet, "internal_fairness", "external_fairness", "local_fairness"),
            sheet,
        ),
        _metric(
            "SafetyReliability",
            "Find whether performance holds where the model is used",
            (),
            _both(sheet, "validity_monitoring", "local_validity"),
            sheet,
        ),
    )


def _metric(
    name: str, goal: str, figures: Iterable[Figure], interpretation: str, sheet: ModelSheet
) -> _Node:
    results = tuple(_result(figure) for figure in figures) or (
        ("MetricResult", (("Label", "Not measured"), ("ValueJson", "null"))),
    )
    method = sheet.figures_method or NOT_STATED
    return (
        name,
        (
            ("MetricGoal", goal),
            ("Results", results),
            ("Interpretation", interpretation),
            ("TestType", method if figures else "None"),
            ("TestingDataDescription", sheet.words("training_representativeness")),
            ("ValidationProcessAndJustification", method),
        ),
    )


def _result(figure: Figure) -> _Node:
    """Return one figure, in the form that CHAI's own examples have in `ValueJson`."""
    value: dict[str, object] = {"kind": "single", "value": figure.value}
    if figure.low is not None and figure.high is not None:
        value = {
            "kind": "estimate_ci",
            "estimate": figure.value,
            "lower": figure.low,
            "upper": figure.high,
            "level": 95,
        }
    return ("MetricResult", (("Label", figure.name), ("ValueJson", json.dumps(value))))


def _fact(sheet: ModelSheet, name: str) -> str:
    return sheet.facts.get(name) or NOT_STATED


def _both(sheet: ModelSheet, *names: str) -> str:
    return "\n\n".join(dict.fromkeys(sheet.words(name) for name in names))


def _listed(texts: Iterable[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)


def _bibtex(citations: Iterable[str]) -> str:
    """Return each citation as a BibTeX entry of the kind that takes a free text."""
    return "\n".join(
        f"@misc{{source{number}, note = {{{text}}}}}" for number, text in enumerate(citations, 1)
    )


def _fill(parent: Element, nodes: Iterable[_Node]) -> None:
    for name, content in nodes:
        child = SubElement(parent, name)
        if isinstance(content, str):
            child.text = content
        else:
            _fill(child, content)
