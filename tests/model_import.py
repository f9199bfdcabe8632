"""The converter of pretrained weights builds tensors and nothing else. Run by `make test`."""

import os
import pathlib
import pickle
import sys
import tempfile
import unittest
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scripts"))

from models_convert import write_safetensors
from models_onnx import read_onnx
from models_torch import read_torch_zip


class Call:
    """Pickles to a call of `function`."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


def archive(content, storage=b""):
    file = pathlib.Path(tempfile.mkdtemp()) / "weights.pkl"
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("weights/data.pkl", content)
        out.writestr("weights/data/0", storage)
    return file


def tensor_pickle(size, stride):
    """What torch writes for one float tensor."""
    # The names are written by hand: pickle itself insists on importing them.
    size, stride = (b"(" + b"".join(b"K" + bytes([n]) for n in values) + b"t" for values in (size, stride))
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
    arguments = b"(" + storage + b"K\x00" + size + stride + b"\x89}t"
    return b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"Rs."


def onnx_file(data, data_type):
    """One float tensor of 2x3, its dims packed."""
    field = lambda number, content: bytes([number << 3 | 2, len(content)]) + content
    tensor = field(1, b"\x02\x03") + bytes([2 << 3, data_type]) + field(8, b"w") + field(9, data)
    file = pathlib.Path(tempfile.mkdtemp()) / "net.onnx"
    file.write_bytes(field(7, field(5, tensor)))
    return file


class ModelImport(unittest.TestCase):
    def test_a_tensor_comes_through(self):
        values = bytes(range(24))
        tensors = read_torch_zip(archive(tensor_pickle((2, 3), (3, 1)), values))
        self.assertEqual(tensors, {"w": ("F32", (2, 3), values)})
        file = pathlib.Path(tempfile.mkdtemp()) / "w.safetensors"
        write_safetensors(file, tensors)
        self.assertTrue(file.read_bytes().endswith(values))

    def test_a_call_is_refused(self):
        for content in (pickle.dumps(Call(os.system, "true")), pickle.dumps(Call(eval, "1"))):
            with self.assertRaisesRegex(pickle.UnpicklingError, "is no tensor"):
                read_torch_zip(archive(content))

    def test_a_short_storage_is_refused(self):
        with self.assertRaisesRegex(pickle.UnpicklingError, "too short"):
            read_torch_zip(archive(tensor_pickle((2, 3), (3, 1)), bytes(20)))

    def test_another_order_is_refused(self):
        with self.assertRaisesRegex(pickle.UnpicklingError, "row order"):
            read_torch_zip(archive(tensor_pickle((2, 3), (1, 2)), bytes(24)))

    def test_an_onnx_file_gives_its_initialisers(self):
        values = bytes(range(24))
        self.assertEqual(read_onnx(onnx_file(values, 1)), {"w": ("F32", (2, 3), values)})

    def test_an_onnx_file_that_does_not_fit_is_refused(self):
        for file, why in ((onnx_file(bytes(20), 1), "but the shape"), (onnx_file(bytes(24), 7), "no float")):
            with self.assertRaisesRegex(ValueError, why):
                read_onnx(file)
        cut = onnx_file(bytes(24), 1)
        cut.write_bytes(cut.read_bytes()[:-3])
        with self.assertRaisesRegex(ValueError, "cut off"):
            read_onnx(cut)


if __name__ == "__main__":
    unittest.main()
