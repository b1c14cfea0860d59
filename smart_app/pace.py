"""How often one address may start a sign-in or come back from one.

Each of them costs calls to an EHR and a place in Redis, and nobody is known yet.

Source: OWASP "Denial of Service"; threat T18.
"""

from flask import request

from cds_service.domain.caller import caller_address
from smart_app.services import AppServices


def count_sign_in(house: AppServices) -> None:
    """Count this request; raise TooManyCalls when its address sends too many."""
    forwarded = request.headers.get("X-Forwarded-For")
    house.count_sign_in(caller_address(request.remote_addr or "", forwarded))
