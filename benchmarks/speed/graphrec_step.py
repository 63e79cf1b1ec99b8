"""Time graphrec's LightGCN training step on Gowalla; prints one JSON line.

The same work as recbole_step.py: batch 2048, embedding 64, 3 layers, one uniform negative, Adam,
sampling included. GRAPHREC_DATA must name the folder with gowalla/.
"""

import argparse
import json
import statistics
import time

import torch

from graphrec.data import load, split
from graphrec.data.config import SplitConfig
from graphrec.models import MODELS, Batch, Inputs
from graphrec.training.sampling import NegativeSampler, shuffled_batches


def main() -> None:
    """Run a few steps and report the seconds of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="auto", choices=["auto", "torch", "pyg", "dgl"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    device = torch.device("cpu")
    train = split(load("gowalla"), SplitConfig(kind="given")).train
    rng = torch.Generator().manual_seed(0)
    model_class = MODELS["lightgcn"]
    config = model_class.Config(name="lightgcn")
    model = model_class(config, Inputs(train, rng, backend=options.backend))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    sampler = NegativeSampler(train, "uniform", device)
    sampling, training, losses = [], [], []
    batches = shuffled_batches(train, 2048, rng, device)
    for _ in range(options.warmup + options.steps):
        started = time.perf_counter()
        users, pos = next(batches)
        batch = Batch(users, pos, sampler.sample(users, 1, rng))
        sampled = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = torch.stack(list(model.loss(batch).values())).sum()
        if not torch.isfinite(loss):
            raise RuntimeError("the loss is not finite")
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        sampling.append(sampled - started)
        training.append(time.perf_counter() - sampled)
    print(json.dumps(summary(options, sampling, training, losses)))


def summary(
    options: argparse.Namespace, sampling: list[float], training: list[float], losses: list[float]
) -> dict[str, object]:
    """Median, mean, minimum and maximum of the timed steps."""
    kept = slice(options.warmup, None)
    steps = [a + b for a, b in zip(sampling[kept], training[kept], strict=True)]
    return {
        "toolkit": "graphrec",
        "backend": options.backend,
        "threads": options.threads,
        "torch": torch.__version__,
        "step_seconds": {
            "median": statistics.median(steps),
            "mean": statistics.fmean(steps),
            "min": min(steps),
            "max": max(steps),
        },
        "sampling_median": statistics.median(sampling[kept]),
        "model_median": statistics.median(training[kept]),
        "mean_loss": statistics.fmean(losses[kept]),
    }


if __name__ == "__main__":
    main()
