"""One rule that no table of fields holds: a small function, and what there is to say about it.

The function yields, per place that breaks the rule, the steps from its object to that place and
what is wrong there. The rest says which row asks for it, of whom, and how to mend it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cds_service.lint.fields import Element
from cds_service.lint.target import Breach, Dialect, Level, Target, Version, pointer_to
from cds_service.lint.tree import Node

FIRST = frozenset({Version.V1})
SECOND = frozenset({Version.V2})
SINCE_SECOND = frozenset({Version.V2, Version.V3})
THIRD = frozenset({Version.V3})

Steps = tuple[str | int, ...]
Problems = Iterator[tuple[Steps, str]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One requirement: where it applies, what breaks it, how to mend that."""

    requirement: str
    elements: tuple[Element, ...]
    problems: Callable[[Node], Problems]
    fix: str
    level: Level = Level.BREACH
    versions: frozenset[Version] = frozenset(Version)
    dialect: Dialect | None = None

    def applies(self, node: Node, target: Target) -> bool:
        """Tell whether this object of this document is bound by the rule."""
        return (
            node.element in self.elements
            and target.version in self.versions
            and self.dialect in (None, target.dialect)
        )

    def breaches(self, node: Node) -> Iterator[Breach]:
        """Yield each breach with its place in the document."""
        for steps, problem in self.problems(node):
            place = pointer_to(node.pointer, *steps)
            yield Breach(self.requirement, self.level, place, problem, self.fix)
