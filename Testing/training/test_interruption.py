"""Ctrl-C during a training: after the step at hand, at once the second time, and with nothing lost."""

from __future__ import annotations

import signal
import threading

import pytest
import torch

from magpie_core.errors import Cancelled
from magpie_core.training.checkpoints import load_checkpoint
from magpie_core.training.interruption import deferred_interrupt
from magpie_core.training.loop import StepOutput, optimize
from magpie_core.training.loop_options import LoopOptions


@pytest.fixture(autouse=True)
def interruptible():
    """Ctrl-C as in a terminal: a test run in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


OPTIONS = LoopOptions(budget_steps=8, precision="fp32", log_every=1, checkpoint_minutes=1e6)


def test_first_press_is_noted_and_the_second_interrupts():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), deferred_interrupt() as is_interrupted:
        assert not is_interrupted()
        signal.raise_signal(signal.SIGINT)
        assert is_interrupted()
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_threads_and_handlers_of_others_are_left_alone():
    found = []

    def ask():
        with deferred_interrupt() as is_interrupted:
            found.append(is_interrupted())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert found == [False]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred_interrupt():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def _train(folder, stop_at=None, on_progress=None):
    """Eight steps of a network with one weight."""
    torch.manual_seed(0)
    network = torch.nn.Linear(2, 1)
    taken = []

    def step(forward, progress, rng):
        taken.append(1)
        if len(taken) == stop_at:
            signal.raise_signal(signal.SIGINT)
        return StepOutput(forward(torch.tensor(rng.normal(size=(4, 2)), dtype=torch.float32)).square().mean())

    return optimize(network, step, folder, OPTIONS, on_progress=on_progress)


@pytest.mark.parametrize("stop_at", [1, 4, 7])
def test_interrupted_training_loses_no_step_and_ends_like_another(tmp_path, stop_at):
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "run", stop_at=stop_at)
    assert load_checkpoint(tmp_path / "run")["step"] == stop_at
    resumed, whole = _train(tmp_path / "run"), _train(tmp_path / "whole")
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_cancelled_training_is_saved(tmp_path):
    def cancel(progress, line):
        if line["step"] == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        _train(tmp_path, on_progress=cancel)
    assert load_checkpoint(tmp_path)["step"] == 3
