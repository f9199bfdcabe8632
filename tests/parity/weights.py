"""Values that the fixture scripts and the Rust tests (tests/common/mod.rs) derive alike from a seed and a name."""

import numpy as np
import torch

MASK = (1 << 64) - 1


def random_values(seed, name, count):
    """Uniform in -1..1: splitmix64 of (FNV-1a of the name, xor seed, plus the index)."""
    base = 0xCBF29CE484222325
    for byte in name.encode():
        base = ((base ^ byte) * 0x100000001B3) & MASK
    base ^= seed
    with np.errstate(over="ignore"):
        z = np.uint64(base) + np.arange(count, dtype=np.uint64)
        z = z * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)


def random_tensor(seed, name, shape):
    return torch.from_numpy(random_values(seed, name, int(np.prod(shape)))).reshape(shape)


@torch.no_grad()
def fill(network, seed, prefix=""):
    """Every parameter, norms and zero-initialised layers included."""
    for name, parameter in network.named_parameters():
        name = prefix + name
        values = random_tensor(seed, name, parameter.shape)
        if parameter.dim() == 1 and name.endswith("weight"):
            values = values * 0.2 + 1
        elif parameter.dim() == 1:
            values = values * 0.2
        else:
            values = values * (3 / np.prod(parameter.shape[1:])) ** 0.5
        parameter.copy_(values)
    return network.eval()
