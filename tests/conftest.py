"""One thread: the tests are small, and sums in one order give the numbers on record.

Processes that tests start get one as well, or they would wait for each other.
"""

import os

import torch

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
