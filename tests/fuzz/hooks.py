"""Strategies for hooks: right but for one place, half right, and nothing like one.

A value is junk, or shaped like FHIR with junk in it: what is shaped gets further into the service.
"""

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.installed import FHIR_BASE
from tests.web.ehr_client import a_hook_body

Json = Any

Strategy = st.SearchStrategy[Json]


def mostly(good: Strategy, bad: Strategy) -> Strategy:
    """Choose the good one seven times of eight: one fault per document gets further than ten."""
    return st.integers(0, 7).flatmap(lambda number: bad if number == 7 else good)


TEXT = st.text(max_size=40)
NAMES = TEXT | st.sampled_from(["id", "entry", "resource", "link", "series", "uid", "modality"])
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JUNK = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
HUGE = st.sampled_from(
    [
        "x" * 300_000,
        "\U0001f9b4" * 50_000,
        "\u202e\u200f" * 500,
        10**300,
        -1,
        1e308,
        [{}] * 20_000,
        {str(n): n for n in range(5_000)},
        {"a": {"a": {"a": {"a": [[[[[["deep"]]]]]]}}}},
    ]
)
# What no database, or not every one, takes as text; and what leads elsewhere.
ODD = st.sampled_from(["\ud800", "a\0b", "", "../x", "a\nb", "<script>", "{{context.x}}", "1;--"])
ANYTHING = JUNK | ODD | HUGE

