"""The two networks: condition, losses and steps by hand, and that they learn from train alone."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from graphrec.core.rng import torch_stream
from graphrec.data import Features, Modality
from graphrec.features.missing import generative
from graphrec.features.missing.gan import GAN
from graphrec.features.missing.generative import NOISE, Condition, Fitted, Generative, Known
from graphrec.features.missing.vae import VAE
from tests.features.missing.worlds import Real, changed, config, gap_of, planted, world
from tests.models.cases import interactions_of

HIDDEN, WIDTH, WIDTHS = 5, 4, (3, 2)
KINDS = pytest.mark.parametrize("kind", [GAN, VAE])
State = dict[str, Real]


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some() -> tuple[Tensor, Known, Tensor]:
    """Rows, what is known and noise of 6 items; the first has no source."""
    rng = stream(2)
    sources = tuple(torch.randn(6, width, generator=rng) for width in WIDTHS)
    present = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1], [1, 1], [0, 1]]).float()
    rows = torch.randn(6, WIDTH, generator=rng)
    return rows, Known(sources, present), torch.randn(6, NOISE, generator=rng)


def shaken(kind: type[Generative]) -> tuple[Generative, State]:
    """A network with biases, in float64, and its weights."""
    network = kind(WIDTHS, WIDTH, HIDDEN, stream()).double()
    rng = stream(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=rng)
    return network, {name: value.numpy() for name, value in network.state_dict().items()}


def double(rows: Tensor, known: Known, noise: Tensor) -> tuple[Tensor, Known, Tensor]:
    sources = tuple(each.double() for each in known.sources)
    return rows.double(), Known(sources, known.present.double()), noise.double()


def condition(state: State, at: str, known: Known, item: int) -> Real:
    has = [s for s in range(2) if known.present[item, s]]
    projected = [
        state[f"{at}projections.{s}.weight"] @ known.sources[s][item].numpy()
        + state[f"{at}projections.{s}.bias"]
        for s in has
    ]
    mean = sum(projected) / len(has) if has else np.zeros(HIDDEN)
    return np.concatenate([mean, known.present[item].numpy()])


def perceptron(state: State, at: str, *inputs: Real) -> Real:
    hidden = state[f"{at}0.weight"] @ np.concatenate(inputs) + state[f"{at}0.bias"]
    return state[f"{at}2.weight"] @ np.maximum(hidden, 0) + state[f"{at}2.bias"]


def softplus(x: float) -> float:
    return float(np.log1p(np.exp(x)))


def test_a_condition_is_the_mean_of_projections_and_the_bits():
    module = Condition(WIDTHS, HIDDEN, stream()).double()
    with torch.no_grad():
        for projection in module.projections:
            projection.bias.copy_(torch.arange(HIDDEN))
    _, known, _ = double(*some())
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    expected = [condition(state, "", known, item) for item in range(6)]
    np.testing.assert_allclose(module(known).detach(), expected, atol=1e-12)
    assert not np.array(expected)[0].any()


@KINDS
def test_a_source_that_is_not_there_may_hold_anything(kind):
    rows, known, noise = some()
    spoilt = tuple(
        torch.where(known.present[:, [s]] > 0, each, torch.tensor(1e4))
        for s, each in enumerate(known.sources)
    )
    gradients = []
    for sources in (known.sources, spoilt):
        network = kind(WIDTHS, WIDTH, HIDDEN, stream())
        for _, loss in network.objectives():
            loss(rows, Known(sources, known.present), noise).backward()
        gradients.append([weight.grad for weight in network.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_the_bound_of_the_vae_item_by_item():
    network, state = shaken(VAE)
    assert isinstance(network, VAE)
    rows, known, noise = double(*some())
    total = 0.0
    for i, (y, e) in enumerate(zip(rows.numpy(), noise.numpy(), strict=True)):
        c = condition(state, "condition.", known, i)
        told = perceptron(state, "encoder.", y, c)
        mean, log_variance = told[:NOISE], told[NOISE:]
        decoded = perceptron(state, "decoder.", mean + np.sqrt(np.exp(log_variance)) * e, c)
        total += 0.5 * ((y - decoded) ** 2).sum()
        total += 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum()
    assert network.bound(rows, known, noise).item() == pytest.approx(total / 6, rel=1e-10)
    ((weights, loss),) = network.objectives()
    assert loss == network.bound
    assert len(weights) == len(list(network.parameters()))


def test_the_two_losses_of_the_gan_item_by_item():
    network, state = shaken(GAN)
    assert isinstance(network, GAN)
    rows, known, noise = double(*some())
    critic = generator = 0.0
    for i, (y, e) in enumerate(zip(rows.numpy(), noise.numpy(), strict=True)):
        made = perceptron(state, "generator.", e, condition(state, "condition.", known, i))
        seen = condition(state, "critic.condition.", known, i)
        real, fake = (float(perceptron(state, "critic.judge.", x, seen)[0]) for x in (y, made))
        critic += softplus(-real) + softplus(fake)
        generator += softplus(-fake) + 10 * ((y - made) ** 2).mean()
    assert network.critic_loss(rows, known, noise).item() == pytest.approx(critic / 6, rel=1e-10)
    found = network.generator_loss(rows, known, noise).item()
    assert found == pytest.approx(generator / 6, rel=1e-10)


def test_each_side_of_the_gan_moves_its_own_weights_only():
    network, _ = shaken(GAN)
    (critic, criticise), (generator, fool) = network.objectives()
    assert len({*critic, *generator}) == len(list(network.parameters()))
    data = double(*some())
    criticise(*data).backward()
    assert all(weight.grad is None for weight in generator)
    assert all(weight.grad.any() for weight in critic)
    fool(*data).backward()
    assert all(weight.grad.any() for weight in generator)


@KINDS
def test_what_is_generated_is_the_network_at_that_noise(kind):
    network, state = shaken(kind)
    _, known, noise = double(*some())
    name = "decoder." if kind is VAE else "generator."
    for i, row in enumerate(network(noise, known).detach().numpy()):
        c = condition(state, "condition.", known, i)
        np.testing.assert_allclose(row, perceptron(state, name, noise[i].numpy(), c), atol=1e-12)


@KINDS
@pytest.mark.parametrize("batch", [4, 256])
def test_two_steps_by_hand(kind, batch, monkeypatch):
    """Adam on the sign of the first gradient and on both; the critic, then the generator."""
    monkeypatch.setattr(generative, "BATCH", batch)
    rows, known, _ = some()
    network, twin = (kind(WIDTHS, WIDTH, HIDDEN, stream()) for _ in range(2))
    network.train_on(rows, known, 2, stream(9))

    rng = stream(9)
    turns = twin.objectives()
    moments = [[(torch.zeros_like(w), torch.zeros_like(w)) for w in ws] for ws, _ in turns]
    for step in (1, 2):
        chosen = torch.arange(6)
        if batch < 6:
            chosen = torch.randint(6, (batch,), generator=rng)
        noise = torch.randn(len(chosen), NOISE, generator=rng)
        some_known = Known(tuple(x[chosen] for x in known.sources), known.present[chosen])
        for (weights, loss), before in zip(turns, moments, strict=True):
            gradients = torch.autograd.grad(loss(rows[chosen], some_known, noise), weights)
            for k, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
                first = 0.9 * before[k][0] + 0.1 * gradient
                second = 0.999 * before[k][1] + 0.001 * gradient**2
                before[k] = (first, second)
                up, down = first / (1 - 0.9**step), second / (1 - 0.999**step)
                with torch.no_grad():
                    weight -= 2e-3 * up / (down.sqrt() + 1e-8)
    for mine, other in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)


# What it is trained on.


def fit(kind: type[Generative], seed: int = 0, cold: float = 0.0, warm: float = 0.0) -> Fitted:
    """Fit on text, after adding to all rows of items without or with training interactions."""
    features, train = world()
    none = np.flatnonzero(train.item_degrees == 0)
    one = np.flatnonzero(features["text"].present & features["image"].present)[:1]
    assert train.item_degrees[one].all()
    for name in features:
        features = changed(features, name, none, cold)
        features = changed(features, name, one, warm)
    name = "gan" if kind is GAN else "vae"
    found = Fitted.fit(
        gap_of(features, train, "text"), config(strategy=name, steps=3, seed=seed), kind
    )
    assert found is not None
    return found


def numbers(found: Fitted) -> list[npt.NDArray[np.floating]]:
    scales = (*found.inputs, found.target)
    weights = [weight.detach().numpy() for weight in found.network.parameters()]
    return [*weights, *(s.mean for s in scales), *(np.array(s.size) for s in scales)]


def equal(left: Fitted, right: Fitted) -> bool:
    pairs = zip(numbers(left), numbers(right), strict=True)
    return all(np.array_equal(*pair) for pair in pairs)


@KINDS
def test_items_without_training_interactions_change_no_weight_and_no_scale(kind):
    assert equal(fit(kind), fit(kind, cold=9.0))
    assert not equal(fit(kind), fit(kind, warm=9.0))


@KINDS
def test_the_seed_alone_decides_and_the_global_generator_is_left_alone(kind):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first = fit(kind)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    assert equal(first, fit(kind))
    assert not equal(first, fit(kind, seed=1))


@KINDS
def test_examples_have_the_modality_another_one_and_users(kind, monkeypatch):
    """Item 0 has text alone, and the start is that of a stream of its own."""
    seen: list[tuple[list[Tensor], Tensor, Known]] = []

    def spy(self: Generative, rows: Tensor, known: Known, steps: int, _: object) -> None:
        assert steps == 9
        seen.append(([w.detach().clone() for w in self.parameters()], rows, known))

    monkeypatch.setattr(kind, "train_on", spy)
    features, train = world()
    alone = {"text": features["text"]}
    for other in ("audio", "image"):
        present = features[other].present.copy()
        present[0] = False
        alone[other] = Modality(features[other].values, present)
    features = Features(alone, 30)
    assert features["text"].present[0] and 0 in train.items
    name = "gan" if kind is GAN else "vae"
    settings = config(strategy=name, hidden=7, steps=9, seed=5)
    found = Fitted.fit(gap_of(features, train, "text"), settings, kind)
    expected = [
        i
        for i in range(30)
        if features["text"].present[i]
        and (features["audio"].present[i] or features["image"].present[i])
        and i in train.items
    ]
    ((weights, rows, known),) = seen
    fresh = kind((3, 5), 4, 7, torch_stream(5, f"missing/{name}/text"))
    assert all(torch.equal(*pair) for pair in zip(weights, fresh.parameters(), strict=True))
    assert found is not None
    values = features["text"].values[expected]
    np.testing.assert_allclose(found.target.undo(rows.numpy()), values, atol=1e-5)
    bits = [[features[name].present[i] for name in ("audio", "image")] for i in expected]
    assert known.present.tolist() == np.array(bits, float).tolist()
    warm = train.item_degrees > 0
    for name, scale in zip(("audio", "image"), found.inputs, strict=True):
        mean = features[name].values[features[name].present & warm].mean(axis=0)
        np.testing.assert_allclose(scale.mean, mean, atol=1e-6)


@KINDS
def test_rows_are_generated_at_no_noise_and_in_the_unit_of_the_modality(kind):
    features, train = planted(linear=True, num_items=40)
    gap = gap_of(features, train, "y")
    name = "gan" if kind is GAN else "vae"
    found = Fitted.fit(gap, config(strategy=name, steps=2), kind)
    assert found is not None
    items = np.array([3, 7])
    scaled = [
        torch.from_numpy((features[n].values[items] - s.mean) / s.size).float()
        for n, s in zip("ab", found.inputs, strict=True)
    ]
    made = found.network(torch.zeros(2, NOISE), Known(tuple(scaled), torch.ones(2, 2))).detach()
    filling = found.generate(gap, items)
    assert filling.items.tolist() == [3, 7]
    expected = made.numpy() * found.target.size + found.target.mean
    np.testing.assert_allclose(filling.rows, expected, atol=1e-5)


@KINDS
def test_a_source_that_only_items_without_users_have_does_no_harm(kind):
    features, train = planted(linear=True, num_items=20)
    cold = np.arange(20) >= 17
    train = train.select(~cold[train.items])
    hidden = Modality(features["b"].values, cold)
    gap = gap_of(Features({**features, "b": hidden}, 20), train, "y")
    name = "gan" if kind is GAN else "vae"
    found = Fitted.fit(gap, config(strategy=name, steps=2), kind)
    assert found is not None
    assert all(np.isfinite(each).all() for each in numbers(found))
    assert np.isfinite(found.generate(gap, np.array([3, 18])).rows).all()


@KINDS
def test_without_any_example_nobody_is_reached(kind):
    """Items 0 and 1 have y alone, the others x alone."""
    ones, first = np.ones((4, 2), np.float32), np.arange(4) < 2
    features = Features({"x": Modality(ones, ~first), "y": Modality(ones, first)}, 4)
    gap = gap_of(features, interactions_of([(0, i) for i in range(4)], 1, 4), "y")
    found = generative.generated(gap, config(strategy="gan" if kind is GAN else "vae"), kind)
    assert (len(found.items), found.rows.shape) == (0, (0, 2))
