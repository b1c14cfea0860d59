"""Look into an ONNX file before any runtime does: opsets, operators, external data, names.

ONNX files are protocol buffers. Reading the few fields that matter takes no parser generator and
no C++; a runtime that opened a hostile file first could already have read other files.

Source: onnx.proto3 (ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto,
FunctionProto), IR version 13; Protocol Buffers encoding; CVE-2022-25882, CVE-2024-27318 and
CVE-2025-51480 (files outside the model's folder read through external data).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["STANDARD_DOMAINS", "OnnxFile", "read_onnx", "unsafe_in"]

STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
MAX_DEPTH = 32  # graphs within graphs
_EXTERNAL = 1  # TensorProto.DataLocation
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}

_Field = tuple[int, int, int | memoryview]  # number, wire type, value


@dataclass(slots=True)
class OnnxFile:
    """What was found in one file."""

    opset: int = 0  # of the standard operators; 0: not stated
    operators: set[tuple[str, str]] = field(default_factory=set)  # domain, name; used
    functions: set[tuple[str, str]] = field(default_factory=set)  # domain, name; defined inside
    has_external_data: bool = False
    inputs: dict[str, tuple[int | str | None, ...]] = field(default_factory=dict)  # with shapes
    outputs: dict[str, tuple[int | str | None, ...]] = field(default_factory=dict)

    @property
    def custom_operators(self) -> tuple[str, ...]:
        """Name the operators that are neither of the standard nor defined in the file."""
        custom = {one for one in self.operators - self.functions if one[0] not in STANDARD_DOMAINS}
        return tuple(sorted(f"{domain}.{name}" for domain, name in custom))


def read_onnx(weights: bytes) -> OnnxFile:
    """Read one file; raise ValueError when it is not an ONNX model."""
    found = OnnxFile()
    initializers: set[str] = set()
    has_graph = False
    for number, kind, value in _fields(memoryview(weights)):
        if (number, kind) == (7, _BYTES):  # graph
            has_graph = True
            _read_graph(_part(value), found, initializers)
        elif (number, kind) == (8, _BYTES):  # opset_import
            domain, version = _opset(_part(value))
            if domain in {"", "ai.onnx"}:
                found.opset = version
        elif (number, kind) == (25, _BYTES):  # functions
            _read_function(_part(value), found)
        elif (number, kind) == (20, _BYTES):  # training_info: two more graphs
            for graph in (*_path(_part(value), 1), *_path(_part(value), 2)):
                _look_into(graph, found, depth=0)
    if not has_graph or not found.outputs:
        raise ValueError("this is not an ONNX model")
    for name in initializers:
        found.inputs.pop(name, None)  # before IR version 4 the weights were inputs too
    return found


def unsafe_in(weights: bytes) -> str:
    """Say as a clause why this file may not be opened; "" when it may."""
    try:
        found = read_onnx(weights)
    except ValueError as error:
        return str(error)
    if found.has_external_data:
        return "it keeps data in other files"
    if found.custom_operators:
        return f"it uses operators that are not standard ({', '.join(found.custom_operators)})"
    return ""


def _read_graph(graph: memoryview, found: OnnxFile, initializers: set[str]) -> None:
    for number, kind, value in _fields(graph):
        if kind != _BYTES:
            continue
        if number == 11:  # input
            name, shape = _value_info(_part(value))
            found.inputs[name] = shape
        elif number == 12:  # output
            name, shape = _value_info(_part(value))
            found.outputs[name] = shape
        elif number == 5:  # initializer
            initializers.add(_text_at(_part(value), 8))
    _look_into(graph, found, depth=0)


def _look_into(graph: memoryview, found: OnnxFile, depth: int) -> None:
    """Note the operators and the tensors of a graph and of the graphs inside it."""
    if depth > MAX_DEPTH:
        raise ValueError("this ONNX model holds too many graphs within graphs")
    for number, kind, value in _fields(graph):
        if kind != _BYTES:
            continue
        if number == 1:  # node
            _read_node(_part(value), found, depth)
        elif number == 5:  # initializer
            _note_tensor(_part(value), found)
        elif number == 15:  # sparse_initializer: values, indices
            _note_sparse(_part(value), found)


def _read_node(node: memoryview, found: OnnxFile, depth: int) -> None:
    found.operators.add((_text_at(node, 7), _text_at(node, 4)))
    for number, kind, value in _fields(node):
        if (number, kind) == (5, _BYTES):
            _read_attribute(_part(value), found, depth)


def _read_attribute(attribute: memoryview, found: OnnxFile, depth: int) -> None:
    for number, kind, value in _fields(attribute):
        if kind != _BYTES:
            continue
        if number in (5, 10):  # t, tensors
            _note_tensor(_part(value), found)
        elif number in (6, 11):  # g, graphs
            _look_into(_part(value), found, depth + 1)
        elif number in (22, 23):  # sparse_tensor, sparse_tensors
            _note_sparse(_part(value), found)


def _read_function(function: memoryview, found: OnnxFile) -> None:
    found.functions.add((_text_at(function, 10), _text_at(function, 1)))
    for number, kind, value in _fields(function):
        if (number, kind) == (7, _BYTES):  # node
            _read_node(_part(value), found, depth=0)
        elif (number, kind) == (11, _BYTES):  # attribute_proto: defaults
            _read_attribute(_part(value), found, depth=0)


def _note_sparse(tensor: memoryview, found: OnnxFile) -> None:
    for number, kind, value in _fields(tensor):
        if number in (1, 2) and kind == _BYTES:  # values, indices
            _note_tensor(_part(value), found)


def _note_tensor(tensor: memoryview, found: OnnxFile) -> None:
    for number, kind, value in _fields(tensor):
        is_place = (number, kind) == (14, _VARINT) and value == _EXTERNAL
        if is_place or (number, kind) == (13, _BYTES):  # data_location, external_data
            found.has_external_data = True


def _value_info(info: memoryview) -> tuple[str, tuple[int | str | None, ...]]:
    """Return name and shape; a dimension is a number, a name, or None where it is open."""
    shape: list[int | str | None] = []
    for number, kind, value in _fields(info):
        if (number, kind) != (2, _BYTES):  # type
            continue
        for dimension in _path(_part(value), 1, 2, 1):  # tensor_type, shape, dim
            size: int | str | None = None
            for inner, inner_kind, part in _fields(dimension):
                if inner == 1 and inner_kind == _VARINT:
                    size = int(part) if isinstance(part, int) else None
                elif inner == 2 and inner_kind == _BYTES:
                    size = _text(_part(part))
            shape.append(size)
    return _text_at(info, 1), tuple(shape)


def _path(message: memoryview, *numbers: int) -> Iterator[memoryview]:
    """Yield the messages at a path of field numbers."""
    if not numbers:
        yield message
        return
    for number, kind, value in _fields(message):
        if (number, kind) == (numbers[0], _BYTES):
            yield from _path(_part(value), *numbers[1:])


def _opset(message: memoryview) -> tuple[str, int]:
    version = 0
    for number, kind, value in _fields(message):
        if (number, kind) == (2, _VARINT) and isinstance(value, int):
            version = value
    return _text_at(message, 1), version


def _text_at(message: memoryview, wanted: int) -> str:
    """Return the last text with this number, as protocol buffers merge; "" without one."""
    found = ""
    for number, kind, value in _fields(message):
        if (number, kind) == (wanted, _BYTES):
            found = _text(_part(value))
    return found


def _text(part: memoryview) -> str:
    return bytes(part).decode("utf-8", "replace")


def _part(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("this is not an ONNX model")
    return value


def _fields(message: memoryview) -> Iterator[_Field]:
    """Yield the fields of one message; raise ValueError where it is cut off or not one."""
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield number, kind, value
            continue
        if kind == _BYTES:
            length, place = _varint(message, place)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise ValueError("this is not an ONNX model")
        if number == 0 or length > end - place:
            raise ValueError("this is not an ONNX model, or it is cut off")
        yield number, kind, message[place : place + length]
        place += length


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 64:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise ValueError("this is not an ONNX model, or it is cut off")
