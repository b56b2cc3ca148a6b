"""Every operator is held to its twin on all kinds of device that there are."""

import pytest
import torch


@pytest.fixture(autouse=True, params=["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])
def device(request, monkeypatch):
    """Where tensors are made unless a test says otherwise; in full float32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.set_default_device(request.param)
    yield request.param
    torch.set_default_device(None)
