"""What the pages promise exists: commands, options, settings, links, addresses."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from cds_service.adapters.backend_token import ORDER_SCOPES, READ_SCOPES, WRITE_SCOPES
from cds_service.adapters.ledger.schema import metadata
from cds_service.cli import main
from cds_service.domain.vocabulary import REASON_CLAUSES
from cds_service.errors import SettingsInvalid
from cds_service.settings import Settings
from cds_service.usecases.gather_prefetch import PREFETCH
from smart_app.scopes import RESOURCES

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))]
KINDS = {"tutorial", "how-to", "reference", "explanation"}
REQUIRED = {
    "SIGHTLINE_DATA": "/srv/sightline",
    "SIGHTLINE_PUBLIC_URL": "https://ai.example.org",
    "SIGHTLINE_REDIS_URL": "redis://127.0.0.1:6379/0",
}
every_page = pytest.mark.parametrize(
    "page", PAGES, ids=[str(page.relative_to(REPOSITORY)) for page in PAGES]
)


def commands_in(text: str) -> Iterator[list[str]]:
    """Yield the words after `sightline` of every command line in blocks and in inline code."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.M))
    for line in lines:
        found = re.match(r"(?:ExecStart=)?(?:\S*/)?sightline (.+)", line.strip())
        if found:
            yield shlex.split(found[1], comments=True)


def unknown_in(words: list[str]) -> list[str]:
    """Return what of one command line the program does not know; values are not looked at."""
    command: click.Command = main
    unknown = []
    is_named = False
    for word in words:
        if isinstance(command, click.Group) and not word.startswith("-"):
            if word not in command.commands:
                return [f"command {word}"]
            command, is_named = command.commands[word], True
        elif word.startswith("--"):
            option = word.partition("=")[0]
            if option not in options_of(command) | {"--help"}:
                unknown.append(f"option {option} of {command.name}")
    return unknown if is_named or unknown else [f"no command in {words}"]


def options_of(command: click.Command) -> set[str]:
    return {
        name
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    }


def commands_below(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield command
        if isinstance(command, click.Group):
            yield from commands_below(command)


@every_page
def test_every_command_and_option_on_a_page_exists(page: Path) -> None:
    problems = [
        f"sightline {' '.join(words)}: {unknown}"
        for words in commands_in(page.read_text())
        for unknown in unknown_in(words)
    ]

    assert problems == []


def test_every_option_is_on_a_page() -> None:
    text = "\n".join(page.read_text() for page in PAGES)

    unnamed = [
        name
        for command in commands_below(main)
        for name in options_of(command)
        if not re.search(rf"{name}(?![\w-])", text)
    ]

    assert unnamed == []


@pytest.mark.parametrize("name", main.commands)
def test_the_page_about_the_command_names_each(name: str) -> None:
    page = (DOCS / "reference/command.md").read_text()
    command = main.commands[name]
    below = sorted(command.commands) if isinstance(command, click.Group) else []

    named = re.findall(rf"^\| `sightline {name}\b([^|]*)", page, re.MULTILINE)

    assert named
    assert [one for one in below if not re.search(rf"\b{one}\b", " ".join(named))] == []


def test_the_pages_do_name_commands() -> None:
    named = {words[0] for page in PAGES for words in commands_in(page.read_text())}

    assert named >= {"demo", "worker", "ehr", "analyze"}


@pytest.mark.parametrize("words", ["demoo", "demo --ports 1", "ehr drop", "worker --data DIR"])
def test_a_command_that_does_not_exist_is_found(words: str) -> None:
    assert unknown_in(words.split())


@every_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    broken = [
        target
        for target in targets
        if not re.match(r"[a-z]+:|#", target)
        and not (page.parent / target.partition("#")[0]).exists()
    ]

    assert broken == []


def headings_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as they are made from the text."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@every_page
def test_every_link_to_a_part_of_a_page_leads_to_a_heading(page: Path) -> None:
    links = re.findall(r"\]\(([^):\s]*\.md)?#([^)\s]+)\)", page.read_text())
    broken = [
        (target, anchor)
        for target, anchor in links
        if anchor not in headings_of(page.parent / target if target else page)
    ]

    assert broken == []


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.parent.name not in {"adr", REPOSITORY.name}],
    ids=lambda page: str(page.relative_to(REPOSITORY)),
)
def test_a_page_says_first_whom_it_is_for_and_of_which_kind_it_is(page: Path) -> None:
    first = page.read_text().splitlines()[0]
    said = re.fullmatch(r"Audience: .+\. Kind: ([a-z-]+)\.", first)

    assert said and said[1] in KINDS
    if page.parent.name in KINDS:
        assert page.parent.name == said[1]


def test_every_make_target_on_the_readme_exists() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))

    named = set(re.findall(r"(?:^|`)make ([a-z]+)", PAGES[0].read_text(), re.MULTILINE))

    assert named and named <= targets


# --- the settings page ------------------------------------------------------------------------


def settings_rows() -> dict[str, list[str]]:
    """Variable -> the other cells of its row in the first table of the settings page."""
    page = (DOCS / "reference/settings.md").read_text().split("\n## ")[0]
    rows = re.findall(r"^\| `(SIGHTLINE_[A-Z_]+)` \|(.+)\|$", page, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in rows}


def test_the_settings_page_has_every_variable_and_no_other() -> None:
    source = (REPOSITORY / "cds_service/settings.py").read_text()

    assert set(settings_rows()) == set(re.findall(r'"(SIGHTLINE_[A-Z_]+)"', source))


