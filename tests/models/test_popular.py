import torch

from tests.models.cases import Case, World, interactions_of, random_features


def test_scores_are_numbers_of_training_users_the_same_for_everybody() -> None:
    pairs = [(0, 1), (1, 1), (2, 1), (0, 0), (1, 2), (1, 2)]  # the pair (1, 2) is there twice
    train = interactions_of(pairs, num_users=4, num_items=5)
    model = Case("popular").ready(World(train, train, train, random_features(5, seed=0)))
    expected = [[1.0, 3.0, 1.0, 0.0, 0.0]]
    assert model.score(torch.tensor([0, 3, 3])).tolist() == expected * 3
