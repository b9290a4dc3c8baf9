"""Each package says what it is for, and exports public names that are there, without importing anything before."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import seis_tf

PACKAGES = ["seis_tf"] + [
    module.name
    for module in pkgutil.walk_packages(seis_tf.__path__, "seis_tf.")
    if module.ispkg and module.name != "seis_tf.data"
]
PACKAGES += [
    f"{name}{inner}"
    for name, inner_packages in {
        "seis_tf.tuning": ("", ".workers"),
        "seis_tf.serve": ("", ".client", ".export", ".page", ".predict", ".server"),
    }.items()
    for inner in inner_packages
]


@pytest.mark.parametrize("name", sorted(set(PACKAGES)))
def test_a_package_exports_what_is_there(name):
    package = importlib.import_module(name)
    assert len(package.__doc__.strip().splitlines()) >= 3
    for exported in getattr(package, "__all__", []):
        assert getattr(package, exported) is not None


def test_importing_the_packages_imports_no_tensorflow():
    code = "import sys; " + "; ".join(f"import {name}" for name in sorted(set(PACKAGES)))
    code += "; print(*sorted({'tensorflow', 'keras', 'obspy', 'matplotlib'} & sys.modules.keys()))"
    heavy = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert heavy == []


def test_the_names_that_people_use_are_at_the_top():
    from seis_tf.runs import train

    assert seis_tf.train is train
    assert {"prepare_waveforms", "prepare_dart", "load_dataset", "train", "evaluate", "export", "predict"} <= set(
        dir(seis_tf)
    )
