"""Check a model class of the user against the contract that every model of graphrec keeps.

    from graphrec.testing import check_model

    check_model(MyModel, dim=8)

Each check is one promise of ``Model``; the first broken promise raises ``AssertionError`` with the
promise, the finding and the usual cause.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from graphrec.core.config import Json
from graphrec.core.errors import ConfigError, GraphRecError
from graphrec.core.explain import explain
from graphrec.core.rng import torch_stream
from graphrec.data import Features, Interactions, Modality, checkerboard, split
from graphrec.data.config import SplitConfig
from graphrec.models import Inputs, Model, VectorModel
from graphrec.training import fit
from graphrec.training.config import TrainingConfig

CPU = torch.device("cpu")
EPOCHS = 3


@dataclass(frozen=True)
class Bench:
    """A model class with settings that make it small, on a small data set.

    Attributes:
        train: users of two kinds, each with the items of its own kind, which two modalities show.
    """

    model_class: type[Model]
    settings: Mapping[str, Json]
    train: Interactions
    features: Features

    def build(self, seed: int = 0) -> Model:
        """Construct the model as a run does."""
        name = f"{self.model_class.__module__}:{self.model_class.__name__}"
        settings_class = self.model_class.Config
        try:
            config = settings_class.model_validate({"name": name, **self.settings})
        except ValidationError as error:
            raise ConfigError(explain(error, settings_class, "model")) from error
        features = self.features if self.model_class.uses_modalities else None
        return self.model_class(config, Inputs(self.train, torch_stream(seed, "init"), features))

    @cached_property
    def fitted(self) -> Model:
        """The model, solved or trained for a few epochs; the checks that only score it share it."""
        model = self.build()
        if model.closed_form:
            model.fit_exact()
        else:
            config = TrainingConfig(max_epochs=EPOCHS, batch_size=64, lr=1e-2)
            fit(model, self.train, config, seed=0, device=CPU)
        return model.eval()

    def scores(self, model: Model) -> Tensor:
        """Return the scores of all users, ``[U, I]``."""
        with torch.no_grad():
            return model.score(torch.arange(self.train.num_users))


def check_model(model_class: type[Model], **settings: Json) -> list[str]:
    """Check a model class against the contract, and return the names of the checks that held.

    Args:
        model_class: the class to check.
        settings: settings of its ``Config`` that make it small and quick, for example ``dim=8``.

    Raises:
        AssertionError: a promise is broken; the message names it with the finding.
        ConfigError: the settings are not valid.
    """
    assert isinstance(model_class, type) and issubclass(model_class, Model), (
        f"{model_class!r} is no subclass of graphrec.models.Model."
    )
    bench = Bench(model_class, settings, *_small_world())
    for check in CHECKS:
        _hold(check, bench)
    return [check.__name__ for check in CHECKS]


def _hold(check: Callable[[Bench], None], bench: Bench) -> None:
    """Run a check; an error inside the model breaks the promise, too, and is shown under it."""
    try:
        check(bench)
    except (AssertionError, GraphRecError):
        raise
    except Exception as error:
        promise = (check.__doc__ or "").splitlines()[0]
        raise AssertionError(
            f"{check.__name__}: {promise} The model raised {type(error).__name__}: {error}"
        ) from error


def _small_world() -> tuple[Interactions, Features]:
    """Return a checkerboard of 20 users and 20 items, whose content shows the kind of an item."""
    parts = split(checkerboard(20, 20), SplitConfig(kind="given"))
    items, rng = np.arange(parts.train.num_items), np.random.default_rng(1)
    modalities = {}
    for name, present in (("image", items % 5 != 1), ("text", items % 3 != 2)):
        centres = rng.normal(size=(2, 4))
        values = (centres[items % 2] + 0.1 * rng.normal(size=(len(items), 4))) * present[:, None]
        modalities[name] = Modality(values.astype(np.float32), present)
    times = np.arange(len(parts.train), dtype=np.int64)
    train = parts.train
    timed = Interactions(train.users, train.items, train.num_users, train.num_items, times)
    return timed, Features(modalities, train.num_items)


def state_is_dense(bench: Bench) -> None:
    """Every parameter and buffer that a checkpoint holds is a dense tensor."""
    sparse = [
        name for name, value in bench.build().state_dict().items() if value.layout != torch.strided
    ]
    assert not sparse, (
        f"{', '.join(sparse)} is sparse, and a checkpoint holds dense tensors. What follows from "
        f"the training part belongs to no checkpoint: register_buffer(..., persistent=False)."
    )


def scores_are_finite_with_one_column_per_item(bench: Bench) -> None:
    """Require finite scores ``[B, I]`` for any users, in their order."""
    model = bench.fitted
    whole = bench.scores(model)
    shape = (bench.train.num_users, bench.train.num_items)
    assert whole.shape == shape, f"score() gives the shape {tuple(whole.shape)}, not {shape}."
    assert torch.isfinite(whole).all(), (
        "score() gives NaN or infinity: they would rank first. Items without training users or "
        "without content are the usual cause."
    )
    some = torch.tensor([3, 0, 3])
    with torch.no_grad():
        chosen = model.score(some)
    assert torch.allclose(chosen, whole[some], atol=1e-5), (
        "score() of some users differs from their rows among all users: it must depend on the "
        "users it is given, in their order, and on nothing else."
    )


def scores_are_the_same_when_asked_again(bench: Bench) -> None:
    """Require equal scores from call to call in evaluation mode, without random draws."""
    model = bench.fitted
    assert torch.equal(bench.scores(model), bench.scores(model)), (
        "score() differs from call to call in evaluation mode: dropout or another draw is active "
        "outside training (look at self.training)."
    )


def the_seed_alone_decides(bench: Bench) -> None:
    """Require equal models from equal seeds, in any state of torch's global generator."""
    torch.manual_seed(1)
    first = bench.build().state_dict()
    torch.manual_seed(2)
    second = bench.build().state_dict()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different, (
        f"The initial values of {', '.join(different)} depend on torch's global generator. Draw "
        f"them from inputs.rng."
    )


