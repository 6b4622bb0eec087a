"""Muon moves matrices as torch's does, which computes in a coarser precision."""

import pytest
import torch

from orchestrator.worlds.muon import Muon, orthogonal

SHAPES = [(32, 32), (48, 32), (32, 32), (16, 64)]


def moved(make: type, steps: int) -> list[torch.Tensor]:
    """Matrices after so many steps along gradients that are the same for every optimiser."""
    chance = torch.Generator().manual_seed(0)
    matrices = [torch.nn.Parameter(torch.randn(shape, generator=chance)) for shape in SHAPES]
    optimizer = make(matrices, lr=0.05, weight_decay=0.1)
    for _ in range(steps):
        for matrix in matrices:
            matrix.grad = torch.randn(matrix.shape, generator=chance)
        optimizer.step()
    return [matrix.detach() for matrix in matrices]


def test_matrices_move_as_torchs_muon_moves_them() -> None:
    start = moved(Muon, 0)
    for before, ours, theirs in zip(start, moved(Muon, 5), moved(torch.optim.Muon, 5), strict=True):
        assert (ours - theirs).norm() < 0.02 * (theirs - before).norm()


@pytest.mark.parametrize("shape", [(3, 24, 24), (2, 40, 16), (2, 16, 40)])
def test_a_step_is_nearly_orthogonal_and_keeps_its_singular_vectors(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = orthogonal(matrices)
    assert found.shape == shape and found.dtype == torch.float32
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    rotated = left.mT @ found @ right.mT
    values = rotated.diagonal(dim1=1, dim2=2)
    assert values.min() > 0.3 and values.max() < 1.3
    torch.testing.assert_close(rotated, torch.diag_embed(values), atol=1e-4, rtol=0)


def test_no_gradient_is_no_step() -> None:
    [before, *_] = moved(Muon, 0)
    matrix = torch.nn.Parameter(before.clone())
    matrix.grad = torch.zeros_like(matrix)
    Muon([matrix], lr=0.05, weight_decay=0.0).step()
    assert torch.equal(matrix, before)
