"""JSON from others: what is read, and what is refused before anything is done with it."""

import pytest

from cds_service.fhir.bounded_json import MAX_DEPTH, parse


@pytest.mark.parametrize(
    ("data", "document"),
    [
        (b'{"a": [1, null]}', {"a": [1, None]}),
        (b'\xef\xbb\xbf"a"', "a"),
        (rb'"\ud83e\uddb4 \u00e4"', "\U0001f9b4 ä"),
        (rb'["\\u0000", "\\ud800"]', ["\\u0000", "\\ud800"]),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
    ],
    ids=[
        "plain",
        "byte order mark",
        "a surrogate pair",
        "escaped backslashes",
        "as deep as may be",
    ],
)
def test_json_is_read(data: bytes, document: object) -> None:
    parsed = parse(data)

    assert document is None or parsed == document


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b"NaN",
        b"[Infinity]",
        b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2),
        b"[" * 100_000,
        rb'"\ud800"',
        rb'{"a": ["\uDFFF\ud83e"]}',
        rb'{"\ud800": 1}',
        rb'[["a\u0000b"]]',
    ],
    ids=range(11),
)
def test_what_is_broken_deep_or_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse(data)
