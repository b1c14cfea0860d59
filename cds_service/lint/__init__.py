"""Checks what any CDS service or client sends against CDS Hooks; knows nothing of Sightline.

Source: CDS Hooks 1.0, 2.0 and the 3.0 ballot. `ch2:n` and `lib:n` are the rows that Inferno's Da
Vinci CRD test kit gives to CDS Hooks 2.0 and to the hook library; `cds-*` are invariants of 3.0.
"""

from cds_service.lint.linter import guess_kind, lint, parse
from cds_service.lint.target import Breach, Dialect, Kind, Level, Target, Version

__all__ = [
    "Breach",
    "Dialect",
    "Kind",
    "Level",
    "Target",
    "Version",
    "guess_kind",
    "lint",
    "parse",
]
