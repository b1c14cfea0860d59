"""Parse the YAML of a model card, which a stranger may have written.

A few lines of aliases can stand for more entries than a machine holds, and of a threshold that
is written twice the second would count without a word.

Source: YAML 1.2.2, 3.2.1.3 (equal keys), 7.1 (alias nodes); PyYAML 6 composer and constructor.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import yaml

__all__ = ["parse_card"]

MAX_CHARACTERS = 256 * 1024  # the bundled models' cards have 12 thousand at the most
MAX_ENTRIES = 20_000  # an entry counts as often as an alias repeats it
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # a terminal obeys them, XML forbids them


def parse_card(text: str, name: str = "the model card") -> dict[str, Any]:
    """Return the entries; {} where the text is no mapping. Raises ValueError that says what."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{name} is longer than {MAX_CHARACTERS // 1024} KiB")
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
    except (yaml.YAMLError, RecursionError) as broken:
        raise ValueError(f"{name} is not YAML") from broken
    if root is None:
        return {}
    if problem := _problem_in(root):
        raise ValueError(f"{name} {problem}")
    try:
        entries = loader.construct_document(root)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as broken:
        # What PyYAML's constructors throw where a text is not of its tag: !!int '', 2026-99-99.
        raise ValueError(f"{name} is not YAML: a value is not of its kind") from broken
    return entries if isinstance(entries, dict) else {}


def _problem_in(root: yaml.Node) -> str:
    """Say as a clause what is wrong with the entries; one that holds itself is never counted."""
    waiting, count = [root], 0
    while waiting:
        node = waiting.pop()
        count += 1
        if count > MAX_ENTRIES:
            return f"has more than {MAX_ENTRIES} entries"
        if isinstance(node, yaml.MappingNode):
            names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            if twice := [one for one, times in names.items() if times > 1]:
                return f"has the entry {twice[0]} twice"
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif _CONTROL.search(node.value):
            return f"has a control character in line {node.start_mark.line + 1}"
    return ""
