"""The EHR's style: known variables, plain values, and words that can be read."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_app.style import contrast, own_style_url, sheet, variables_in
from tests.builders import a_tenant

TENANT = a_tenant(
    fhir_base="https://ehr.example.org/fhir", origins=("https://chart.example.org:8443",)
)


@pytest.mark.parametrize(
    ("url", "is_own"),
    [
        ("https://ehr.example.org/style/v1.json", True),
        ("https://CHART.example.org:8443/s?v=2", True),
        ("https://chart.example.org/s", False),
        ("http://ehr.example.org/s", False),
        ("https://ehr.example.org.evil.example/s", False),
        ("https://ehr.example.org@evil.example/s", False),
        ("//ehr.example.org/s", False),
        ("https://[broken/s", False),
        ("javascript:alert(1)", False),
    ],
)
def test_a_style_is_read_from_the_ehr_s_registered_origins_only(url: str, is_own: bool) -> None:
    assert own_style_url(url, TENANT) == (url if is_own else None)
    assert own_style_url(None, TENANT) is None


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        ({"color_background": "#F4F6F8"}, {"--ground": "#f4f6f8"}),
        (
            {"color_background": "#fff", "dim_border_radius": "6px"},
            {"--ground": "#fff", "--radius": "6px"},
        ),
        ({"dim_border_radius": "06"}, {"--radius": "6px"}),
        ({"color_background": "#808080"}, {}),  # our words could not be read on it
        ({"color_background": "#000"}, {}),
        ({"color_background": "red"}, {}),
        ({"color_background": "#fff} body {display: none"}, {}),
        ({"color_background": "url(https://evil.example.org)"}, {}),
        ({"dim_border_radius": "99px"}, {}),
        ({"dim_border_radius": "1e9px"}, {}),
        ({"color_background": ["#fff"], "--ground": "#fff", "font_family_body": "x"}, {}),
        ({}, {}),
    ],
)
def test_only_known_variables_with_plain_values_are_taken(
    document: dict[str, Any], variables: dict[str, str]
) -> None:
    assert variables_in(document) == variables


@given(st.dictionaries(st.sampled_from(["color_background", "dim_border_radius"]), st.text()))
def test_nothing_of_the_ehr_s_text_can_leave_its_place(document: dict[str, str]) -> None:
    css = sheet(variables_in(document))

    assert css == "" or (css.count("{"), css.count("}"), css.count("(")) == (2, 2, 1)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#123456", "#123456") == 1
