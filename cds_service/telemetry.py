"""Logging: one line per event on standard error, with no patient data in it.

Our own lines hold event names, ids and classes of errors. Libraries may quote header values or
URLs in theirs, so they are heard only from WARNING on, or not at all.

Source: docs/explanation/architecture.md, "The life of patient data"; threat T8.
"""

import logging
import warnings

# urllib3 logs URLs with their query, rq its job descriptions, pydicom the values it dislikes.
_QUIET = ("urllib3", "rq", "rq.worker", "werkzeug", "alembic", "dicomweb_client", "authlib")
_SILENT = ("pydicom", "retrying", "pylibjpeg", "openjpeg")


def configure_logging(level: str) -> None:
    """Send our log lines to standard error; call once at the start of a process."""
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
        force=True,
    )
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # pydicom's warnings quote the value of an element.
    warnings.filterwarnings("ignore", module=r"pydicom|fhir")
