"""The EHR's colours, as far as they suit a clinical page: read, checked, and said in our own words.

Nothing of the EHR's text reaches the browser: known variables with plain values are written
again, and a background only where every word that we put on it can still be read.

Source: SMART App Launch 2.2 "Styling apps: smart_style_url" (the address is its own version key);
WCAG 2.2 1.4.3 (contrast 4.5:1).
"""

import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from flask import Response

from cds_service.domain.tenant import Tenant
from cds_service.errors import SightlineError
from smart_app.ehr_http import answer_of, object_in
from smart_app.open_launch import OpenLaunch, within_session
from smart_app.session import SealedStore

log = logging.getLogger(__name__)

CONTRAST = 4.5
LARGEST_RADIUS_PX = 24
# app.css, light: ink, muted, accent, critical, warning, uncertain, clear, excluded.
WORDS_ON_GROUND = (
    *("#16232a", "#526068", "#175e70", "#a61b1b"),
    *("#8a5300", "#5b4a9c", "#2c5f78", "#5a676e"),
)
_COLOUR = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})")
_PIXELS = re.compile(r"[0-9]{1,2}(?:px)?")


def own_style_url(url: str | None, tenant: Tenant) -> str | None:
    """Return the address when it is at one of the EHR's registered origins, else None."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}".lower()
    except ValueError:
        return None
    base = urlsplit(tenant.fhir_base)
    return url if origin in {f"{base.scheme}://{base.netloc}".lower(), *tenant.origins} else None


@within_session
def style(launch: OpenLaunch) -> Response:
    """Answer our stylesheet with the EHR's variables; an empty one when it has none for us."""
    store, kind = SealedStore(launch.house.redis, launch.house.vault), "style"
    variables = store.get(kind, launch.handle)
    if variables is None:
        variables = _read(launch)
        life_s = launch.session.life_s(launch.house.clock().timestamp())
        store.put(kind, launch.handle, variables, life_s)
    return Response(sheet(variables), mimetype="text/css")


def variables_in(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the custom properties of app.css that an EHR's style document sets."""
    found = {}
    ground = str(document.get("color_background", "")).strip().lower()
    if _COLOUR.fullmatch(ground) and all(
        contrast(ground, words) >= CONTRAST for words in WORDS_ON_GROUND
    ):
        found["--ground"] = ground
    radius = str(document.get("dim_border_radius", "")).strip().lower()
    if _PIXELS.fullmatch(radius) and int(radius.removesuffix("px")) <= LARGEST_RADIUS_PX:
        found["--radius"] = f"{int(radius.removesuffix('px'))}px"
    return found


def sheet(variables: Mapping[str, str]) -> str:
    """Return the stylesheet; the dark palette stays ours, since an EHR states one palette."""
    lines = "".join(f" {name}: {value};" for name, value in variables.items())
    return f"@media not (prefers-color-scheme: dark) {{ :root {{{lines} }} }}\n" if lines else ""


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours like "#1a2b3c", 1 to 21 (WCAG 2.2)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    wide = digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)
    channels = (int(wide[start : start + 2], 16) / 255 for start in (0, 2, 4))
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def _read(launch: OpenLaunch) -> dict[str, str]:
    url = launch.session.style_url
    if url is None:
        return {}
    ehr = launch.house.egress.session_for(launch.tenant, also=(url,))
    try:
        response = answer_of(lambda: ehr.get(url, headers={"Accept": "application/json"}))
        return variables_in(object_in(response)) if response.status_code == 200 else {}
    except SightlineError as error:
        log.warning("app: no style, %s, tenant=%s", type(error).__name__, launch.tenant.id)
        return {}
