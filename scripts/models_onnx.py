"""Reads the initialisers of an ONNX file: a protobuf, of which only these fields matter.

ModelProto.graph = 7, GraphProto.initializer = 5, TensorProto: dims = 1, data_type = 2, name = 8, raw_data = 9.
"""

FLOAT = 1
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """Each field of a message as (number, value): an int, or the bytes of a message, text or packed list."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = varint(data, at)
        elif wire in (LENGTH, FIXED32, FIXED64):
            length = {FIXED32: 4, FIXED64: 8}.get(wire)
            if length is None:
                length, at = varint(data, at)
            value, at = data[at : at + length], at + length
            if len(value) < length:
                raise ValueError("the file is cut off")
        else:
            raise ValueError(f"no ONNX file: wire type {wire}")
        yield number, value


def dims(values):
    """A list of ints, packed or one a field."""
    for value in values:
        if isinstance(value, int):
            yield value
        else:
            at = 0
            while at < len(value):
                number, at = varint(value, at)
                yield number


def tensor(message):
    found = {}
    for number, value in fields(message):
        found.setdefault(number, []).append(value)
    name, shape = found[8][0].decode(), tuple(dims(found.get(1, [])))
    if found[2] != [FLOAT] or 9 not in found:
        raise ValueError(f"{name} is no float tensor with raw data")
    data, count = found[9][0], 1
    for length in shape:
        count *= length
    if len(data) != 4 * count:
        raise ValueError(f"{name} has {len(data)} bytes, but the shape {shape}")
    return name, ("F32", shape, data)


def read_onnx(file):
    """name -> (dtype as safetensors calls it, shape, bytes in row order)."""
    graphs = [value for number, value in fields(file.read_bytes()) if number == 7]
    return dict(tensor(value) for graph in graphs for number, value in fields(graph) if number == 5)
