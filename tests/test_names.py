"""The names a user may type."""

import subprocess
import sys


def test_the_names_are_read_without_jax():
    code = "import sys, modejax.names; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
