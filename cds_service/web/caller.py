"""Where a request comes from, as a refused one is noted.

Source: `domain/caller.py`.
"""

from flask import request

from cds_service.domain.caller import caller_address, neighbourhood


def calling_from() -> str:
    """Return the caller's address, and the proxy's where one says whom it saw."""
    peer = request.remote_addr or ""
    caller = caller_address(peer, request.headers.get("X-Forwarded-For"))
    where = neighbourhood(caller)
    return where if caller == peer else f"{where} through {neighbourhood(peer)}"
