"""In which form an archive is asked for images, and what is done where it cannot convert.

Source: DICOM PS3.18 8.7.3.5.2 (transfer-syntax), 10.4.1.3 (status codes); ADR 0013.
"""

from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from cds_service.adapters.archive import DicomWebArchive
from cds_service.adapters.asked_syntax import CANNOT, REMEMBERED_S, Unable
from cds_service.adapters.egress import Egress
from cds_service.adapters.pixels import DicomReader
from cds_service.domain.image_form import ImageForm
from cds_service.domain.instance_digest import instance_digest
from cds_service.errors import ArchiveFailed, ArchiveRefused, SightlineError, StudyIncomplete
from cds_service.usecases.ports import Budget
from tests.builders import a_study, a_tenant
from tests.contract.test_archive import films
from tests.contract.wado_server import WadoServer, asked_syntax, multipart, wado_server
from tests.fakes.imaging import STUDY_UID
from tests.real.servers import orthanc
from tests.unit.imaging.dicom import a_film, as_file

STORED, CONVERTED = b"as stored" * 100, b"converted" * 100
SYNTAX = {ImageForm.UNCOMPRESSED: ExplicitVRLittleEndian, ImageForm.RLE: RLELossless}
CONVERTING = sorted(SYNTAX)


@pytest.fixture
def server() -> Iterator[WadoServer]:
    with wado_server() as running:
        running.studies[STUDY_UID] = [STORED]
        yield running


def fetch(
    server: WadoServer,
    form: ImageForm = ImageForm.UNCOMPRESSED,
    unable: Unable | None = None,
    **limits: float,
) -> list[bytes]:
    archive = DicomWebArchive(partial(Egress().session_for, **limits), unable=unable)
    tenant = a_tenant(archive_base=server.base, images=form)
    return list(archive.instances(tenant, a_study(), Budget()))


def syntaxes(server: WadoServer) -> list[str]:
    return [asked_syntax(headers) for _, headers in server.asked]


def test_without_a_word_of_the_site_images_are_asked_for_as_stored(server: WadoServer) -> None:
    server.forms = {ExplicitVRLittleEndian: [CONVERTED], RLELossless: [CONVERTED]}

    assert fetch(server, a_tenant().images) == [STORED]
    assert syntaxes(server) == ["*"]


@pytest.mark.parametrize("form", CONVERTING)
def test_a_site_gets_images_in_the_form_that_it_asks_for(
    server: WadoServer, form: ImageForm
) -> None:
    server.forms = {SYNTAX[form]: [CONVERTED]}

    assert fetch(server, form) == [CONVERTED]
    assert syntaxes(server) == [SYNTAX[form]]


@pytest.mark.parametrize("form", CONVERTING)
@pytest.mark.parametrize("status", sorted(CANNOT))
def test_an_archive_that_cannot_convert_is_asked_for_what_it_has(
    server: WadoServer, form: ImageForm, status: int
) -> None:
    server.forms = {SYNTAX[form]: status}

    assert fetch(server, form) == [STORED]
    assert syntaxes(server) == [SYNTAX[form], "*"]


@pytest.mark.parametrize(
    ("status", "error"),
    [(204, StudyIncomplete), (403, ArchiveRefused), (404, StudyIncomplete), (503, ArchiveFailed)],
)
def test_what_says_nothing_about_conversion_is_not_asked_again(
    server: WadoServer, status: int, error: type[SightlineError]
) -> None:
    server.forms = {ExplicitVRLittleEndian: status}

    with pytest.raises(error):
        fetch(server)

    assert syntaxes(server) == [ExplicitVRLittleEndian]


def test_an_archive_that_takes_too_long_to_convert_is_asked_for_what_it_has(
    server: WadoServer,
) -> None:
    ended = Event()

    def convert(_path: str) -> None:
        if syntaxes(server)[-1] != "*":
            ended.wait(60)

    server.before_answer = convert

    instances = fetch(server, timeout_s=3.0)
    ended.set()

    assert instances == [STORED]
    assert syntaxes(server) == [ExplicitVRLittleEndian, "*"]


def test_each_of_the_images_that_came_alone_may_be_one_that_cannot_be_converted(
    server: WadoServer,
) -> None:
    server.films = films(3)
    server.cut_at = len(multipart(list(server.films.values())[:1])) + 40
    series = next(iter(server.films))[0]

    def refuse(path: str) -> None:
        server.forms = {ExplicitVRLittleEndian: 500} if path.endswith(f"{series}.2") else {}

    server.before_answer = refuse

    assert fetch(server) == list(server.films.values())
    assert syntaxes(server).count("*") == 1


# --- what is remembered --------------------------------------------------------------------------


