"""`sightline lint-cds` from its arguments to its exit code, over real sockets where it calls."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask, Response, redirect

from cds_service import cli_discovery
from cds_service.cli import main
from cds_service.cli_discovery import discovery_address
from tests.contract.fhir_server import serving
from tests.unit.lint.builders import discovery, linking, response

Serve = Callable[[Response], AbstractContextManager[str]]


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["lint-cds", *arguments], input=text)


def run_json(*arguments: str, text: str) -> Any:
    return json.loads(run("-", "--json", *arguments, text=text).stdout)


def test_a_clean_file_ends_with_0(tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    file.write_text(json.dumps(response()))

    result = run(str(file))

    assert result.exit_code == 0
    assert result.stdout == "Checked as response of CDS Hooks 2.0: 0 breaches, 0 advice.\n"


def test_a_breach_is_printed_with_its_id_place_and_remedy_and_ends_with_1() -> None:
    result = run("-", text=json.dumps(response(summary="s" * 150)))

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "breach  ch2:83   /cards/0/summary",
        "        The summary has 150 characters; 139 is the most.",
        "        Fix: Shorten it; the rest belongs into 'detail'.",
        "Checked as response of CDS Hooks 2.0: 1 breach, 0 advice.",
    ]


def test_advice_alone_ends_with_0() -> None:
    result = run("-", text=json.dumps(discovery(title=...)))

    assert result.exit_code == 0
    assert result.stdout.startswith("advice  ch2:8    /services/0\n")


def test_json_says_the_same_for_programs() -> None:
    document = run_json(text=json.dumps(response(summary="s" * 150)))

    (breach,) = document.pop("breaches")
    assert document == {"kind": "response", "version": "2.0", "dialect": None}
    assert set(breach) == {"requirement", "level", "pointer", "problem", "fix"}
    assert breach["requirement"] == "ch2:83" and breach["level"] == "breach"


@pytest.mark.parametrize(
    ("arguments", "version"),
    [((), "2.0"), (("--dialect", "oracle"), "1.0"), (("--dialect", "epic"), "2.0")],
)
def test_the_version_follows_the_dialect(arguments: tuple[str, ...], version: str) -> None:
    document = run_json(*arguments, text=json.dumps(linking()))

    assert document["version"] == version


def test_version_and_dialect_are_checked_together() -> None:
    arguments = ("--dialect", "oracle", "--version", "3.0")

    document = run_json(*arguments, text=json.dumps(linking()))

    assert document["version"] == "3.0"
    assert [one["requirement"] for one in document["breaches"]] == ["oracle:app-context"]


def test_a_kind_that_cannot_be_told_is_asked_for() -> None:
    asked = run("-", text="{}")
    told = run("-", "--kind", "response", text="{}")

    assert asked.exit_code == 2 and "--kind" in asked.stderr
    assert told.exit_code == 1 and "ch2:74" in told.stdout


def test_what_is_no_json_is_a_breach_and_not_a_traceback() -> None:
    result = run("-", text='{"cards": [],}')

    assert result.exit_code == 1
    assert result.stdout.startswith("breach  ch2:1    (whole document)")
    assert result.stdout.endswith("\n1 breach, 0 advice.\n")


@pytest.mark.parametrize(
    "text", [b'{"cards": [], "x\\ud800": 1}', json.dumps({"cards": []}).encode("utf-16")]
)
def test_what_is_no_utf_8_is_a_breach_and_not_a_traceback(text: bytes, tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    file.write_bytes(text)

    result = run(str(file))

    assert result.exit_code == 1 and "ch2:1 " in result.stdout


def test_a_document_cannot_command_the_terminal() -> None:
    result = run("-", text=json.dumps({"cards": [], "\x1b]0;title\x07": 1}))

    assert "\x1b" not in result.stdout and r"\x1b]0;title\x07" in result.stdout


def test_what_is_no_address_ends_with_2_and_a_sentence() -> None:
    result = run("http://[")

    assert result.exit_code == 2 and "is no address." in result.output


def test_a_file_that_is_not_there_ends_with_2_and_a_sentence(tmp_path: Path) -> None:
    result = run(str(tmp_path / "none.json"))

    assert result.exit_code == 2
    assert result.stderr.endswith("none.json cannot be read: No such file or directory.\n")


# --- a running service -----------------------------------------------------------------------


@pytest.fixture
def serve() -> Serve:
    """Serve one answer at /cds-services, and anything else nowhere."""

    def start(answer: Response) -> AbstractContextManager[str]:
        app = Flask("service")
        app.add_url_rule("/base/cds-services", view_func=lambda: answer)
        return serving(app)

    return start


def as_json(document: Any, **changes: Any) -> Response:
    return Response(json.dumps(document), **({"content_type": "application/json"} | changes))


@pytest.mark.parametrize("path", ["/base", "/base/", "/base/cds-services"])
def test_a_service_is_asked_for_its_discovery(serve: Serve, path: str) -> None:
    with serve(as_json(discovery())) as address:
        result = run(f"{address}{path}")

    assert result.exit_code == 0
    assert "advice  ch2:2 " in result.stdout  # plain http, but on this machine
    assert "Checked as discovery" in result.stdout


@pytest.mark.parametrize(
    ("answer", "row"),
    [
        (as_json(discovery(), status=203), "ch2:13"),
        (as_json(discovery(), content_type="text/html; charset=utf-8"), "ch2:1"),
        (redirect("/elsewhere"), "ch2:13"),
        (Response("<html>", content_type="application/json"), "ch2:1"),
        (as_json({"cards": []}), "ch2:6"),
    ],
    ids=["status", "content type", "redirect", "no JSON", "no discovery"],
)
def test_a_wrong_answer_is_a_breach(serve: Serve, answer: Response, row: str) -> None:
    with serve(answer) as address:
        result = run(f"{address}/base")

    assert result.exit_code == 1 and f"breach  {row} " in result.stdout


def test_a_service_that_is_not_there_ends_with_2() -> None:
    result = run("http://127.0.0.1:9/base")

    assert result.exit_code == 2
    assert result.stderr.endswith("/base/cds-services gave no answer (ConnectionError).\n")


def test_an_endless_answer_is_cut(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b" " * 10_000

    monkeypatch.setattr(cli_discovery, "LIMIT_BYTES", 50_000)
    with serve(Response(endless(), content_type="application/json")) as address:
        result = run(f"{address}/base")

    assert result.exit_code == 2 and "larger than 50000 bytes" in result.stderr


def test_plain_http_to_another_machine_is_a_breach() -> None:
    (breach,) = cli_discovery._insecure("http://cds.example.org/cds-services")

    assert (breach.requirement, breach.level) == ("ch2:2", "breach")
    assert cli_discovery._insecure("https://cds.example.org/cds-services") == []


def test_the_address_of_discovery_is_the_base_and_its_path() -> None:
    assert discovery_address("https://a.example/x/") == "https://a.example/x/cds-services"
