"""The launch that a request belongs to: proved by its address and its cookie together.

Source: SMART App Launch 2.2 "App protection"; threats T6, T9.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from flask import g, request

from cds_service.domain.finding import Finding, Result
from cds_service.domain.tenant import Tenant
from cds_service.domain.vocabulary import marked
from cds_service.errors import NotFound, SessionEnded, UserNotAdmitted
from cds_service.usecases.review_finding import result_of_launch
from smart_app.framing import frame_for
from smart_app.readable import ReadableSet
from smart_app.refresh import renewed
from smart_app.services import AppServices, services
from smart_app.session import (
    LaunchSession,
    SealedStore,
    cookie_of,
    is_same_browser,
    reader_of,
    session_from,
    tenant_of,
)
from smart_app.signed_in import SignedInRecord
from smart_app.user_chart import CHART_MARK, open_chart

NOT_ADMITTED = marked("At this site Sightline is for other users than you are signed in as.")

# What a page asks for by itself, without anybody there: it keeps no sign-in alive.
POLLS = frozenset({"app.status", "app.review_panel"})

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class OpenLaunch:
    """One session, its EHR, and the house that serves it."""

    handle: str
    session: LaunchSession
    tenant: Tenant
    house: AppServices
    worklist: str | None = None  # handle of the user's session that this chart was opened in

    def result(self, result_id: str) -> Result:
        """Return a result of this chart's patient; raise NotFound for any other."""
        return result_of_launch(self.session.facts, result_id, results=self.house.results)

    def finding(self, result_id: str, code: str) -> tuple[Result, Finding]:
        """Return one finding of such a result; raise NotFound."""
        result = self.result(result_id)
        for finding in result.analysis.findings:
            if finding.coding.code == code:
                return result, finding
        raise NotFound("This result has no such finding.")


def within_launch(
    view: Callable[Concatenate[OpenLaunch, Arguments], Answer],
) -> Callable[..., Answer]:
    """Give the view the chart that is open; raise SessionEnded when none is in this browser.

    Raises NotFound in a session without a patient.
    """

    @wraps(view)
    def opened(handle: str, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        launch = _open(handle)
        _ = launch.session.patient_id
        return view(launch, *args, **kwargs)

    return opened


def within_session(
    view: Callable[Concatenate[OpenLaunch, Arguments], Answer],
) -> Callable[..., Answer]:
    """Give the view its session, with or without a patient; raise SessionEnded without one."""

    @wraps(view)
    def opened(handle: str, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        return view(_open(handle), *args, **kwargs)

    return opened


def _open(address: str) -> OpenLaunch:
    """Return the session of this address, or one of the charts in it."""
    house = services()
    handle, _, chart = address.partition(CHART_MARK)
    ended = SessionEnded("You have been away for a while, or this page was opened elsewhere.")
    try:
        tenant = house.tenants.get(tenant_of(handle))
    except NotFound as error:
        raise ended from error
    frame_for(tenant)
    g.site_language = tenant.language
    g.tenant_id = tenant.id
    value = SealedStore(house.redis, house.vault).get("session", handle)
    if value is None:
        raise ended
    session = session_from(value)
    g.launch_languages = (session.locale, *session.languages)
    if not is_same_browser(session.browser, request.cookies.get(cookie_of(handle))):
        raise ended
    g.reader = reader_of(session.tenant_id, session.subject)
    is_poll = request.endpoint in POLLS and session.refresh_token is not None
    if not is_poll:
        session = renewed(handle, session, tenant, house)
    until = session.ends_at if is_poll else min(session.expires_at, session.ends_at)
    if until <= house.clock().timestamp():
        raise ended
    if not tenant.opens_app_for(session.fhir_user, session.roles):
        raise UserNotAdmitted(NOT_ADMITTED)
    if not is_poll:
        house = replace(house, ehr=SignedInRecord(handle, session, tenant, house))
    if not chart:
        return OpenLaunch(handle, session, tenant, house)
    readable = ReadableSet(handle, session, tenant, house)
    session, house = open_chart(chart, session, house, readable)
    return OpenLaunch(address, session, tenant, house, worklist=handle)
