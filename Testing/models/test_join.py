"""join_experts: from models of one modality each to a mixture of modality experts."""

from dataclasses import replace

import pytest
import torch

from magpie_core.errors import ModelError
from magpie_core.models.description import ModelDescription
from magpie_core.models.join import join_experts
from magpie_core.models.model import load_model, save_model
from magpie_core.networks.config import NetworkConfig
from magpie_core.networks.magpie_net import MagpieNet

TINY = NetworkConfig(
    widths=(4, 8), encoder_blocks=(1, 1), decoder_blocks=(1,), refinement_channels=4, deep_supervision=0
)


@pytest.fixture
def expert(tmp_path):
    """Return a function that writes a model of the given modalities."""

    def make(*modalities, license="Apache-2.0", **fields):
        config = replace(TINY, modalities=modalities, **fields)
        folder = tmp_path / "-".join((*modalities, *map(str, fields)))
        description = ModelDescription("expert", "1", license, network=config.to_dict())
        save_model(folder, description, MagpieNet(config).state_dict(), card="# expert")
        return folder

    return make


def test_join_experts_keeps_the_experts_logits(expert, tmp_path):
    t1, flair = expert("T1"), expert("FLAIR", license="CC-BY-NC-SA-4.0")
    join_experts([t1, flair], tmp_path / "joined")
    joined = load_model(tmp_path / "joined")
    image = torch.randn(1, 1, 8, 8, 8)
    alone = load_model(flair).network(image, ["FLAIR"]).logits
    torch.testing.assert_close(joined.network(image, ["FLAIR"]).expert_outputs[0].logits, alone)
    torch.testing.assert_close(joined.network(image, ["FLAIR"]).logits, alone)
    for name, folder in (("T1", t1), ("FLAIR", flair)):
        expected = load_model(folder).network.state_dict()
        found = joined.network.experts[name].state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert joined.description.license == "CC-BY-NC-SA-4.0"


def test_join_experts_rejects_models_that_do_not_fit_together(expert, tmp_path):
    t1 = expert("T1")
    with pytest.raises(ModelError, match="must take one modality"):
        join_experts([t1, expert("T2", "FLAIR")], tmp_path / "joined")
    with pytest.raises(ModelError, match="two models for T1"):
        join_experts([t1, t1], tmp_path / "joined")
    with pytest.raises(ModelError, match="differ"):
        join_experts([t1, expert("T2", widths=(4, 12))], tmp_path / "joined")
    assert not (tmp_path / "joined").exists()
