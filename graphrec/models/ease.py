"""Implement EASE, a linear item-item model with a closed-form solution."""

from collections.abc import Callable, Iterator

from pydantic import PositiveFloat
from torch import Tensor

from graphrec.core.memory_limit import Need
from graphrec.core.ranges import SearchRange
from graphrec.models.base import Inputs, Model
from graphrec.models.config import ModelConfig
from graphrec.nn.ease import DEFAULT_REG, EASESolver, ease_need


class EASEConfig(ModelConfig):
    """Settings of EASE."""

    reg: PositiveFloat = DEFAULT_REG
    """Ridge penalty lambda."""
    use_weights: bool = False
    """Fill X with the weights of the interactions (ratings, quantities) instead of ones."""


class EASE(Model):
    """s(u, .) = x_u B with B = I - P / diag(P), P = (X^T X + lambda I)^-1, so diag(B) = 0.

    X is binary, or holds the weights with ``use_weights``. ``EASESolver`` solves for B.

    Source: steck2019ease, Eq. 8.

    Deviations: computed in float32.
    """

    family = "linear"
    reference = "steck2019ease"
    Config = EASEConfig
    search = {"model.reg": SearchRange(low=10.0, high=2000.0, log=True)}
    closed_form = True

    def __init__(self, config: EASEConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        train = inputs.train
        matrix = train.weighted_matrix if config.use_weights else train.matrix
        self.solver = EASESolver(matrix, config.reg)

    @classmethod
    def needs(cls, config: ModelConfig, inputs: Inputs) -> Iterator[Need]:
        """Yield the memory of the solution."""
        remedy = (
            "Use itemknn, which is sparse, in its place as model or baseline, or keep fewer "
            "of them with data.clean."
        )
        yield ease_need(inputs.train.num_users, inputs.train.num_items, "ease", remedy)

    def fit_exact(self) -> None:
        """Solve for B."""
        self.solver.solve()

    def scorer(self) -> Callable[[Tensor], Tensor]:
        """Return the function that multiplies users' histories by B."""
        return self.solver.scores
