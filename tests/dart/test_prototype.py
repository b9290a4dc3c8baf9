"""Weights of the published PyTorch network, against PyTorch where it is and a plain NumPy network everywhere."""

import pickle

import numpy as np
import pytest

from seis_tf import runs
from seis_tf.dart.networks import conv1d, conv1d_parameters
from seis_tf.dart.prototype import assign, read_weights, settings_of
from seis_tf.importing import import_run

WIDTHS = {45: (20, 20, 40, 40, 80), 30: (20, 20, 40, 60)}


def state_dict(widths, n_buoys=3, n_sources=31, dense=40, seed=0):
    """Random weights with the prototype's names and PyTorch's shapes."""
    random = np.random.default_rng(seed)
    shapes, before = {}, n_buoys
    for i, width in enumerate(widths, 1):
        shapes |= {f"conv{i}.weight": (width, before, 3), f"conv{i}.bias": (width,)}
        before = width
    shapes |= {"lin.weight": (dense, before), "lin.bias": (dense,)}
    shapes |= {"lin2.weight": (n_sources, dense), "lin2.bias": (n_sources,)}
    return {name: random.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}


def import_model(weights, window_min):
    """A network of `conv1d` for 3 buoys and 31 sources with the prototype's weights."""
    settings = settings_of(weights)
    model = conv1d(window_min, 3, 31, settings.widths, dense=settings.dense)
    assign(model, weights)
    return model


