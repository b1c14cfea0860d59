"""The help of the `sightline` command: what an administrator finds without a page."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from cds_service.cli import SECTIONS, main


def commands_below(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from commands_below(command, *path, name)


COMMANDS = dict(commands_below(main))
GROUPS = ["", *(name for name, command in COMMANDS.items() if isinstance(command, click.Group))]


def help_of(words: str) -> str:
    result = CliRunner().invoke(main, [*words.split(), "--help"], terminal_width=80)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_command_stands_once_in_a_section() -> None:
    listed = [name for names in SECTIONS.values() for name in names]

    assert sorted(listed) == sorted(main.commands)


def test_the_help_lists_each_section_with_its_commands() -> None:
    shown = help_of("")

    for section, names in SECTIONS.items():
        below = shown.partition(f"\n{section}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in below.splitlines()] == list(names)


@pytest.mark.parametrize("group", GROUPS)
def test_no_command_is_described_by_half_a_sentence(group: str) -> None:
    below = help_of(group).partition("--help  Show this message and exit.\n")[2]
    cut = [line for line in below.splitlines() if line.endswith("...")]

    assert below and cut == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is_for(name: str) -> None:
    silent = [
        option.opts[0]
        for option in COMMANDS[name].params
        if isinstance(option, click.Option) and not option.help
    ]

    assert silent == []
