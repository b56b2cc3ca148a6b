"""Model folders: written atomically, verified before they are loaded."""

import json

import pytest
import torch

from magpie_core.errors import ModelError
from magpie_core.models.description import ModelDescription, Postprocessing, read_description
from magpie_core.models.model import load_model, save_model
from magpie_core.models.registry import find_model
from magpie_core.networks.config import ExpertsConfig, NetworkConfig
from magpie_core.networks.magpie_net import MagpieNet
from magpie_core.storage.manifest import write_manifest

SMALL = NetworkConfig(
    widths=(4, 8),
    encoder_blocks=(1, 1),
    decoder_blocks=(1,),
    experts=ExpertsConfig(blocks=(0, 1), experts=4, expansion=2.0),
    refinement_channels=4,
    deep_supervision=0,
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return MagpieNet(SMALL)


@pytest.fixture
def folder(tmp_path, network):
    description = ModelDescription(
        name="tiny",
        version="1",
        license="Apache-2.0",
        network=SMALL.to_dict(),
        postprocessing=Postprocessing(minimum_volume_ml=(0.1, 0.0, 0.0)),
        training={"cases": ("a", "b")},
    )
    save_model(tmp_path / "tiny", description, network.state_dict(), card="# tiny\n")
    return tmp_path / "tiny"


def test_load_model_returns_the_saved_model_in_half_precision(folder, network):
    model = load_model(folder)
    assert model.name == "tiny 1"
    assert model.description.postprocessing.minimum_volume_ml == (0.1, 0.0, 0.0)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(model.network.state_dict()[name], tensor.half().float())


@pytest.mark.parametrize("name", ["weights.safetensors", "model.yaml", "card.md"])
def test_load_model_detects_a_flipped_byte_in_any_file(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        load_model(folder)


@pytest.mark.parametrize("name", ["weights.safetensors", "model.yaml", "card.md", "manifest.json"])
def test_load_model_names_a_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        load_model(folder)


def test_load_model_rejects_a_file_that_the_manifest_does_not_list(folder):
    (folder / "extra.py").write_text("print('hello')")
    with pytest.raises(ModelError, match=r"extra\.py"):
        load_model(folder)


def test_load_model_rejects_a_manifest_with_a_path_outside_the_folder(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"]["../secret"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="outside"):
        load_model(folder)


def test_load_model_rejects_weights_of_another_network(folder, network):
    text = (folder / "model.yaml").read_text().replace("experts: 4", "experts: 6")
    (folder / "model.yaml").write_text(text)
    write_manifest(folder)
    with pytest.raises(ModelError, match="do not fit"):
        load_model(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format: 2", "format: 3", "format 3"),
        ("name: tiny", "nam: tiny", "nam"),
        ("schema: magpie", "schema: nonsense", "nonsense"),
        ("widths:", "heights:", "heights"),
    ],
)
def test_read_description_rejects_unknown_formats_keys_and_values(folder, old, new, message):
    path = folder / "model.yaml"
    path.write_text(path.read_text().replace(old, new))
    write_manifest(folder)
    with pytest.raises(Exception, match=message) as caught:
        load_model(folder).description.label_schema  # noqa: B018
    assert hasattr(caught.value, "remedy")


def test_read_description_runs_no_code(folder):
    (folder / "model.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(ModelError):
        read_description(folder)


def test_save_model_never_overwrites(folder, network):
    with pytest.raises(ModelError, match="not overwritten"):
        save_model(folder, read_description(folder), network.state_dict(), card="")
    load_model(folder)


def test_save_model_leaves_nothing_after_an_error(tmp_path, network):
    wrong = ModelDescription(name="x", version="1", license="none", network={"experts": 3})
    with pytest.raises(ModelError):
        save_model(tmp_path / "x", wrong, network.state_dict(), card="")
    assert list(tmp_path.iterdir()) == []


def test_find_model_lists_the_installed_models(folder, monkeypatch):
    monkeypatch.setenv("MAGPIE_MODELS", str(folder.parent))
    assert find_model("tiny") == folder
    assert find_model(folder) == folder
    with pytest.raises(ModelError, match="installed: tiny"):
        find_model("huge")
