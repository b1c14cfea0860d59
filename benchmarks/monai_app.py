"""A MONAI Deploy application around one ONNX file: loader, selector, volume, then the model.

Runs in an environment of its own, as `python monai_app.py FOLDER MODEL SIZE CHANNELS IMAGES`, and
prints one JSON object: the milliseconds from one finished image to the next, and of each run.

Untyped: the type checker has no MONAI.

Source: monai-deploy-app-sdk 4.0.0, `monai.deploy.core`, `monai.deploy.operators`; its tutorials.
"""

# mypy: disable-error-code="import-not-found"
# ruff: noqa: E402  what stands before the last imports must run before them

import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import monai.deploy
import numpy as np
import onnxruntime as ort
from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application, ConditionType, InputContext, Operator, OperatorSpec
from PIL import Image

# Its package imports every operator, and with them PyTorch, which nothing here needs.
operators = ModuleType("monai.deploy.operators")
operators.__path__ = [str(Path(monai.deploy.__file__).parent / "operators")]
sys.modules[operators.__name__] = operators

from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator
from monai.deploy.operators.dicom_series_to_volume_operator import DICOMSeriesToVolumeOperator


class OnnxOperator(Operator):  # type: ignore[misc]  # MONAI has no types
    """Resize the volume's one slice and run the model, with one thread as the others do."""

    def __init__(self, app: Application, model: str, size: int, channels: int, name: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.name_in = self.session.get_inputs()[0].name
        self.size, self.channels = size, channels
        self.ended: list[float] = []
        self.runs: list[float] = []
        super().__init__(app, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        """Take an image; give a score that nobody need take."""
        spec.input("image")
        spec.output("score").condition(ConditionType.NONE)

    def compute(self, op_input: InputContext, _output: object, _context: object) -> None:
        """Do one image."""
        volume = np.asarray(op_input.receive("image").asnumpy(), dtype=np.float32)
        square = Image.fromarray(np.squeeze(volume)).resize(
            (self.size, self.size), Image.Resampling.BILINEAR
        )
        small = np.asarray(square)
        grey = (small - small.mean()) / small.std()
        tensor = np.repeat(grey[None, None], self.channels, axis=1).astype(np.float32)
        started = time.perf_counter()
        self.session.run(None, {self.name_in: tensor})
        self.ended.append(time.perf_counter())
        self.runs.append(1000 * (self.ended[-1] - started))


class OneModel(Application):  # type: ignore[misc]  # as above
    """The four operators in a line; the same folder is read for every image."""

    def __init__(self, folder: str, model: str, size: int, channels: int, images: int) -> None:
        self.parts = (Path(folder), model, size, channels, images)
        super().__init__([])

    def compose(self) -> None:
        """Put the operators together."""
        folder, model, size, channels, images = self.parts
        # Without a count the loader never ends.
        loader = DICOMDataLoaderOperator(
            self, CountCondition(self, images), input_folder=folder, name="loader"
        )
        selector = DICOMSeriesSelectorOperator(self, all_matched=True, name="selector")
        volume = DICOMSeriesToVolumeOperator(self, name="volume")
        self.model = OnnxOperator(self, model, size, channels, "model")
        self.add_flow(loader, selector, {("dicom_study_list", "dicom_study_list")})
        selected = "study_selected_series_list"
        self.add_flow(selector, volume, {(selected, selected)})
        self.add_flow(volume, self.model, {("image", "image")})


if __name__ == "__main__":
    app = OneModel(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]))
    app.run()
    ended = app.model.ended
    between = [1000 * (after - before) for before, after in pairwise(ended)]
    print(json.dumps({"images": between, "runs": app.model.runs[1:]}))
