"""Models: sizes by closed formula and by published table, seeds, names, and the arithmetic in refusals."""

import keras
import numpy as np
import pytest

from seis_tf.dart import networks as dart_networks
from seis_tf.models.layers import ReshapeMaxPool1D, StackableDropout, UnfoldConv1D
from seis_tf.waveforms import networks as waveform_networks


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


@pytest.mark.parametrize(
    ("hidden", "parameters"),
    # (6565 + 1) x 20 + 21 x 3 = 131,383; (6565 + 1) x 50 + 51 x 2 + 3 x 3 = 328,411: the numbers of the exercise.
    [((20,), 131_383), ((50, 2), 328_411), ((), 6566 * 3)],
)
def test_parameters_of_a_perceptron(hidden, parameters):
    model = waveform_networks.mlp((65, 101), 3, hidden)
    assert trainable(model) == waveform_networks.mlp_parameters((65, 101), 3, hidden) == parameters


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"filters": (4, 8), "kernel": 5, "dense": 7},
        {"filters": (3,), "pool": 3, "dropout": 0.0},
        {"stem": (2, 3), "filters": (4, 8)},
        {"dense": 0, "filters": (4,)},
    ],
)
def test_parameters_of_a_convolutional_network(options):
    model = waveform_networks.cnn((20, 30), 3, **options)
    sizes = {"filters": (8, 16, 32)} | {k: v for k, v in options.items() if k != "dropout"}
    assert trainable(model) == waveform_networks.cnn_parameters((20, 30), 3, **sizes)


def test_parameters_of_the_default_network_by_hand():
    # Blocks: 9 x 1 x 8 + 8 = 80, 9 x 8 x 16 + 16 = 1,168, 9 x 16 x 32 + 32 = 4,640. 65 x 101 -> 32 x 50 -> 16 x 25 ->
    # 8 x 12, so 32 x 96 = 3,072 inputs of the dense layer: 3,073 x 20 = 61,460; softmax 21 x 3 = 63.
    assert waveform_networks.cnn_parameters((65, 101), 3, (8, 16, 32)) == 80 + 1_168 + 4_640 + 61_460 + 63
    assert trainable(waveform_networks.cnn((65, 101), 3)) == 67_411


def test_the_published_dart_network():
    # Table 1 of Liu 2021: 45 minutes, 3 buoys, 31 sources.
    model = dart_networks.conv1d(45, 3, 31)
    convolutions = [layer for layer in model.layers if isinstance(layer, UnfoldConv1D)]
    pools = [layer for layer in model.layers if isinstance(layer, ReshapeMaxPool1D)]
    assert [layer.output.shape[1] for layer in convolutions] == [45, 22, 11, 5, 2]
    assert [layer.output.shape[1] for layer in pools] == [22, 11, 5, 2, 1]
    assert [layer.output.shape[2] for layer in pools] == [20, 20, 40, 40, 80]
    counts = [sum(int(np.prod(v.shape)) for v in layer.trainable_variables) for layer in model.layers]
    # (3 x 3 + 1) x 20, (3 x 20 + 1) x 20, (3 x 20 + 1) x 40, (3 x 40 + 1) x 40, (3 x 40 + 1) x 80; 81 x 40; 41 x 31.
    assert [n for n in counts if n] == [200, 1_220, 2_440, 4_840, 9_680, 3_240, 1_271]
    assert trainable(model) == dart_networks.conv1d_parameters(3, 31, (20, 20, 40, 40, 80)) == 22_891


@pytest.mark.parametrize(
    ("window_min", "stages"),
    # Halvings until one sample is left, e.g. 90 -> 45 -> 22 -> 11 -> 5 -> 2 -> 1.
    [(15, 3), (20, 4), (30, 4), (45, 5), (60, 5), (90, 6), (120, 6), (2, 1), (256, 8)],
)
def test_stages_for_a_window(window_min, stages):
    widths = dart_networks.conv1d_widths(window_min, None)
    assert len(widths) == stages
    model = dart_networks.conv1d(window_min, 2, 4)
    assert model.get_layer(f"pool_{stages}").output.shape[1] == 1
    assert trainable(model) == dart_networks.conv1d_parameters(2, 4, widths)
    assert model.output_shape == (None, 4)


@pytest.mark.parametrize(
    ("widths", "received"),
    [
        ((20, 40), "received 2: 45 -> 22 -> 11 samples"),
        ((8,) * 6, "received 6: 45 -> 22 -> 11 -> 5 -> 2 -> 1 -> 0 samples"),
    ],
)
def test_widths_that_do_not_end_at_one_sample_are_refused_with_the_arithmetic(widths, received):
    message = r"widths: expected 5 stages for 45 minutes \(floor\(log2\(45\)\) = 5, so that one sample is left\), "
    with pytest.raises(ValueError, match=message + received):
        dart_networks.conv1d(45, 3, 31, widths)


def test_a_window_of_one_sample_is_refused():
    with pytest.raises(ValueError, match="window_min: expected at least 2 minutes, received 1"):
        dart_networks.conv1d(1, 3, 31)


