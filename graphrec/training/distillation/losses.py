"""How far a student is from its teacher."""

from torch import Tensor
from torch.nn import functional


def score_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Mean over rows of T^2 KL(softmax(teacher / T) || softmax(student / T)).

    T^2 keeps the size of the gradients when T changes. An item that stands in a row twice counts
    twice, for both.

    Shapes:
        student, teacher: logits ``[B, n]`` of the same items; result: scalar.

    Source: hinton2015distilling, Section 2; items from the top of the teacher's list as in
    tang2018ranking and kang2020derrd.

    Deviations: the classes are a sample of the items instead of all.
    """
    divergence = functional.kl_div(
        functional.log_softmax(student / temperature, dim=1),
        functional.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return temperature**2 * divergence


def embedding_loss(student: Tensor, teacher: Tensor, weight: Tensor, scale: float) -> Tensor:
    """Mean over rows of ||W s - t||^2 / scale, with W learned.

    With the mean of ||t||^2 as scale, W s = 0 costs 1, whatever the teacher's width and norms.

    Shapes:
        student: ``[n, D]``; teacher: ``[n, D']``; weight: ``[D', D]``; result: scalar.

    Source: romero2015fitnets, Eq. 3, with a linear regressor.

    Deviations: at the output instead of a middle layer; divided by ``scale`` instead of 2; learned
    beside the other losses instead of before them.
    """
    return (student @ weight.T - teacher).square().sum(dim=1).mean() / scale