def test_an_archive_that_cannot_is_not_asked_twice_for_every_study(server: WadoServer) -> None:
    now_s, unable = [1000.0], Unable(lambda: now_s[0])
    server.forms = {ExplicitVRLittleEndian: 406}

    assert [fetch(server, unable=unable) for _ in range(3)] == [[STORED]] * 3
    assert syntaxes(server) == [ExplicitVRLittleEndian, "*", "*", "*"]

    now_s[0] += REMEMBERED_S
    server.asked.clear()
    server.forms = {ExplicitVRLittleEndian: [CONVERTED]}
    assert fetch(server, unable=unable) == [CONVERTED]
    assert syntaxes(server) == [ExplicitVRLittleEndian]


def test_another_archive_and_another_form_are_asked_all_the_same(server: WadoServer) -> None:
    unable = Unable(lambda: 1000.0)
    server.forms = {ExplicitVRLittleEndian: 406, RLELossless: [CONVERTED]}
    fetch(server, unable=unable)

    with wado_server() as other:
        other.studies[STUDY_UID], other.forms = [STORED], {ExplicitVRLittleEndian: [CONVERTED]}

        assert fetch(other, unable=unable) == [CONVERTED]
    assert fetch(server, ImageForm.RLE, unable) == [CONVERTED]


def test_an_archive_that_fails_altogether_is_not_one_that_cannot_convert(
    server: WadoServer,
) -> None:
    unable = Unable(lambda: 1000.0)
    server.status = 500
    with pytest.raises(ArchiveFailed):
        fetch(server, unable=unable)

    server.status, server.forms = 200, {ExplicitVRLittleEndian: [CONVERTED]}

    assert fetch(server, unable=unable) == [CONVERTED]


# --- Orthanc -------------------------------------------------------------------------------------


def a_file(number: int, syntax: UID | None) -> bytes:
    picture = np.linspace(0, 4095, 96 * 80).reshape(96, 80).astype(np.uint16)
    film = a_film(picture, SOPInstanceUID=f"1.2.840.99999.1.1.{number}")
    if syntax is not None:
        film.compress(syntax, generate_instance_uid=False)
    return as_file(film)


def syntax_of(instance: bytes) -> UID:
    return UID(dcmread(BytesIO(instance)).file_meta.TransferSyntaxUID)


@pytest.mark.real
@pytest.mark.xdist_group("orthanc")
@pytest.mark.parametrize(
    ("stored", "uncompressed", "rle"),
    [
        (JPEGLSLossless, ExplicitVRLittleEndian, JPEGLSLossless),
        (RLELossless, ExplicitVRLittleEndian, RLELossless),
        (JPEG2000Lossless, JPEG2000Lossless, JPEG2000Lossless),
        (None, ExplicitVRLittleEndian, ExplicitVRLittleEndian),
    ],
    ids=["JPEG-LS", "RLE", "JPEG 2000", "uncompressed"],
)
def test_orthanc_converts_what_it_can_and_gives_the_rest_as_stored(
    tmp_path: Path, stored: UID | None, uncompressed: UID, rle: UID
) -> None:
    file = a_file(1, stored)
    archive = DicomWebArchive(Egress().session_for)
    with orthanc(tmp_path) as server:
        server.upload(file)

        came = {
            form: list(
                archive.instances(
                    a_tenant(archive_base=server.dicom_web, images=form), a_study(), Budget()
                )
            )
            for form in ImageForm
        }
        tenant = a_tenant(archive_base=server.dicom_web, images=ImageForm.UNCOMPRESSED)
        alone = archive.instance(tenant, a_study(), "1.2.840.99999.1.1", "1.2.840.99999.1.1.1")

    assert came[ImageForm.AS_STORED] == [file]
    assert [syntax_of(*came[form]) for form in CONVERTING] == [rle, uncompressed]
    # The same for whoever asks, in a study and alone: results are bound to it.
    assert [instance_digest(alone)] == [*map(instance_digest, came[ImageForm.UNCOMPRESSED])]
    pixels = [DicomReader().pixels(one, 1).values for [one] in came.values()]
    assert all(np.array_equal(one, pixels[0]) for one in pixels)


@pytest.mark.real
@pytest.mark.xdist_group("orthanc")
def test_orthanc_gives_a_study_as_stored_when_it_cannot_convert_one_of_its_images(
    tmp_path: Path,
) -> None:
    files = [a_file(1, JPEGLSLossless), a_file(2, JPEG2000Lossless)]
    archive = DicomWebArchive(Egress().session_for)
    with orthanc(tmp_path) as server:
        server.upload(*files)
        tenant = a_tenant(archive_base=server.dicom_web, images=ImageForm.UNCOMPRESSED)

        study = list(archive.instances(tenant, a_study(), Budget()))
        alone = archive.instance(tenant, a_study(), "1.2.840.99999.1.1", "1.2.840.99999.1.1.1")

    assert sorted(study) == sorted(files)
    assert syntax_of(alone) == ExplicitVRLittleEndian
