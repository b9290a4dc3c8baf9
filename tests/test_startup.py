"""What a new process prints before it says anything itself."""

import subprocess
import sys


def test_the_module_of_a_searchs_worker_processes_does_not_import_tensorflow():
    code = "import sys, seis_tf.tuning.workers.processes, seis_tf.tuning.settings; print('tensorflow' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n" and told.stderr == ""


def test_tensorflow_starts_quietly():
    code = "from seis_tf.startup import load_tensorflow; load_tensorflow(); import tensorflow; print('there')"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "there\n" and told.stderr == ""
