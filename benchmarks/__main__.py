"""``python -m benchmarks``: makes the environment, then measures in it."""

from __future__ import annotations

import subprocess
import sys

from .environment import ROOT, prepare

if __name__ == "__main__":
    # -P: the folder that we stand in must not hide the installed package.
    command = [str(prepare()), "-P", "-m", "benchmarks.run", *sys.argv[1:]]
    sys.exit(subprocess.run(command, cwd=ROOT, check=False).returncode)