def weights_restore_the_scores(bench: Bench) -> None:
    """Require that a new model with the saved state scores like the trained one."""
    model = bench.fitted
    again = bench.build(seed=1)
    if again.closed_form:
        again.fit_exact()
    again.load_state_dict(copy.deepcopy(model.deployable().state_dict()))
    assert torch.allclose(bench.scores(again.eval()), bench.scores(model), atol=1e-5), (
        "A new model with the saved state scores differently: a part of the model is no parameter "
        "or buffer, so that no checkpoint holds it."
    )


def a_trained_model_has_a_finite_loss(bench: Bench) -> None:
    """Require finite, named scalars from ``loss``, at least one with a gradient."""
    model = bench.build()
    if model.closed_form:
        return
    result = fit(
        *(model, bench.train, TrainingConfig(max_epochs=1, batch_size=64)),
        seed=0,
        device=CPU,
    )
    terms = [name for name in result.history[0] if name.startswith("loss/")]
    assert terms, "loss() gives no terms: return a dictionary of named scalars."


def every_parameter_learns(bench: Bench) -> None:
    """Require that training changes each parameter: none may be cut off from the loss."""
    model = bench.build()
    if model.closed_form:
        return
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    config = TrainingConfig(max_epochs=EPOCHS, batch_size=64, lr=1e-2)
    fit(model, bench.train, config, seed=0, device=CPU)
    still = [name for name, weight in model.named_parameters() if torch.equal(weight, before[name])]
    assert not still, (
        f"{', '.join(still)} did not change in training. A parameter that no loss term reads, "
        f"tables that all start at zero, and parameters that parameter_groups() leaves out are "
        f"the usual causes."
    )


def every_parameter_is_in_one_group(bench: Bench) -> None:
    """Require that ``parameter_groups`` names every parameter once."""
    model = bench.build()
    grouped = [weight for group in model.parameter_groups() for weight in group.parameters]
    names = {weight: name for name, weight in model.named_parameters()}
    left_out = [name for weight, name in names.items() if not any(weight is g for g in grouped)]
    assert not left_out, f"parameter_groups() leaves out {', '.join(left_out)}."
    assert len({id(weight) for weight in grouped}) == len(grouped), (
        "parameter_groups() names a parameter twice."
    )


def vectors_give_the_scores(bench: Bench) -> None:
    """Require that the inner products of ``vectors()`` of a ``VectorModel`` are its scores."""
    model = bench.fitted
    if not isinstance(model, VectorModel) or not model.ranks_by_products:
        return
    with torch.no_grad():
        users, items = model.vectors()
    rows = (len(users), len(items))
    expected = (bench.train.num_users, bench.train.num_items)
    assert rows == expected, f"vectors() gives {rows} users and items, not {expected}."
    assert torch.allclose(users @ items.T, bench.scores(model), atol=1e-4), (
        "The inner products of vectors() are not the scores. Override scorer(), or let "
        "ranks_by_products be False."
    )


def the_model_beats_chance_after_training(bench: Bench) -> None:
    """Require that training on a checkerboard raises items of the user's own kind above others."""
    model = bench.fitted
    if type(model).family == "reference":
        return  # one list for all users cannot beat chance
    scores = bench.scores(model)
    kind = torch.arange(bench.train.num_items) % 2
    own = torch.arange(bench.train.num_users).unsqueeze(1) % 2 == kind
    gap = float(scores[own].mean() - scores[~own].mean())
    assert gap > 0, (
        f"After {EPOCHS} epochs on a checkerboard, items of the other kind score higher by "
        f"{-gap:.3g}: a wrong sign in the loss, or positives and negatives swapped?"
    )


CHECKS: tuple[Callable[[Bench], None], ...] = (
    state_is_dense,
    the_seed_alone_decides,
    every_parameter_is_in_one_group,
    a_trained_model_has_a_finite_loss,
    every_parameter_learns,
    scores_are_finite_with_one_column_per_item,
    scores_are_the_same_when_asked_again,
    weights_restore_the_scores,
    vectors_give_the_scores,
    the_model_beats_chance_after_training,
)
"""The promises, in the order in which they are checked."""
