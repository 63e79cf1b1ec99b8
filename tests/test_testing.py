"""The contract tests for authors of models pass for ours and find each broken promise."""

from collections.abc import Callable
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from graphrec import ConfigError
from graphrec.core.config import Json
from graphrec.data import Interactions
from graphrec.models import (
    MODELS,
    Batch,
    Inputs,
    Model,
    SequenceBatch,
    SequenceModel,
    UserBatch,
    UserModel,
    VectorModel,
)
from graphrec.models.config import ModelConfig
from graphrec.testing import check_model


@pytest.mark.parametrize("name", MODELS)
def test_every_model_keeps_the_contract(name: str) -> None:
    small: dict[str, Json] = {"dim": 8} if "dim" in MODELS[name].Config.model_fields else {}
    assert "the_seed_alone_decides" in check_model(MODELS[name], **small)


class Good(VectorModel):
    """Vectors that learn by BPR."""

    def __init__(self, config: ModelConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.users = self.table(self.num_users, inputs.rng)
        self.items = self.table(self.num_items, inputs.rng)

    def table(self, rows: int, rng: torch.Generator) -> nn.Parameter:
        return nn.Parameter(0.1 * torch.randn(rows, 4, generator=rng))

    def embed(self) -> tuple[Tensor, Tensor]:
        return self.users, self.items

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        users, items = self.embed()
        pos = (users[batch.users] * items[batch.pos]).sum(dim=1)
        neg = (users[batch.users] * items[batch.neg[:, 0]]).sum(dim=1)
        return {"bpr": -nn.functional.logsigmoid(pos - neg).mean()}


class DrawsFromTheGlobalGenerator(Good):
    def table(self, rows: int, rng: torch.Generator) -> nn.Parameter:
        return nn.Parameter(torch.randn(rows, 4))


class NeverLearns(Good):
    def __init__(self, config: ModelConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.unused = nn.Parameter(torch.ones(3))


class DropsInEvaluation(Good):
    def embed(self) -> tuple[Tensor, Tensor]:
        return nn.functional.dropout(self.users, 0.5), self.items


class SwapsPairs(Good):
    def loss(self, batch: Batch) -> dict[str, Tensor]:
        swapped = batch._replace(pos=batch.neg[:, 0], neg=batch.pos.unsqueeze(1))
        return super().loss(swapped)


class KeepsAPartForItself(Good):
    def __init__(self, config: ModelConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.hidden = 1 + torch.rand(self.num_items, 1, generator=inputs.rng)

    def embed(self) -> tuple[Tensor, Tensor]:
        return self.users, self.items * self.hidden


class ScoresOneItemTooFew(Good):
    def scorer(self) -> Callable[[Tensor], Tensor]:
        users, items = self.embed()
        return lambda batch: users[batch] @ items[1:].T


class LeavesOutAParameter(Good):
    def parameter_groups(self):
        return super().parameter_groups()[:0]


def test_a_good_model_passes() -> None:
    assert len(check_model(Good)) == 10


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (DrawsFromTheGlobalGenerator, "depend on torch's global generator"),
        (NeverLearns, "unused did not change"),
        (DropsInEvaluation, "differs from call to call|depend on the users"),
        (SwapsPairs, "positives and negatives swapped"),
        (KeepsAPartForItself, "no parameter or buffer"),
        (ScoresOneItemTooFew, r"not \(20, 20\)"),
        (LeavesOutAParameter, "leaves out users, items"),
    ],
)
def test_a_broken_promise_is_named(model: type[Model], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_model(model)


class KeepsASparseTable(Good):
    def __init__(self, config: ModelConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.register_buffer("mean", torch.eye(3).to_sparse())


class RaisesInItsLoss(Good):
    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"bpr": self.users[batch.pos + 1000].sum()}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (KeepsASparseTable, "mean is sparse.*persistent=False"),
        (RaisesInItsLoss, "a_trained_model_has_a_finite_loss: .*The model raised IndexError"),
    ],
)
def test_what_would_end_in_a_traceback_is_a_sentence(model: type[Model], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_model(model)


def test_a_setting_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match=r"Unknown key 'model\.dmi'"):
        check_model(Good, dmi=8)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(AssertionError, match="no subclass"):
        check_model(dict)  # type: ignore[arg-type]


class Autoencoder(UserModel):
    """Rows of users through one linear layer, as batches of users ask for."""

    seen: ClassVar[list[UserBatch]] = []

    def __init__(self, config: ModelConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        start = 0.01 * torch.randn(self.num_items, self.num_items, generator=inputs.rng)
        self.weight = nn.Parameter(start)
        rows = torch.from_numpy(inputs.train.matrix.toarray())
        self.register_buffer("rows", rows, persistent=False)

    def scorer(self) -> Callable[[Tensor], Tensor]:
        return lambda users: self.rows[users] @ self.weight

    def loss(self, batch: UserBatch) -> dict[str, Tensor]:
        self.seen.append(batch)
        return {"mse": (batch.rows @ self.weight - batch.rows).square().mean()}


def test_a_model_of_rows_is_given_each_user_once_with_its_row() -> None:
    Autoencoder.seen.clear()
    assert check_model(Autoencoder)
    first = Autoencoder.seen[0]
    assert first.rows.shape == (20, 20)
    assert sorted(first.users.tolist()) == list(range(20))
    assert first.rows.sum() > 0


class Next(SequenceModel):
    """Scores items by what came last, as batches of sequences ask for."""

    seen: ClassVar[list[SequenceBatch]] = []

    def __init__(self, config: ModelConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.table = nn.Parameter(
            0.1 * torch.randn(self.num_users, self.num_items, generator=inputs.rng)
        )

    def scorer(self) -> Callable[[Tensor], Tensor]:
        return lambda users: self.table[users]

    def loss(self, batch: SequenceBatch) -> dict[str, Tensor]:
        self.seen.append(batch)
        known = torch.zeros(len(batch.users), self.num_items)
        for row, items in enumerate(batch.items):
            known[row, items[items >= 0]] = 1.0
        return {"mse": (self.table[batch.users] - known).square().mean()}


def test_a_model_of_sequences_is_given_items_in_order_of_time_and_needs_times() -> None:
    Next.seen.clear()
    assert check_model(Next)
    batch = Next.seen[0]
    lengths = (batch.items >= 0).sum(dim=1)
    assert lengths.max() == batch.items.shape[1]
    assert all(
        not (row[: len(row) - n] >= 0).any() for row, n in zip(batch.items, lengths, strict=True)
    )


def test_after_step_follows_every_step() -> None:
    class Counts(Good):
        steps = 0

        def after_step(self) -> None:
            type(self).steps += 1

    check_model(Counts)
    assert Counts.steps > 0


def test_a_model_that_cannot_grow_says_so_and_none_may_shrink() -> None:
    train = Interactions(torch.zeros(1).int().numpy(), torch.zeros(1).int().numpy(), 3, 4)
    model = Good(ModelConfig(name="good"), Inputs(train, torch.Generator()))
    with pytest.raises(ConfigError, match=r"Good cannot take up new .*Train it anew"):
        model.grow(5, 4)
    with pytest.raises(ConfigError, match="knows 4 items and cannot shrink to 3"):
        model.grow(3, 3)