def test_every_variable_of_the_product_is_on_the_settings_page() -> None:
    page = (DOCS / "reference/settings.md").read_text()
    sources = [*REPOSITORY.glob("cds_service/**/*.py"), *REPOSITORY.glob("smart_app/**/*.py")]
    named = {
        name
        for source in sources
        for name in re.findall(r'"(SIGHTLINE_[A-Z_]+|NO_BROWSER)"', source.read_text())
    }

    assert {name for name in named if f"`{name}`" not in page} == set()


@pytest.mark.parametrize("name", settings_rows())
def test_a_setting_has_the_default_and_the_range_that_its_row_states(name: str) -> None:
    default, allowed, _ = settings_rows()[name]
    field = name.removeprefix("SIGHTLINE_").lower()

    if name in REQUIRED:
        with pytest.raises(SettingsInvalid, match=name):
            Settings.from_env({key: text for key, text in REQUIRED.items() if key != name})
        assert default == "none, required"
        return
    value = str(getattr(Settings.from_env(REQUIRED), field))
    assert default.strip("`").replace("DATA", REQUIRED["SIGHTLINE_DATA"]) == value
    if limits := re.fullmatch(r"(\d+) to (\d+)", allowed):
        low, high = (int(limit) for limit in limits.groups())
        for fits in (low, high):
            assert getattr(Settings.from_env({**REQUIRED, name: str(fits)}), field) == fits
        for wrong in (low - 1, high + 1):
            with pytest.raises(SettingsInvalid, match=name):
                Settings.from_env({**REQUIRED, name: str(wrong)})


def test_what_is_fixed_on_the_settings_page_is_the_default_of_its_field() -> None:
    page = (DOCS / "reference/settings.md").read_text().partition("## Fixed on purpose")[2]
    defaults = {field.name: field.default for field in fields(Settings)}

    assert defaults["hook_body_limit_bytes"] == 1024 * 1024 and "| 1 MiB |" in page
    assert f"| Attempts of a job | {defaults['job_attempts']} |" in page
    assert f"| Model | `{defaults['model_id']}`, until another is enabled" in page


# --- the codes of "not analysed" --------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(REASON_CLAUSES))
def test_every_code_of_not_analysed_is_on_the_page(code: str) -> None:
    page = (DOCS / "reference/analyze.md").read_text()

    assert f"`{code}`" in page


# --- the page about threats -------------------------------------------------------------------


def test_every_threat_that_a_module_names_is_on_the_page() -> None:
    named = {
        number
        for folder in ("cds_service", "smart_app", "models")
        for module in (REPOSITORY / folder).rglob("*.py")
        for number in re.findall(r"threat (T\d+)", module.read_text())
    }
    explained = re.findall(
        r"^\| (T\d+) \|", (DOCS / "explanation/threats.md").read_text(), re.MULTILINE
    )

    assert named and named <= set(explained)
    assert explained == [f"T{number}" for number in range(1, len(explained) + 1)]


# --- the page about the architecture ----------------------------------------------------------


def sections_that_modules_name() -> set[str]:
    """Return what stands in quotation marks behind `architecture` in the docstrings."""
    named = set()
    for folder in ("cds_service", "smart_app", "models", "benchmarks"):
        for module in (REPOSITORY / folder).rglob("*.py"):
            text = " ".join(module.read_text().split())
            for quotes in re.findall(r'architecture,? ("[^"]+"(?:, "[^"]+")*)', text):
                named |= set(re.findall(r'"([^"]+)"', quotes))
    return named


def test_every_part_of_the_architecture_that_a_module_names_is_on_the_page() -> None:
    page = (DOCS / "explanation/architecture.md").read_text()
    plain = " ".join(re.sub(r"[*`]", "", page).split()).casefold()

    named = sections_that_modules_name()

    assert len(named) > 20
    for part in (part for name in named for part in name.split("...")):
        assert part.strip().replace("`", "").casefold() in plain


def test_every_place_that_keeps_something_is_in_the_life_of_patient_data() -> None:
    page = (DOCS / "explanation/architecture.md").read_text()
    section = page.partition("## The life of patient data")[2]
    keys = {
        key
        for folder in ("cds_service", "smart_app")
        for module in (REPOSITORY / folder).rglob("*.py")
        for key in re.findall(r'"(sightline:\w+:)"', module.read_text())
    }

    assert len(keys) > 1 and len(metadata.tables) > 15
    places = (*metadata.tables, *keys)
    assert [one for one in places if not re.search(rf"`{one}[`.]", section)] == []


# --- the page about an EHR --------------------------------------------------------------------


def ehr_page() -> str:
    return (DOCS / "how-to/connect-an-ehr.md").read_text()


def test_the_page_about_a_registration_explains_every_option() -> None:
    ehr = main.commands["ehr"]
    assert isinstance(ehr, click.Group)
    page = (DOCS / "reference/registration.md").read_text()

    explained = set(re.findall(r"`(--[a-z-]+)", page))

    assert explained == options_of(ehr.commands["change"]) - {"--help"}


def test_the_page_about_an_ehr_has_the_prefetch_and_the_scopes_that_we_ask_for() -> None:
    page = ehr_page()

    for key, template in PREFETCH.items():
        assert f"| Prefetch `{key}` | `{template}` |" in page
    assert f"`{' '.join(READ_SCOPES)}`" in page
    assert f"`{' '.join(ORDER_SCOPES)}`" in page
    assert f"`{' '.join(WRITE_SCOPES)}`" in page
    assert " ".join(f"patient/{kind}.{letters}" for kind, letters in RESOURCES) in page