OIDS = st.sampled_from(["urn:oid:1.2.840.99999.1", "1.2.3", "urn:oid:1..2", "urn:oid:" + "1" * 80])
DATES = st.sampled_from(
    [*["2026-01-02T08:30:00Z"] * 4, "2026", "9999-12-31", "0000-00-00", "now", ""]
)
OUTCOMES = st.fixed_dictionaries(
    {"resourceType": st.just("OperationOutcome")},
    optional={
        "issue": JUNK
        | st.lists(
            st.fixed_dictionaries(
                {
                    "severity": mostly(
                        st.sampled_from(["fatal", "error", "warning", "information"]), JUNK
                    )
                }
            ),
            max_size=3,
        )
    },
)
PATIENTS = st.fixed_dictionaries(
    {"resourceType": st.just("Patient"), "id": mostly(st.just("p-1"), JUNK)},
    optional={
        "birthDate": mostly(DATES, ANYTHING),
        "identifier": mostly(
            st.lists(st.fixed_dictionaries({"value": ANYTHING}), max_size=3), JUNK
        ),
        "name": ANYTHING,
    },
)
SERIES = st.fixed_dictionaries(
    {"uid": mostly(OIDS, ANYTHING)},
    optional={
        "modality": mostly(st.just({"code": "DX"}), JUNK),
        "bodySite": mostly(st.just({"system": "http://snomed.info/sct", "code": "51185008"}), JUNK),
        "numberOfInstances": mostly(NUMBERS, JUNK),
        "endpoint": JUNK,
    },
)
STUDIES = st.fixed_dictionaries(
    {
        "resourceType": st.just("ImagingStudy"),
        "identifier": st.lists(
            st.fixed_dictionaries(
                {"system": st.just("urn:dicom:uid"), "value": mostly(OIDS, ANYTHING)}
            ),
            max_size=2,
        ),
    },
    optional={
        "id": mostly(st.just("s-1"), ANYTHING),
        "status": mostly(st.sampled_from(["available", "cancelled", "entered-in-error"]), JUNK),
        "subject": mostly(st.just({"reference": "Patient/p-1"}), JUNK),
        "started": mostly(DATES, ANYTHING),
        "numberOfSeries": mostly(NUMBERS, JUNK),
        "numberOfInstances": mostly(NUMBERS, JUNK),
        "series": mostly(st.lists(SERIES, max_size=3), ANYTHING),
        "endpoint": mostly(st.just([{"reference": "Endpoint/e-1"}]), JUNK),
        "description": ANYTHING,
        "modality": JUNK,
    },
)
ORDERS = st.fixed_dictionaries(
    {"resourceType": st.sampled_from(["ServiceRequest", "Task", "MedicationRequest"])},
    optional={
        "id": mostly(st.just("o-1"), ANYTHING),
        "status": mostly(st.just("draft"), JUNK),
        "subject": mostly(st.just({"reference": "Patient/p-1"}), JUNK),
        "code": mostly(
            st.just({"coding": [{"system": "http://loinc.org", "code": "36643-5"}]})
            | st.fixed_dictionaries({"coding": st.lists(JUNK, max_size=3)}),
            ANYTHING,
        ),
        "bodySite": JUNK,
        "category": JUNK,
    },
)
ENTRIES = st.fixed_dictionaries(
    {"resource": mostly(STUDIES | PATIENTS | OUTCOMES | ORDERS, JUNK)},
    optional={"search": mostly(st.sampled_from([{"mode": "outcome"}, {"mode": "match"}]), JUNK)},
)
LINKS = st.fixed_dictionaries(
    {
        "relation": mostly(st.just("next"), JUNK),
        "url": mostly(
            st.sampled_from([f"{FHIR_BASE}?page=2", "http://169.254.169.254/", "//x", "?p=2"]),
            ANYTHING,
        ),
    }
)
BUNDLES = st.fixed_dictionaries(
    {"resourceType": st.just("Bundle"), "type": mostly(st.just("searchset"), JUNK)},
    optional={
        "total": mostly(NUMBERS, JUNK),
        "entry": mostly(st.lists(ENTRIES, max_size=4), ANYTHING),
        "link": mostly(st.lists(LINKS, max_size=2), JUNK),
    },
)
PREFETCHED = mostly(BUNDLES | PATIENTS | STUDIES | OUTCOMES, ANYTHING)
PREFETCH = mostly(
    st.dictionaries(
        st.sampled_from(["patient", "studies", "encounter", "orders", "-user"]) | TEXT,
        PREFETCHED,
        max_size=3,
    ),
    JUNK,
)
CONTEXTS = mostly(
    st.fixed_dictionaries(
        {"patientId": mostly(st.just("p-1"), ANYTHING)},
        optional={
            "userId": mostly(st.just("Practitioner/1"), ANYTHING),
            "encounterId": mostly(st.just("e-1"), ANYTHING),
            "selections": mostly(
                st.lists(st.just("ServiceRequest/o-1") | TEXT, max_size=3), ANYTHING
            ),
            "draftOrders": mostly(BUNDLES | ORDERS, ANYTHING),
            "dispatchedOrders": mostly(
                st.lists(mostly(st.just("ServiceRequest/o-1"), JUNK), max_size=3), JUNK
            ),
            "performer": mostly(st.just("Organization/1"), JUNK),
            "appointments": mostly(BUNDLES, JUNK),
        },
    ),
    ANYTHING,
)
AUTHORIZATIONS = mostly(
    st.fixed_dictionaries(
        {
            "access_token": mostly(st.just("token-1"), ANYTHING),
            "token_type": mostly(st.just("Bearer"), JUNK),
            "expires_in": mostly(st.just(300) | NUMBERS, JUNK),
            "scope": mostly(
                st.sampled_from(["patient/*.rs", "user/*.read", "Patient.Read (R4)"]), JUNK
            ),
            "subject": mostly(TEXT, JUNK),
        },
        optional={"patient": mostly(st.just("p-1"), JUNK)},
    ),
    JUNK,
)
HOOKS = st.sampled_from(
    [
        *["patient-view"] * 4,
        "order-select",
        "order-sign",
        "order-dispatch",
        "encounter-start",
        "encounter-discharge",
        "appointment-book",
        "org.example.custom",
    ]
)
CALLS: st.SearchStrategy[Json] = st.fixed_dictionaries(
    {
        "hook": mostly(HOOKS, JUNK),
        "hookInstance": mostly(st.just(a_hook_body()["hookInstance"]), ANYTHING),
        "context": CONTEXTS,
    },
    optional={
        "fhirServer": mostly(st.just(FHIR_BASE), ANYTHING),
        "fhirAuthorization": AUTHORIZATIONS,
        "prefetch": PREFETCH,
        "extension": ANYTHING,
    },
)
# Whatever is generated here gets past the first checks.
CLEAN_CALLS: st.SearchStrategy[Json] = st.builds(
    lambda hook, rest, prefetch: a_hook_body(
        hook=hook,
        fhirServer=FHIR_BASE,
        context={"userId": "Practitioner/1", "encounterId": "e-1"} | rest | {"patientId": "p-1"},
        prefetch=prefetch,
    ),
    HOOKS,
    st.dictionaries(
        st.sampled_from(["userId", "selections", "draftOrders", "dispatchedOrders"]),
        mostly(st.lists(st.just("ServiceRequest/o-1"), max_size=2) | BUNDLES, ANYTHING),
        max_size=3,
    ),
    st.fixed_dictionaries({}, optional={"patient": PREFETCHED, "studies": PREFETCHED}),
)
REPORTS = mostly(
    st.fixed_dictionaries(
        {
            "card": mostly(st.just("c-1"), ANYTHING),
            "outcome": mostly(st.sampled_from(["accepted", "overridden"]), JUNK),
            "outcomeTimestamp": mostly(DATES, ANYTHING),
        },
        optional={
            "acceptedSuggestions": mostly(
                st.lists(st.fixed_dictionaries({"id": ANYTHING}), max_size=3), ANYTHING
            ),
            "overrideReason": mostly(
                st.fixed_dictionaries({}, optional={"reason": ANYTHING, "userComment": ANYTHING}),
                JUNK,
            ),
            "overrideReasons": ANYTHING,
        },
    ),
    JUNK,
)
FEEDBACK: st.SearchStrategy[Json] = mostly(
    st.fixed_dictionaries({"feedback": mostly(st.lists(REPORTS, max_size=4), ANYTHING)}), JUNK
)


def with_one_fault(document: Json) -> Strategy:
    """Put anything at one place of a good document, however deep."""

    def changed(number: int, value: Json) -> Json:
        copied = copy.deepcopy(document)
        holder, key = list(_places(copied))[number]
        holder[key] = value
        return copied

    count = len(list(_places(document)))
    return st.builds(changed, st.integers(0, count - 1), ANYTHING)


def _places(document: Json) -> Iterator[tuple[Json, Json]]:
    for key in list(document) if isinstance(document, dict) else range(len(document)):
        yield document, key
        if isinstance(document[key], dict | list):
            yield from _places(document[key])
