"""Convolutions as loops over pixels: what the blocks, stencils and engines are compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class Geometry:
    """Shapes of a convolution; ``padding`` are the zeros before and after each spatial axis."""

    image: tuple[int, int, int]
    filters: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    groups: int = 1

    @property
    def output(self) -> tuple[int, int, int]:
        rows, columns = (
            (size + sum(pad) - kernel) // stride + 1
            for size, pad, kernel, stride in zip(
                self.image, self.padding, self.kernel, self.strides, strict=False
            )
        )
        return rows, columns, self.filters

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        return (*self.kernel, self.image[2] // self.groups, self.filters)

    def convolve(self, image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """The convolution of an image (rows, columns, channels), as deep learning defines it."""
        padded = np.pad(image, (*self.padding, (0, 0)))
        found = np.zeros(self.output, np.int64)
        height, width = self.kernel
        few_in, few_out = self.image[2] // self.groups, self.filters // self.groups
        for y in range(self.output[0]):
            for x in range(self.output[1]):
                top, left = y * self.strides[0], x * self.strides[1]
                window = padded[top : top + height, left : left + width]
                for f in range(self.filters):
                    first = f // few_out * few_in
                    part = window[:, :, first : first + few_in]
                    found[y, x, f] = (part * kernel[..., f]).sum()
        return found

    def unrolled(self, kernel: np.ndarray) -> sp.csr_array:
        """The matrix of the convolution, one output after the other."""
        size = int(np.prod(self.image))
        numbers = np.pad(np.arange(size).reshape(self.image) + 1, (*self.padding, (0, 0)))
        height, width = self.kernel
        few_in, few_out = self.image[2] // self.groups, self.filters // self.groups
        found = np.zeros((int(np.prod(self.output)), size + 1), np.int64)
        for row, (y, x, f) in enumerate(np.ndindex(self.output)):
            top, left, first = y * self.strides[0], x * self.strides[1], f // few_out * few_in
            window = numbers[top : top + height, left : left + width, first : first + few_in]
            found[row, window] = kernel[..., f]
        return sp.csr_array(found[:, 1:])


def same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding ``'same'``: so many outputs as strides begin in the image, the rest at the end."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


GEOMETRIES = {
    "3x3 to 16 channels": Geometry((7, 7, 4), 16, (3, 3)),
    "strided, 8 channels in 16 lanes": Geometry((11, 11, 2), 8, (3, 3), (2, 2)),
    "strided, same": Geometry((8, 9, 4), 16, (3, 3), (2, 2), (same(8, 3, 2), same(9, 3, 2))),
    "32 channels: two words": Geometry((6, 6, 8), 32, (3, 3), (1, 1), ((1, 1), (1, 1))),
    "12 channels to 12": Geometry((8, 8, 12), 12, (3, 3)),
    "3 channels to 10": Geometry((9, 9, 3), 10, (2, 2)),
    "depthwise": Geometry((8, 8, 16), 16, (3, 3), (1, 1), ((1, 1), (1, 1)), 16),
    "four groups": Geometry((6, 6, 16), 32, (3, 3), (1, 1), ((0, 0), (0, 0)), 4),
    "average pooling": Geometry((10, 10, 16), 16, (2, 2), (2, 2), ((0, 0), (0, 0)), 16),
    "one dimension": Geometry((1, 64, 4), 16, (1, 5), (1, 2)),
    "wide kernel": Geometry((12, 12, 2), 16, (5, 5), (1, 1), ((2, 2), (2, 2))),
    "no overlap": Geometry((12, 12, 8), 16, (2, 2), (3, 3)),
}