def slow_network(weights, level):
    """Table 1 of the guide, sample by sample: [minute, buoy] -> [source]."""
    signal = level.T.astype(float)  # PyTorch's order: channels first
    for i in range(1, len(weights) // 2 - 1):
        kernel, bias = weights[f"conv{i}.weight"].astype(float), weights[f"conv{i}.bias"]
        padded = np.pad(signal, ((0, 0), (1, 1)))
        out = np.array([(kernel * padded[:, t : t + 3]).sum((1, 2)) + bias for t in range(signal.shape[1])]).T
        out = np.where(out > 0, out, 0.01 * out)
        half = out.shape[1] // 2
        signal = np.maximum(out[:, 0 : 2 * half : 2], out[:, 1 : 2 * half : 2])
    hidden = weights["lin.weight"] @ signal[:, 0] + weights["lin.bias"]
    return np.maximum(weights["lin2.weight"] @ hidden + weights["lin2.bias"], 0)


@pytest.mark.parametrize("window_min", [45, 30])
def test_the_imported_network_answers_as_table_1_computed_by_hand(tmp_path, window_min):
    weights = state_dict(WIDTHS[window_min])
    np.savez(tmp_path / "weights.npz", **weights)
    level = np.random.default_rng(1).normal(0, 0.5, (4, window_min, 3)).astype(np.float32)
    model = import_model(read_weights(tmp_path / "weights.npz"), window_min)
    expected = np.array([slow_network(weights, row) for row in level])
    assert (expected > 0).any()
    np.testing.assert_allclose(model.predict(level, verbose=0), expected, atol=1e-5 * expected.max())
    assert sum(w.size for w in weights.values()) == conv1d_parameters(3, 31, WIDTHS[window_min])


def torch_network(torch, widths, n_buoys=3, n_sources=31):
    """The layers that Table 1 names, in PyTorch; the state dict has the prototype's names."""
    network = torch.nn.Module()
    before = n_buoys
    for i, width in enumerate(widths, 1):
        network.add_module(f"conv{i}", torch.nn.Conv1d(before, width, 3, padding=1))
        before = width
    network.lin, network.lin2 = torch.nn.Linear(before, 40), torch.nn.Linear(40, n_sources)
    return network


def torch_answer(torch, network, level):
    x = torch.tensor(level).transpose(1, 2)
    for i in range(1, sum(1 for name, _ in network.named_children()) - 1):
        x = torch.nn.functional.leaky_relu(getattr(network, f"conv{i}")(x))
        x = torch.nn.functional.max_pool1d(x, 2, 2)
    return torch.relu(network.lin2(network.lin(x[:, :, 0]))).detach().numpy()


@pytest.mark.parametrize("window_min", [45, 30])
def test_the_imported_network_answers_as_pytorch(tmp_path, window_min):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    network = torch_network(torch, WIDTHS[window_min])
    torch.save(network.state_dict(), tmp_path / "model.pt")
    level = np.random.default_rng(2).normal(0, 0.5, (20, window_min, 3)).astype(np.float32)
    model = import_model(read_weights(tmp_path / "model.pt"), window_min)
    expected = torch_answer(torch, network, level)
    assert expected.std() > 0
    np.testing.assert_allclose(model.predict(level, verbose=0), expected, atol=1e-5)


class Harmful:
    def __reduce__(self):
        return print, ("unpickled",)


def test_a_pickled_model_is_refused_unread(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    torch.save(torch_network(torch, WIDTHS[45]), tmp_path / "whole.pt")
    with pytest.raises(ValueError, match="whole.pt: expected a state dict, received a pickled model or other objects"):
        read_weights(tmp_path / "whole.pt")
    torch.save({"conv1.weight": Harmful()}, tmp_path / "harmful.pt")
    with pytest.raises(ValueError, match="expected a state dict, received a pickled model"):
        read_weights(tmp_path / "harmful.pt")
    torch.save({"epoch": 3, "model": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"expected a state dict .* received entries \['epoch', 'model'\]"):
        read_weights(tmp_path / "checkpoint.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(ValueError, match="text.pt: expected an .npz or a file of torch.save .* received other bytes"):
        read_weights(tmp_path / "text.pt")
    assert "unpickled" not in capsys.readouterr().out


def test_an_npz_with_objects_or_other_bytes_is_refused(tmp_path, capsys):
    np.savez(tmp_path / "objects.npz", **{"conv1.weight": np.array([Harmful()], object)})
    with pytest.raises(ValueError, match="objects.npz: expected an .npz of plain arrays"):
        read_weights(tmp_path / "objects.npz")
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(ValueError, match="pickle.npz: expected an .npz of plain arrays"):
        read_weights(tmp_path / "pickle.npz")
    with pytest.raises(ValueError, match="gone.npz: expected a file of weights, received nothing there"):
        read_weights(tmp_path / "gone.npz")
    assert "unpickled" not in capsys.readouterr().out


def test_other_networks_are_refused():
    weights = state_dict(WIDTHS[45])
    assert settings_of(weights).widths == WIDTHS[45]
    with pytest.raises(ValueError, match="expected conv1, conv2, ..., lin and lin2 .* received .*'conv6.weight'"):
        settings_of(weights | {"conv6.weight": weights["conv5.weight"]})
    with pytest.raises(ValueError, match="received .*'extra.bias'"):
        settings_of(weights | {"extra.bias": np.zeros(3)})
    with pytest.raises(ValueError, match=r"conv2.weight: expected shape \(20, 20, 3\), received \(20, 20, 5\)"):
        settings_of(weights | {"conv2.weight": np.zeros((20, 20, 5))})
    with pytest.raises(ValueError, match=r"lin.weight: expected shape \(40, 80\), received \(40, 60\)"):
        settings_of(weights | {"lin.weight": np.zeros((40, 60))})
    with pytest.raises(ValueError, match="widths: expected 4 stages for 30 minutes"):
        import_model(weights, 30)


def test_a_run_of_imported_weights(tmp_path, tiny_dart):
    info = runs.load_dataset(tiny_dart)
    window_min, n_buoys = info.feature("water_level_m").shape
    weights = state_dict((4, 5, 6), n_buoys, len(info.source_names), dense=7)
    np.savez(tmp_path / "weights.npz", **weights)
    run = import_run(tmp_path / "weights.npz", tiny_dart, tmp_path / "run")
    level = np.random.default_rng(3).normal(0, 0.5, (5, window_min, n_buoys)).astype(np.float32)
    expected = np.array([slow_network(weights, row) for row in level])
    np.testing.assert_allclose(run.predict([level])[0], expected, atol=1e-5 * expected.max())
    assert run.config.imported.startswith("weights.npz, SHA-256 ")
    from seis_tf.serve.export.card import data_section
    from seis_tf.serve.export.export import metrics_of

    assert metrics_of(run)["last_epoch"]["val_loss"] == run.history[0][0]["val_loss"]
    data = {"name": "d", "fingerprint": "0" * 64, "simulated": True, "grouped": True, "splits": {}}
    assert "imported: weights.npz, SHA-256" in data_section({"dataset": data, "imported": run.config.imported})[0]
    assert run.history[0][0]["epoch"] == 0 and run.history[0][0]["val_loss"] > 0
    with pytest.raises(ValueError, match="expected an empty folder, received a run"):
        import_run(tmp_path / "weights.npz", tiny_dart, tmp_path / "run")
    np.savez(tmp_path / "more.npz", **state_dict((4, 5, 6), n_buoys + 1, len(info.source_names)))
    with pytest.raises(ValueError, match=rf"weights: expected {n_buoys} buoys \[.*\], received {n_buoys + 1}"):
        import_run(tmp_path / "more.npz", tiny_dart, tmp_path / "run2")
    assert not (tmp_path / "run2").exists()
