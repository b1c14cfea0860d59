"""A converted TorchXRayVision DenseNet answers as the library does (`make test-train`).

The weights are seeded and random: the conversion does not depend on them, and none is downloaded.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from cds_service.adapters.model_check import check_package
from cds_service.adapters.pixels import Radiograph
from cds_service.adapters.runtime import OnnxClassifier
from models.contract import ModelCard, ModelPackage

torch = pytest.importorskip("torch", reason="the extra train has PyTorch")
library = pytest.importorskip("torchxrayvision", reason="make test-train installs it")

from models.converters.torchxrayvision import SIZE, a_network, convert  # noqa: E402  after the skip


@pytest.fixture(scope="module")
def network() -> object:
    """The library's own network with random weights, its layers normalised as by training."""
    network = a_network(None)
    seeded = torch.Generator().manual_seed(1)
    with torch.no_grad():
        network.classifier.bias.normal_(generator=seeded)
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 1.0
        network.train()(torch.empty(4, 1, SIZE, SIZE).uniform_(-1024, 1024, generator=seeded))
    return network.eval()


@pytest.fixture(scope="module")
def package(network: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(network, "xrv_random", tmp_path_factory.mktemp("xrv") / "package")


def test_the_package_holds(package: Path) -> None:
    checks = {check.name: check for check in check_package(package)}

    assert [check for check in checks.values() if check.problem] == []
    assert "18 findings" in checks["run"].note


def test_the_outputs_are_those_of_the_library(network: object, package: Path) -> None:
    images = np.random.default_rng(7).uniform(-1024, 1024, (3, 1, SIZE, SIZE)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()  # type: ignore[operator]

    session = onnxruntime.InferenceSession(package / "model.onnx")
    logit, activation = session.run(["logit", "activation"], {"image": images})

    assert logit.shape == (3, 18) and np.abs(expected).max() > 0.5
    assert float(np.abs(logit - expected).max()) <= 1e-4
    assert float(np.abs(activation.mean(axis=(2, 3)) - expected).max()) <= 1e-4


def test_a_film_gives_eighteen_findings(package: Path) -> None:
    card = ModelCard.from_yaml((package / "card.yaml").read_text(encoding="utf-8"))
    classifier = OnnxClassifier(ModelPackage(card, (package / "model.onnx").read_bytes()))
    film = Radiograph(np.random.default_rng(0).random((600, 500), dtype=np.float32))

    outcome = classifier.classify(film)

    assert len({one.coding.code for one in outcome.findings}) == 18
    assert all(one.heat is not None for one in outcome.findings) and outcome.explain is None
