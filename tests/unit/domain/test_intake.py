"""What a door may tell of a study."""

import pytest

from cds_service.domain.intake import Clue


@pytest.mark.parametrize("uid", ["", "1.2.3/../4", "1" * 65])
def test_what_is_no_uid_is_no_clue(uid: str) -> None:
    with pytest.raises(ValueError, match="not a DICOM UID"):
        Clue(uid)


@pytest.mark.parametrize("accession", ["", "A\n1", "A" * 65])
def test_what_is_no_accession_number_is_no_clue(accession: str) -> None:
    with pytest.raises(ValueError, match="not an accession number"):
        Clue("1.2.3", accession)
