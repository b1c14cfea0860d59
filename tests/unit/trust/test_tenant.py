"""What a registration can never be, whoever makes it."""

from typing import Any

import pytest

from cds_service.domain.tenant import ALGORITHM_KEYS
from tests.builders import a_tenant


@pytest.mark.parametrize(
    "changes", [{"jwks": None}, {"jwks_url": "https://ehr.example.org/jwks.json"}]
)
def test_a_tenant_has_one_source_of_keys(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either a JWKS address or a pinned JWK set"):
        a_tenant(**changes)


@pytest.mark.parametrize("algorithms", [(), ("none",), ("ES384", "HS384"), ("HS256",)])
def test_ch2_201_203_a_tenant_never_signs_with_nothing_or_with_a_shared_secret(
    algorithms: tuple[str, ...],
) -> None:
    with pytest.raises(ValueError, match="asymmetric"):
        a_tenant(algorithms=algorithms)


def test_ch2_203_no_algorithm_that_can_be_registered_is_symmetric() -> None:
    assert not [name for name in ALGORITHM_KEYS if name.startswith("HS") or name == "none"]
