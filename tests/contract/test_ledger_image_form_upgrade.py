"""The fifteenth revision: archives are asked for images as they are stored, as before."""

from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import SqlTenants, upgrade
from cds_service.domain.image_form import ImageForm
from tests.builders import a_tenant
from tests.contract.test_ledger_trust_upgrade import old as old
from tests.contract.test_ledger_trust_upgrade import registered_then


def test_an_older_registration_is_asked_for_images_as_stored(old: Engine) -> None:
    registered_then(old, "generic", None)

    upgrade(old)

    (tenant,) = SqlTenants(old).all()
    assert tenant.images is ImageForm.AS_STORED


def test_the_form_of_images_is_kept(engine: Engine) -> None:
    SqlTenants(engine).add(a_tenant(images=ImageForm.UNCOMPRESSED))

    (tenant,) = SqlTenants(engine).all()

    assert tenant.images is ImageForm.UNCOMPRESSED
