"""What a convolution sees: a checkerboard and three 3 x 3 kernels for its horizontal, vertical and all edges.

The warm-up before the networks: their first layers learn such kernels from the data. A leaf: nothing imports it but the
command that draws it.
"""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.figure import Figure
from scipy import signal

KERNELS = {
    "hor_kernel": np.array([[3, 10, 3], [0, 0, 0], [-3, -10, -3]]),
    "ver_kernel": np.array([[1, 0, -1], [1, 0, -1], [1, 0, -1]]),
    "all_kernel": np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
}


def checkerboard(patch_dim: int = 5, n_patch: int = 4, i_bright: int = 10, i_dark: int = 0) -> np.ndarray:
    """Alternating squares, the top left one bright.

    Args:
        patch_dim: side of a square in pixels.
        n_patch: squares along each side of the image.
        i_bright: value of the bright squares.
        i_dark: value of the dark ones.

    Returns:
        [row, column], n_patch * patch_dim pixels a side, of NumPy's type for the two values.

    Raises:
        ValueError: patch_dim or n_patch is below 1.
    """
    for name, value in (("patch_dim", patch_dim), ("n_patch", n_patch)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, received {value}")
    row, column = np.indices((n_patch * patch_dim, n_patch * patch_dim)) // patch_dim
    return np.where((row + column) % 2 == 0, i_bright, i_dark)


def convolve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolution where the kernel lies wholly inside the image (`scipy.signal.convolve2d`, mode "valid").

    A convolution, y[i, j] = sum over k, l of x[i - k, j - l] w[k, l], reads the kernel turned by 180 degrees: flipped
    in both axes. A convolutional layer (Keras's `Conv2D`) does not turn it: it is a cross-correlation. The layer with
    `kernel[::-1, ::-1]` as its weights gives this function's result. With the kernel as it is, `hor_kernel` and
    `ver_kernel` give the result with the other sign, as turning changes their sign, and `all_kernel`, which turning
    leaves as it is, gives the same. A layer that learns its kernels does not care.

    Args:
        image: [row, column].
        kernel: [row, column], not larger than the image.

    Returns:
        [row - kernel rows + 1, column - kernel columns + 1].

    Raises:
        ValueError: the image is smaller than the kernel.
    """
    if image.shape[0] < kernel.shape[0] or image.shape[1] < kernel.shape[1]:
        raise ValueError(f"image: expected at least the kernel's shape {kernel.shape}, received {image.shape}")
    return signal.convolve2d(image, kernel, mode="valid")


def observation(patch_dim: int, n_patch: int = 4, i_bright: int = 10, i_dark: int = 0) -> str:
    """One sentence on what the kernels show on this checkerboard, with how much of the image answers."""
    board = checkerboard(patch_dim, n_patch, i_bright, i_dark)
    share = {name: np.mean(convolve(board, kernel) != 0) for name, kernel in KERNELS.items()}
    one_way, all_ways = share["ver_kernel"], share["all_kernel"]
    # Each edge gives a band of two pixels. Where the bands fill a third of the image, they are no lines to the eye.
    if all_ways == 0:
        return f"Squares of {patch_dim} pixels: no kernel answers, as the image has no edges."
    if all_ways > 1 / 3:
        seen = "the bands, two pixels wide, are coarse beside the squares and merge into a pattern instead of outlines"
    else:
        seen = "thin lines trace the outlines of the squares, and their insides vanish"
    return (
        f"Squares of {patch_dim} pixels: {one_way:.0%} of the pixels answer to vertical edges alone and "
        f"{all_ways:.0%} to all edges, so {seen}."
    )


def edges_figure(
    patch_dims: tuple[int, ...] = (5, 50), n_patch: int = 4, i_bright: int = 10, i_dark: int = 0
) -> Figure:
    """The checkerboard and its three convolutions, one row for each size of the squares, each with a sentence above.

    Args:
        patch_dims: side of a square in pixels, one row of panels each.
        n_patch: squares along each side.
        i_bright: value of the bright squares.
        i_dark: value of the dark ones.

    Raises:
        ValueError: a size is below 1, or the board is smaller than the kernels.
    """
    figure = Figure(figsize=(14, 3.9 * len(patch_dims)), layout="constrained")
    rows = figure.subfigures(len(patch_dims), 1, squeeze=False)[:, 0]
    for row, patch_dim in zip(rows, patch_dims, strict=True):
        board = checkerboard(patch_dim, n_patch, i_bright, i_dark)
        row.suptitle(textwrap.fill(observation(patch_dim, n_patch, i_bright, i_dark), 120), fontsize="medium")
        axes = row.subplots(1, 1 + len(KERNELS))
        shown = axes[0].imshow(board, cmap="gray", extent=(0, len(board), len(board), 0))
        axes[0].set_title("checkerboard")
        row.colorbar(shown, ax=axes[0], shrink=0.8)
        for axis, (name, kernel) in zip(axes[1:], KERNELS.items(), strict=True):
            answer = convolve(board, kernel)
            limit = max(np.abs(answer).max(), 1)
            # The kernel's middle starts at pixel 1: the result is drawn where it belongs on the board.
            extent = (1, len(board) - 1, len(board) - 1, 1)
            shown = axis.imshow(answer, cmap="RdBu_r", vmin=-limit, vmax=limit, extent=extent, interpolation="nearest")
            axis.set(title=name, xlim=(0, len(board)), ylim=(len(board), 0))
            row.colorbar(shown, ax=axis, shrink=0.8)
        axes[0].set_ylabel("pixel")
    return figure
