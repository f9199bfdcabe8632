"""Reads Qt's binary resource files (formats 1 to 3) without Qt."""

import struct
import zlib

COMPRESSED, FOLDER, ZSTANDARD = 1, 2, 4


def read_rcc(data):
    """Yields each file's path and content; what is packed with Zstandard is left out."""
    magic, version, tree, contents, names = struct.unpack_from(">4s4I", data)
    if magic != b"qres":
        raise ValueError("no Qt resource file")
    node_length = 14 if version == 1 else 22

    def name_of(offset):
        (length,) = struct.unpack_from(">H", data, names + offset)
        start = names + offset + 6  # the length, then a hash
        return data[start : start + 2 * length].decode("utf-16-be")

    def walk(index, path):
        at = tree + index * node_length
        name, flags = struct.unpack_from(">IH", data, at)
        here = path if index == 0 else f"{path}/{name_of(name)}"
        if flags & FOLDER:
            count, first = struct.unpack_from(">II", data, at + 6)
            for child in range(first, first + count):
                yield from walk(child, here)
        elif not flags & ZSTANDARD:
            (offset,) = struct.unpack_from(">I", data, at + 10)
            (length,) = struct.unpack_from(">I", data, contents + offset)
            content = data[contents + offset + 4 : contents + offset + 4 + length]
            yield here, zlib.decompress(content[4:]) if flags & COMPRESSED else content

    yield from walk(0, "")
