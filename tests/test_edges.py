"""The warm-up: checkerboard, edge kernels, convolution against hand values and against a Keras layer."""

import keras
import numpy as np
import pytest

from seis_tf.edges import KERNELS, checkerboard, convolve, edges_figure, observation


def test_a_small_checkerboard_by_hand():
    expected = [
        [7, 7, 1, 1, 7, 7],
        [7, 7, 1, 1, 7, 7],
        [1, 1, 7, 7, 1, 1],
        [1, 1, 7, 7, 1, 1],
        [7, 7, 1, 1, 7, 7],
        [7, 7, 1, 1, 7, 7],
    ]
    np.testing.assert_array_equal(checkerboard(patch_dim=2, n_patch=3, i_bright=7, i_dark=1), expected)
    assert checkerboard().shape == (20, 20)
    assert checkerboard(patch_dim=50).shape == (200, 200)


def test_an_impulse_gives_the_kernel_itself():
    # By the definition: x is 1 at one pixel, so y is w around it, not turned.
    image = np.zeros((5, 5), int)
    image[2, 2] = 1
    for kernel in KERNELS.values():
        np.testing.assert_array_equal(convolve(image, kernel), kernel)


def test_the_answers_at_edges_by_hand():
    board = checkerboard(patch_dim=5, n_patch=4, i_bright=10, i_dark=0)
    # [r, c] of the result is centred on pixel [r + 1, c + 1]. Pixel rows 0 to 4 of column 2 are bright, 5 to 9 dark.
    # The turned kernel has -3 -10 -3 on top, +3 +10 +3 below: bright over dark gives -16 * 10.
    horizontal = convolve(board, KERNELS["hor_kernel"])
    np.testing.assert_array_equal(horizontal[:9, 1], [0, 0, 0, -160, -160, 0, 0, 0, 160])
    # No answer along a vertical edge: row 2, all columns of the first row of squares.
    assert not horizontal[1].any()
    # Turned: -1 0 1 in each of three rows: dark right of bright gives -3 * 10, on both sides of the edge.
    vertical = convolve(board, KERNELS["ver_kernel"])
    np.testing.assert_array_equal(vertical[1, :9], [0, 0, 0, -30, -30, 0, 0, 0, 30])
    assert not vertical[:, 1].any()
    # 9 times the pixel minus the sum of its 3 x 3: 90 - 60 on the bright side, 0 - 30 on the dark side.
    every = convolve(board, KERNELS["all_kernel"])
    np.testing.assert_array_equal(every[1, :6], [0, 0, 0, 30, -30, 0])
    np.testing.assert_array_equal(every[:6, 1], [0, 0, 0, 30, -30, 0])
    # At a corner of a bright square five of the nine are bright: 90 - 50.
    assert every[3, 3] == 40


@pytest.mark.parametrize("name", list(KERNELS))
def test_a_keras_layer_does_not_turn_the_kernel(name):
    kernel = KERNELS[name]
    board = checkerboard()
    layer = keras.layers.Conv2D(1, 3, padding="valid", use_bias=False)
    layer.build((None, 20, 20, 1))

    def of_layer(weights):
        layer.set_weights([weights[:, :, None, None].astype(np.float32)])
        return keras.ops.convert_to_numpy(layer(board[None, :, :, None].astype(np.float32)))[0, :, :, 0]

    # Integers below 2^24: float32 is exact.
    np.testing.assert_array_equal(of_layer(kernel[::-1, ::-1]), convolve(board, kernel))
    sign = 1 if name == "all_kernel" else -1
    np.testing.assert_array_equal(of_layer(kernel), sign * convolve(board, kernel))


def test_the_sentence_says_how_much_answers():
    # Three inner edges of two pixels each in 18 columns: 33 %; both ways 1 - (12/18)^2 = 56 %.
    small = observation(5)
    assert "33% of the pixels" in small and "56% to all edges" in small
    assert "merge into a pattern" in small
    # 6 of 198: 3 %; 1 - (192/198)^2 = 6 %.
    large = observation(50)
    assert "3% of the pixels" in large and "6% to all edges" in large
    assert "thin lines" in large
    assert "no kernel answers" in observation(5, i_bright=3, i_dark=3)


def test_the_figure_has_a_row_of_four_panels_for_each_size(tmp_path):
    figure = edges_figure()
    assert len(figure.subfigs) == 2
    for row, patch_dim in zip(figure.subfigs, (5, 50), strict=True):
        panels = [axis for axis in row.axes if axis.images]
        assert [axis.get_title() for axis in panels] == ["checkerboard", "hor_kernel", "ver_kernel", "all_kernel"]
        np.testing.assert_array_equal(panels[0].images[0].get_array(), checkerboard(patch_dim))
        board = checkerboard(patch_dim)
        np.testing.assert_array_equal(panels[3].images[0].get_array(), convolve(board, KERNELS["all_kernel"]))
        assert row.get_suptitle().replace("\n", " ") == observation(patch_dim)
    figure.savefig(tmp_path / "edges.png")
    assert (tmp_path / "edges.png").stat().st_size > 10_000


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="patch_dim: expected at least 1, received 0"):
        checkerboard(patch_dim=0)
    with pytest.raises(ValueError, match="n_patch: expected at least 1, received -1"):
        checkerboard(n_patch=-1)
    with pytest.raises(ValueError, match=r"image: expected at least the kernel's shape \(3, 3\), received \(2, 2\)"):
        edges_figure(patch_dims=(1,), n_patch=2)
