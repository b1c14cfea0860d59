"""A file is looked into before any runtime opens it."""

import numpy as np
import pytest

from models.onnx_file import read_onnx, unsafe_in
from models.registry import package_of
from tests.unit.models.networks import SIZE, halves, onnx


def test_opset_operators_names_and_shapes_are_read() -> None:
    found = read_onnx(halves())

    assert found.opset == 17 and found.custom_operators == ()
    assert found.inputs == {"pixels": ("N", 1, SIZE, SIZE)} and found.outputs == {"out": ("N", 2)}
    assert ("", "MatMul") in found.operators
    assert unsafe_in(halves()) == ""


def test_the_bundled_model_reads_as_the_onnx_package_reads_it() -> None:
    weights = package_of("cxr_pneumonia_peds").weights
    theirs = onnx.load_from_string(weights)

    found = read_onnx(weights)

    assert found.opset == theirs.opset_import[0].version
    assert found.operators == {(node.domain, node.op_type) for node in theirs.graph.node}
    assert list(found.outputs) == [output.name for output in theirs.graph.output]


def test_an_operator_of_its_own_is_named() -> None:
    custom = onnx.helper.make_node("Reach", ["out"], ["far"], domain="com.example")

    assert unsafe_in(halves(nodes=(custom,))) == (
        "it uses operators that are not standard (com.example.Reach)"
    )


def test_an_operator_inside_a_branch_is_found_too() -> None:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    inner = helper.make_graph(
        [helper.make_node("Reach", ["out"], ["far"], domain="com.example")],
        "branch",
        [],
        [helper.make_tensor_value_info("far", kind, None)],
    )
    branch = helper.make_node("If", ["yes"], ["far"], then_branch=inner, else_branch=inner)

    assert "com.example.Reach" in unsafe_in(halves(nodes=(branch,)))


def test_an_operator_that_the_file_defines_is_no_custom_one() -> None:
    used = onnx.helper.make_node("Twice", ["out"], ["more"], domain="com.example")
    model = onnx.load_from_string(halves(nodes=(used,)))
    model.functions.append(
        onnx.helper.make_function(
            "com.example",
            "Twice",
            ["x"],
            ["y"],
            [onnx.helper.make_node("Add", ["x", "x"], ["y"])],
            [onnx.helper.make_opsetid("", 17)],
        )
    )

    assert unsafe_in(model.SerializeToString()) == ""


@pytest.mark.parametrize("place", ["initializer", "attribute", "branch"])
def test_data_in_other_files_are_refused_wherever_they_hide(place: str) -> None:
    tensor = onnx.numpy_helper.from_array(np.zeros(3, np.float32), "outside")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../outside"
    model = onnx.load_from_string(halves())
    constant = onnx.helper.make_node("Constant", [], ["c"], value=tensor)
    if place == "initializer":
        model.graph.initializer.append(tensor)
    elif place == "attribute":
        model.graph.node.append(constant)
    else:
        inner = onnx.helper.make_graph([constant], "branch", [], [])
        branch = onnx.helper.make_node("If", ["yes"], ["c"], then_branch=inner, else_branch=inner)
        model.graph.node.append(branch)

    assert unsafe_in(model.SerializeToString()) == "it keeps data in other files"


@pytest.mark.parametrize(
    "weights", [b"", b"not an ONNX file", b"\x3a\xff\xff\xff\x7f", b"\xff" * 40], ids=repr
)
def test_what_is_no_onnx_file_is_said_to_be_none(weights: bytes) -> None:
    assert "not an ONNX model" in unsafe_in(weights)


@pytest.mark.parametrize("cut", range(1, 200, 7))
def test_a_file_that_is_cut_off_never_passes(cut: int) -> None:
    weights = halves()

    assert unsafe_in(weights[: len(weights) - cut]) != ""
