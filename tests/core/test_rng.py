import numpy as np
import torch

from graphrec.core.rng import numpy_stream, stream_seed, torch_stream


def test_the_seed_of_a_stream_never_changes_between_versions() -> None:
    """Published numbers depend on it: sha256 of "seed/name/step", the first 63 bits."""
    assert stream_seed(0, "init") == 1_391_976_149_099_393_129
    assert stream_seed(7, "negatives", 3) == 4_062_209_633_478_403_441


def test_streams_differ_by_seed_name_and_step() -> None:
    keys = [
        (seed, name, step)
        for seed in range(20)
        for name in ("init", "order", "negatives", "layers", "augmentation")
        for step in range(20)
    ]
    seeds = {stream_seed(*key) for key in keys}
    assert len(seeds) == len(keys)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_stream_is_a_function_of_its_name() -> None:
    """Resuming at step 7 needs no saved state."""
    assert numpy_stream(1, "a", 7).random(3).tolist() == numpy_stream(1, "a", 7).random(3).tolist()
    first = torch.rand(3, generator=torch_stream(1, "a", 7))
    again = torch.rand(3, generator=torch_stream(1, "a", 7))
    assert torch.equal(first, again)
    assert not torch.equal(first, torch.rand(3, generator=torch_stream(1, "a", 8)))


def test_streams_leave_the_global_generators_alone() -> None:
    before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    torch.rand(3, generator=torch_stream(1, "a"))
    numpy_stream(1, "a").random(3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002


def test_processes_draw_from_streams_of_their_own_and_the_first_as_a_single_one() -> None:
    alone = numpy_stream(0, "order", 3).random(4)
    assert np.array_equal(numpy_stream(0, "order", 3, rank=0).random(4), alone)
    draws = [tuple(numpy_stream(0, "order", 3, rank=rank).random(4)) for rank in range(3)]
    assert len(set(draws)) == 3
    assert torch_stream(0, "order", 3, rank=1).initial_seed() == stream_seed(0, "order", 3, 1)
