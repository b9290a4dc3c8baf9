"""Costs against sums done by hand and against TensorFlow's own count."""

from __future__ import annotations

import pytest
import tensorflow as tf

from seis_tf.dart import networks as dart_networks
from seis_tf.evaluation.stats import cost
from seis_tf.waveforms import networks as waveform_networks


def test_the_published_numbers_of_parameters():
    costs = cost.layer_costs(waveform_networks.mlp((65, 101), 3, (50, 2)))
    assert [c.parameters for c in costs] == [6566 * 50, 51 * 2, 3 * 3]
    assert sum(c.parameters for c in costs) == 328_411
    # The DART network of 45 minutes, 3 buoys, 31 sources.
    assert sum(c.parameters for c in cost.layer_costs(dart_networks.conv1d(45, 3, 31))) == 22_891


def test_flops_by_hand():
    costs = {c.name: c for c in cost.layer_costs(waveform_networks.cnn((8, 12), 3, (2, 4), dense=5))}
    # 3 x 3 kernels from 1 to 2 channels at 8 x 12 places, from 2 to 4 at 4 x 6; then 2 x 3 x 4 -> 5 -> 3.
    assert costs["conv_1"].flops == 2 * 9 * 1 * 2 * 8 * 12
    assert costs["conv_2"].flops == 2 * 9 * 2 * 4 * 4 * 6
    assert costs["dense"].flops == 2 * 24 * 5
    assert costs["probabilities"].flops == 2 * 5 * 3
    assert costs["conv_2"].output_shape == (4, 6, 4)
    costs = {c.name: c for c in cost.layer_costs(dart_networks.conv1d(8, 2, 3))}
    # Kernels of 3 at 8, 4 and 2 minutes: 2 -> 20 -> 40 -> 80 channels; then 80 -> 40 -> 3.
    assert [costs[f"conv_{k}"].flops for k in (1, 2, 3)] == [6 * 2 * 20 * 8, 6 * 20 * 40 * 4, 6 * 40 * 80 * 2]
    assert sum(c.flops for c in costs.values()) == 1920 + 19200 + 38400 + 2 * 80 * 40 + 2 * 40 * 3


@pytest.mark.parametrize(
    "model", [waveform_networks.mlp((9, 8), 3, (7,)), waveform_networks.cnn((8, 12), 3, (2, 4), dense=5)],
    ids=lambda model: model.name,
)  # fmt: skip
def test_flops_are_those_that_tensorflow_counts_for_products(model):
    function = tf.function(lambda *x: model(x[0], training=False))
    graph = function.get_concrete_function(tf.TensorSpec((1, *model.inputs[0].shape[1:]))).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    profile = tf.compat.v1.profiler.profile(graph, options=options)

    def products(node):
        own = node.float_ops if node.name.split("/")[-1].startswith(("MatMul", "Conv2D", "convolution")) else 0
        return own - sum(c.total_float_ops for c in node.children if own) + sum(map(products, node.children))

    counted = products(profile)
    assert sum(c.flops for c in cost.layer_costs(model)) == counted > 0


def test_everything_is_described():
    found = cost.describe(waveform_networks.mlp((4, 5), 2, (3,)), waveform_networks.mlp_parameters((4, 5), 2, (3,)))
    assert found.parameters == found.parameters_by_formula == 21 * 3 + 4 * 2
    assert set(found.latency_ms) == {"1", "1000"} and min(found.latency_ms.values()) > 0
