"""Arrival times of a front."""

import torch

from magpie_core.synthesis.edema import front_propagation


def _seed(shape, *voxels):
    seed = torch.zeros(shape, dtype=torch.bool)
    for voxel in voxels:
        seed[voxel] = True
    return seed


def test_arrival_time_at_constant_speed_is_distance_over_speed():
    time = front_propagation(torch.full((9, 9, 9), 2.0), _seed((9, 9, 9), (4, 4, 4)), spacing_mm=3.0)
    assert time[4, 4, 4] == 0
    torch.testing.assert_close(time[4, 4, 8], torch.tensor(4 * 3.0 / 2))  # along an axis
    torch.testing.assert_close(time[8, 8, 8], torch.tensor(4 * 3.0 * 3**0.5 / 2))  # along a diagonal
    torch.testing.assert_close(time, time.flip(0, 1, 2))


def test_arrival_time_is_that_from_the_nearest_seed():
    ends = _seed((1, 1, 11), (0, 0, 0), (0, 0, 10))
    time = front_propagation(torch.ones(1, 1, 11), ends, spacing_mm=1.0)
    torch.testing.assert_close(time[0, 0], torch.arange(11.0).minimum(torch.arange(10.0, -1, -1)))


def test_front_goes_around_slow_voxels():
    speed = torch.ones(5, 5, 3)
    speed[:4, 2] = 0.0  # a wall with a gap at its end
    time = front_propagation(speed, _seed((5, 5, 3), (0, 0, 1)), spacing_mm=1.0)
    torch.testing.assert_close(time[0, 4, 1], torch.tensor(2 * (2 * 2**0.5 + 2)))  # to the gap and back


def test_arrival_time_beyond_the_sweeps_is_the_initial_value():
    time = front_propagation(torch.ones(1, 1, 60), _seed((1, 1, 60), (0, 0, 59)), spacing_mm=1.0)
    assert time[0, 0, 0] == 1e4 and time[0, 0, 58] == 1
