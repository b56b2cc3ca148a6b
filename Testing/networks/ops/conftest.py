"""Compare every operator with torch's on each available device."""

import pytest
import torch


@pytest.fixture(autouse=True, params=["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])
def device(request, monkeypatch):
    """Default device of new tensors; float32 without TF32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.set_default_device(request.param)
    yield request.param
    torch.set_default_device(None)
