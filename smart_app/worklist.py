"""The worklist: what waits for a clinician, across all patients whom this user may see.

Source: issue "Worklist"; SMART App Launch 2.2 "Standalone launch" (user scopes).
"""

import logging
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, TypeVar

from flask import Response, make_response, render_template, request, url_for

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.vocabulary import marked
from cds_service.domain.worklist import Choice, Entry, Urgency
from cds_service.errors import EhrRefused, NotFound, ScopeDenied, UpstreamFailed
from cds_service.usecases.read_worklist import BATCH, WINDOW, WorklistPage, read_worklist
from smart_app import words
from smart_app.chart import Banner, banner_in
from smart_app.language import _
from smart_app.open_launch import OpenLaunch, within_session
from smart_app.readable import ReadableSet
from smart_app.scopes import LaunchKind, leading_to_studies
from smart_app.session import SealedStore
from smart_app.study_choice import Unread
from smart_app.user_chart import CHART_MARK, chart_name

log = logging.getLogger(__name__)

LAST_PAGE = 999  # what an address may ask for
FIRST_DAY = date(1900, 1, 1)
LAST_SHOWN = "worklist"  # in the sealed store
STATES = {
    Urgency.CRITICAL: marked("Critical"),
    Urgency.POSITIVE: marked("Found"),
    Urgency.UNCERTAIN: marked("Uncertain"),
    Urgency.RUNNING: marked("Queued or running"),
    Urgency.NOT_ANALYSED: marked("Not analysed"),
    Urgency.NEGATIVE: marked("Not found"),
}
Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Row:
    """One study in words."""

    address: str
    level: str  # of `marks.html`
    severity: str
    said: str
    person: Banner
    description: str
    modality: str
    day: str
    date: str  # the same for programs; "" when it is not stated
    to_result: str  # how long from the images to the result; "" while there is none
    to_acknowledgement: str
    waiting: str  # "for a result since 4 min"; "" when nobody waits
    overdue: str  # by how much the site's limit has passed; "" when it has not


@within_session
def worklist(launch: OpenLaunch) -> Response:
    """Show one page; what is chosen stands in the address, and no patient data ever does."""
    if launch.session.kind is not LaunchKind.USER or launch.worklist is not None:
        raise NotFound("The worklist is opened without a patient's chart.")
    choice, number = _choice(), _number()
    page, readable, unread = _read(launch, choice, number)
    _seen(launch, page)
    _remember(launch, choice, number)
    return make_response(
        render_template(
            "app/worklist.html",
            launch=launch,
            rows=[_row(launch, entry, readable) for entry in page.entries],
            page=page,
            unread=unread,
            rights=_rights(launch),
            choice=choice,
            is_chosen=choice != Choice(),
            states={state: _(word) for state, word in STATES.items()},
            looked_for=launch.house.looked_for,
            modalities=launch.house.modalities,
            days=WINDOW.days,
            batch=BATCH,
            limit_min=launch.tenant.critical_limit_min,
            read_at=words.minute(launch.house.clock()),
            address_of=lambda page_number: _address(launch, choice, page_number),
            label=launch.house.label,
        )
    )


def _rights(launch: OpenLaunch) -> str:
    [(kind, right), *_others] = leading_to_studies(with_studies=launch.tenant.has_imaging_studies)
    return f"user/Patient.rs, user/{kind}.{right}"


def _read(
    launch: OpenLaunch, choice: Choice, number: int
) -> tuple[WorklistPage, ReadableSet, Unread | None]:
    """Return the page, or an empty one and why the EHR could not be asked."""
    session, house = launch.session, launch.house
    readable = ReadableSet(launch.handle, session, launch.tenant, house)
    nothing = WorklistPage(number, (), has_next=False)
    leading = leading_to_studies(with_studies=launch.tenant.has_imaging_studies)
    if not (session.may("Patient", "s") and any(session.may(one, "s") for one, _ in leading)):
        return nothing, readable, Unread.NOT_ALLOWED
    try:
        page = read_worklist(
            launch.tenant,
            choice,
            number,
            worklist=house.worklist,
            alerts=house.alerts,
            readable=readable,
            clock=house.clock,
        )
    except (UpstreamFailed, ScopeDenied) as error:
        log.warning("app: no worklist, %s, tenant=%s", type(error).__name__, launch.tenant.id)
        is_refusal = isinstance(error, EhrRefused | ScopeDenied)
        return nothing, readable, Unread.NOT_ALLOWED if is_refusal else Unread.AWAY
    return page, readable, None


