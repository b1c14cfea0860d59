"""The parts of the pipeline's benchmark: the graph, the film, and three ways that do the work."""

import numpy as np
import pytest
from pydicom.uid import UID, ExplicitVRLittleEndian

from benchmarks.densenet import densenet_121
from benchmarks.films import COLUMNS, ROWS, SYNTAXES, film
from benchmarks.ways import WAYS, least_work, ways
from cds_service.adapters.pixels import DicomReader
from models.contract import ModelPackage


@pytest.fixture(scope="module")
def package() -> ModelPackage:
    return densenet_121()


def test_the_graph_has_the_size_of_densenet_121_and_is_the_same_at_every_call(
    package: ModelPackage,
) -> None:
    assert 27e6 < len(package.weights) < 33e6  # 6.95 million weights without the 1000 classes
    assert densenet_121().card.digest == package.card.digest


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_the_film_is_the_same_image_in_every_transfer_syntax(syntax: UID) -> None:
    coded = film(syntax)

    image = DicomReader().pixels(coded)

    assert DicomReader().header(coded).transfer_syntax == syntax
    assert (image.rows, image.columns) == (ROWS, COLUMNS)
    plain = DicomReader().pixels(film(ExplicitVRLittleEndian))
    assert np.array_equal(image.values, plain.values)


def test_every_way_runs_the_model_on_the_film(package: ModelPackage) -> None:
    going = ways(film(), package, threads=1)

    assert [going[way]() is not None for way in WAYS] == [True, True, True]
    [finding] = going.ours().findings
    assert 0.0 < finding.probability < 1.0


def test_the_least_work_makes_a_tensor_as_the_model_wants_it() -> None:
    tensor = least_work(film(), 224, 3)

    assert tensor.shape == (1, 3, 224, 224) and tensor.dtype == np.float32
    assert abs(float(tensor.mean())) < 1e-3 and abs(float(tensor.std()) - 1) < 1e-3
