"""The demo's ports and addresses: the service where it was asked for, its neighbours next.

The chart runs on `localhost`, the service and the app on `127.0.0.1`: different sites for a
browser, so that every demo launch is a cross-site frame as in an EHR.
"""

import socket
from dataclasses import dataclass

from cds_service.errors import SettingsInvalid

LOOPBACK = "127.0.0.1"
SEARCHED = 200  # ports tried after the service's own


@dataclass(frozen=True, slots=True)
class Addresses:
    """The ports of one demo, and the URLs that follow from them; no trailing slashes."""

    service_port: int
    chart_port: int
    redis_port: int

    @property
    def service(self) -> str:
        """Base of the CDS service and the app."""
        return f"http://{LOOPBACK}:{self.service_port}"

    @property
    def chart(self) -> str:
        """Origin of the sandbox EHR."""
        return f"http://localhost:{self.chart_port}"

    @property
    def fhir(self) -> str:
        """The sandbox EHR's FHIR base."""
        return f"{self.chart}/fhir"

    @property
    def archive(self) -> str:
        """The sandbox EHR's DICOMweb base."""
        return f"{self.chart}/dicom-web"

    @property
    def app(self) -> str:
        """Where an EHR launches the app."""
        return f"{self.service}/app/launch"

    @property
    def jwks(self) -> str:
        """The app's public keys."""
        return f"{self.service}/app/.well-known/jwks.json"

    @property
    def redis(self) -> str:
        """The demo's own Redis."""
        return f"redis://{LOOPBACK}:{self.redis_port}/0"


def choose(service_port: int) -> Addresses:
    """Find free ports; raise SettingsInvalid when the service's own is taken."""
    if not _is_free(service_port):
        raise SettingsInvalid(
            f"Port {service_port} is in use: choose another with `sightline demo --port N`"
            " (or `make demo PORT=N`)."
        )
    free = [
        port
        for port in range(service_port + 1, min(service_port + SEARCHED, 65536))
        if _is_free(port)
    ]
    if len(free) < 2:
        raise SettingsInvalid(f"No two free ports after {service_port}: choose another --port.")
    return Addresses(service_port, free[0], free[1])


def _is_free(port: int) -> bool:
    """Tell whether we can listen here; connections that are closing do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