@pytest.mark.parametrize(
    ("shape", "filters", "options", "message"),
    [
        ((8, 30), (4,) * 4, {}, r"at most 3 blocks .* \(8, 30\) .*\(8 // 2\^blocks >= 1\), received 4"),
        # In floating point, the logarithm of 125 to base 5 is a little above 3, that of 243 to base 3 a little below 5.
        ((125, 200), (4,) * 4, {"pool": 5}, r"at most 3 blocks .*\(125 // 5\^blocks >= 1\), received 4"),
        ((243, 300), (4,) * 6, {"pool": 3}, r"at most 5 blocks .*\(243 // 3\^blocks >= 1\), received 6"),
        ((8, 30), (4,), {"stem": (9, 1)}, r"stem of \(9, 1\) .*received 1"),
    ],
)
def test_pools_that_leave_nothing_are_refused_with_the_arithmetic(shape, filters, options, message):
    with pytest.raises(ValueError, match=message):
        waveform_networks.cnn(shape, 3, filters, **options)


def test_the_smallest_that_works_works():
    assert waveform_networks.cnn((8, 9), 2, (2, 2, 2)).output_shape == (None, 2)


def test_the_mask_is_a_second_set_of_channels():
    model = dart_networks.conv1d(8, 2, 3, (4, 5, 6), use_mask=True)
    assert [i.name for i in model.inputs] == ["water_level_m", "mask"]
    assert trainable(model) == dart_networks.conv1d_parameters(4, 3, (4, 5, 6))


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (lambda: waveform_networks.mlp((4, 5), 3), ("spectrogram", "probabilities")),
        (lambda: waveform_networks.cnn((8, 9), 3, (2,)), ("spectrogram", "probabilities")),
        (lambda: dart_networks.conv1d(4, 2, 3, (2, 2)), ("water_level_m", "weights_m")),
    ],
)
def test_inputs_and_outputs_have_names(build, names):
    model = build()
    assert (model.inputs[0].name, model.output_names[0]) == names


def test_outputs_are_what_they_are_called():
    spectrograms = np.random.default_rng(0).normal(size=(6, 8, 9)).astype(np.float32)
    for model in (waveform_networks.mlp((8, 9), 3), waveform_networks.cnn((8, 9), 3, (2,))):
        probabilities = model.predict(spectrograms, verbose=0)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    levels = np.random.default_rng(0).normal(size=(6, 8, 2)).astype(np.float32)
    for output in ("relu", "softplus"):
        assert dart_networks.conv1d(8, 2, 5, (3, 3, 3), output=output).predict(levels, verbose=0).min() >= 0


@pytest.mark.parametrize(
    "build",
    [
        lambda seed: waveform_networks.mlp((4, 5), 3, (6, 7), seed=seed),
        lambda seed: waveform_networks.cnn((8, 9), 3, (2, 3), seed=seed),
        lambda seed: dart_networks.conv1d(8, 2, 3, (4, 5, 6), seed=seed),
    ],
)
def test_a_seed_gives_the_weights(build):
    first, again, other = (build(seed).get_weights() for seed in (1, 1, 2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert all((a != b).any() for a, b in zip(first, other, strict=True) if a.ndim > 1)


def test_initial_weights_have_their_published_ranges():
    # Glorot's uniform bound is sqrt(6 / (in + out)); PyTorch's for weights is 1 / sqrt(in).
    kernel = waveform_networks.mlp((20, 30), 3, (50,)).get_layer("hidden_1").kernel.numpy()
    assert np.abs(kernel).max() == pytest.approx(np.sqrt(6 / 650), rel=0.01)
    model = dart_networks.conv1d(45, 3, 31)
    for name, fan_in in (("conv_2", 3 * 20), ("linear_1", 80), ("weights_m", 40)):
        kernel = model.get_layer(name).kernel.numpy()
        assert np.abs(kernel).max() == pytest.approx(1 / np.sqrt(fan_in), rel=0.01)


def test_dropout_is_there_only_with_a_rate():
    def dropouts(model):
        return [layer.initial_rate for layer in model.layers if isinstance(layer, StackableDropout)]

    assert dropouts(waveform_networks.mlp((4, 5), 3, (6, 7), dropout=0.2)) == [0.2, 0.2]
    assert dropouts(waveform_networks.mlp((4, 5), 3, (6, 7))) == []
    assert dropouts(waveform_networks.cnn((8, 9), 3, (2,), dropout=0.4)) == [0.4]
    assert dropouts(dart_networks.conv1d(8, 2, 3, (2, 2, 2), dropout=0.1)) == [0.1]


def test_l2_is_keras_own_penalty_on_kernels():
    model = waveform_networks.mlp((4, 5), 3, (6,), l2=0.01)
    kernels = [v for v in model.trainable_variables if v.name == "kernel"]
    assert len(kernels) == 2
    expected = 0.01 * sum(float(np.sum(np.square(v.numpy()))) for v in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-6)
