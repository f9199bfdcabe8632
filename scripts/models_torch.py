"""Reads torch's zip archives without torch, and lets their pickle build tensors and nothing else."""

import collections
import io
import math
import pickle
import zipfile

STORAGES = {"FloatStorage": ("F32", 4), "HalfStorage": ("F16", 2), "DoubleStorage": ("F64", 8), "LongStorage": ("I64", 8)}


class Storage(collections.namedtuple("Storage", "dtype width data")):
    """A storage's bytes, not yet cut to a tensor."""


def rebuild_tensor(storage, offset, size, stride, *_):
    if tuple(stride) != contiguous_stride(size):
        raise pickle.UnpicklingError(f"a tensor of size {tuple(size)} is not stored in row order")
    begin = offset * storage.width
    data = storage.data[begin : begin + math.prod(size) * storage.width]
    if len(data) != math.prod(size) * storage.width:
        raise pickle.UnpicklingError(f"the storage is too short for a tensor of size {tuple(size)}")
    return (storage.dtype, tuple(size), data)


def contiguous_stride(size):
    return tuple(math.prod(size[axis + 1 :]) for axis in range(len(size)))


ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    **{("torch", name): storage for name, storage in STORAGES.items()},
}


class TensorUnpickler(pickle.Unpickler):
    """Refuses every class and function that is not needed for a dictionary of tensors."""

    def __init__(self, file, archive, root):
        super().__init__(file)
        self.archive, self.root = archive, root

    def find_class(self, module, name):
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is no tensor: the file is refused") from None

    def persistent_load(self, identifier):
        kind, (dtype, width), key, _, _ = identifier
        if kind != "storage":
            raise pickle.UnpicklingError(f"{kind!r} is no storage: the file is refused")
        return Storage(dtype, width, self.archive.read(f"{self.root}/data/{key}"))


def read_torch_zip(file):
    """name -> (dtype, shape, bytes in row order) of the dictionary of tensors in `file`."""
    with zipfile.ZipFile(file) as archive:
        pickled = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        stream = io.BytesIO(archive.read(pickled))
        return TensorUnpickler(stream, archive, pickled.removesuffix("/data.pkl")).load()