def _row(launch: OpenLaunch, entry: Entry, readable: ReadableSet) -> Row:
    case, limit_min = entry.case, launch.tenant.critical_limit_min
    level, severity, said = _statement(entry)
    result, started = case.result, case.started
    to_result = words.span(started, result.computed_at) if started and result else ""
    acknowledged = entry.acknowledged_at
    to_acknowledgement = words.span(started, acknowledged) if started and acknowledged else ""
    now = launch.house.clock()
    waited = words.span(now - entry.waiting, now) if entry.waiting is not None else ""
    waits = (
        marked("%(span)s for a result")
        if entry.urgency is Urgency.RUNNING
        else marked("%(span)s for acknowledgement")
    )
    return Row(
        address=url_for("app.study", handle=f"{launch.handle}{CHART_MARK}{chart_name(case)}"),
        level=level,
        severity=severity,
        said=said,
        person=banner_in(readable.patient(case.patient_id), now.date()),
        description=case.description or _("Imaging study"),
        modality=", ".join(case.modalities),
        day=words.day(started),
        date=started.date().isoformat() if started else "",
        to_result=to_result,
        to_acknowledgement=to_acknowledgement,
        waiting=_(waits, span=waited) if waited else "",
        overdue=_(
            "Not acknowledged for %(span)s; the limit is %(limit)s min",
            span=waited,
            limit=limit_min,
        )
        if entry.is_overdue
        else "",
    )


def _statement(entry: Entry) -> tuple[str, str, str]:
    """Return level, severity and the rest of the sentence."""
    case, job = entry.case, entry.case.job
    if entry.urgency is Urgency.RUNNING:
        is_queued = job is not None and words.steps_done(job) == 0
        return "running", _("Analysis queued") if is_queued else _("Analysis running"), ""
    if case.result is not None:
        summary = words.summary_of(case.result)
        return summary.level, summary.severity, summary.headline
    return "excluded", _("Not analysed"), words.failure_of(job) if job else ""


def _choice() -> Choice:
    """Read the filters; what cannot be read is not asked for."""
    given = request.args
    return Choice(
        finding=given.get("finding") or None,
        urgency=_one_of(Urgency, given.get("state")),
        unacknowledged=given.get("unacknowledged") == "1",
        first=_day(given.get("from")),
        last=_day(given.get("to")),
        modality=given.get("modality") or None,
    )


def _number() -> int:
    text = request.args.get("page", "")
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(LAST_PAGE))
    return max(1, int(text)) if is_number else 1


def _one_of(words_of: type[Word], text: str | None) -> Word | None:
    return words_of(text) if text in set(words_of) else None


def _day(text: str | None) -> date | None:
    try:
        day = date.fromisoformat(text) if text else None
    except ValueError:
        return None
    return day if day is not None and day >= FIRST_DAY else None


def _address(launch: OpenLaunch, choice: Choice, number: int) -> str:
    """Return the address of a page of what is chosen."""
    return url_for("app.worklist", handle=launch.handle, **_query(choice, number))


def way_back(launch: OpenLaunch) -> str:
    """Return the address of the page of the worklist that was shown last, filters and all."""
    handle = launch.worklist or launch.handle
    shown = SealedStore(launch.house.redis, launch.house.vault).get(LAST_SHOWN, handle) or {}
    return url_for("app.worklist", handle=handle, **shown)


def _remember(launch: OpenLaunch, choice: Choice, number: int) -> None:
    shown = {name: str(one) for name, one in _query(choice, number).items() if one is not None}
    life_s = launch.session.life_s(launch.house.clock().timestamp())
    store = SealedStore(launch.house.redis, launch.house.vault)
    store.put(LAST_SHOWN, launch.handle, shown, life_s)


def _query(choice: Choice, number: int) -> dict[str, Any]:
    return {
        "finding": choice.finding,
        "state": choice.urgency,
        "unacknowledged": "1" if choice.unacknowledged else None,
        "from": choice.first,
        "to": choice.last,
        "modality": choice.modality,
        "page": number if number > 1 else None,
    }


def _seen(launch: OpenLaunch, page: WorklistPage) -> None:
    launch.house.audit.record(
        AuditEvent(
            action=AuditAction.WORKLIST_VIEWED,
            at=launch.house.clock(),
            tenant_id=launch.session.tenant_id,
            agent=launch.session.agent,
            outcome="success",
            detail=f"page {page.number}",
        )
    )
