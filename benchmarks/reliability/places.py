"""Where everything lies, and one thread for each process: to be imported before all else."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INSIDE = HERE / "inside"

sys.path[:0] = [str(INSIDE), str(ROOT)]
os.environ |= {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
os.environ["PYTHONPATH"] = os.pathsep.join([str(INSIDE), str(ROOT)])
