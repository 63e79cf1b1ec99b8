"""Step time of every fusion and place of fusion against one modality of the same total width.

    python benchmarks/speed/fusion_step.py [--backbone lightgcn] [--rounds 15]

The data are drawn: as many users, items and pairs as Amazon Baby, three modalities as wide as its
images (4,096), its texts (384) and an audio of 128, against one as wide as all of them. Places
after messages pass them for four vectors of 64, three modalities and an id; so they are also held
against one modality whose vectors are as wide as these together. The models take their steps in
turn, in one process; the table holds the medians of the ratios.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from operator import truediv

import numpy as np
import torch
from drawn import drawn

from graphrec.core.config import Json
from graphrec.data import Features, Interactions, Modality
from graphrec.models import Batch, Inputs
from graphrec.models.modality_attention_gcn.config import ModalityAttentionGCNConfig
from graphrec.models.modality_attention_gcn.model import ModalityAttentionGCN
from graphrec.nn.fusion import FUSIONS
from graphrec.training.sampling import NegativeSampler

USERS, ITEMS, PAIRS = 19_445, 7_050, 118_551
WIDTHS = {"audio": 128, "image": 4096, "text": 384}
PLACES: tuple[dict[str, Json], ...] = (
    {"where": "middle"},
    {"where": "late"},
    {"where": "late", "late": "user"},
    {"where": "sample"},
    {"where": "model"},
)


def modality(rng: np.random.Generator, width: int) -> Modality:
    """A tenth of the items lacks it."""
    present = rng.random(ITEMS) < 0.9
    values = rng.normal(size=(ITEMS, width)) * present[:, None]
    return Modality(values.astype(np.float32), present)


def stepper(
    train: Interactions, features: Features, settings: dict[str, Json], sampler: NegativeSampler
) -> Callable[[], float]:
    """A function that takes a step and returns its seconds."""
    config = ModalityAttentionGCNConfig.model_validate(
        {"name": "modality_attention_gcn", **settings}
    )
    rng = torch.Generator().manual_seed(0)
    model = ModalityAttentionGCN(config, Inputs(train, rng, features)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    model.begin_epoch(rng)

    def step() -> float:
        chosen = torch.randint(PAIRS, (2048,), generator=rng).numpy()
        users = torch.from_numpy(train.users[chosen]).long()
        pos = torch.from_numpy(train.items[chosen]).long()
        started = time.perf_counter()
        batch = Batch(users, pos, sampler.sample(users, 1, rng))
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(model.loss(batch).values())).sum().backward()
        optimizer.step()
        return time.perf_counter() - started

    return step


def main() -> None:
    """Time all in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="lightgcn")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    train = drawn(rng, USERS, ITEMS, PAIRS)
    sampler = NegativeSampler(train, "uniform", torch.device("cpu"))
    several = Features({name: modality(rng, width) for name, width in WIDTHS.items()}, ITEMS)
    one = Features({"all": modality(rng, sum(WIDTHS.values()))}, ITEMS)
    backbone: dict[str, Json] = {"backbone": given.backbone}
    base = stepper(train, one, {**backbone, "fusion": "sum"}, sampler)
    wide = stepper(
        train, one, {**backbone, "fusion": "sum", "dim": 64 * (len(WIDTHS) + 1)}, sampler
    )
    cases = {f"early, {name}": ({**backbone, "fusion": name}, [base]) for name in FUSIONS}
    places = {", ".join(map(str, place.values())): {**backbone, **place} for place in PLACES}
    cases |= {name: (settings, [base, wide]) for name, settings in places.items()}
    print(f"| backbone {given.backbone} | against one modality | and as wide as all views |")
    print("| --- | ---: | ---: |")
    for name, (settings, others) in cases.items():
        step = stepper(train, several, settings, sampler)
        rounds = [(step(), *(other() for other in others)) for _ in range(given.rounds + 2)]
        own, *columns = zip(*rounds[2:], strict=True)  # the first ones allocate
        ratios = [f"{statistics.median(map(truediv, own, column)):.2f}" for column in columns]
        print(f"| {name} | {' | '.join([*ratios, ''][:2])} |", flush=True)


if __name__ == "__main__":
    main()
