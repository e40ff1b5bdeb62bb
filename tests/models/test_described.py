"""local-dir:FOLDER and hf-hub:OWNER/NAME: networks of timm and open_clip as a folder or a repository describes them."""

import json
import os
import subprocess
import sys
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import open_clip
import pytest
import safetensors.torch
import timm
import torch
from omegaconf import OmegaConf

from deepdraw.config import make
from deepdraw.models.backbones import Backbone, look_up_name

ROOT = Path(__file__).parents[2]
CLIP = {
    "embed_dim": 24,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
PREPROCESSING = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
BUILT = """
import sys, json, torch
from omegaconf import OmegaConf
from deepdraw.config import make
from deepdraw.models.backbones import look_up_name
config = OmegaConf.create(json.loads(sys.argv[1]))
look_up_name(config)
backbone = make(config, "backbone")
backbone.load_pretrained()
print(backbone.name, backbone.mean[0], float(next(iter(backbone.state_dict().values())).sum()))
"""


def config_of(kind: str, name: str, **options: Any) -> dict[str, Any]:
    """The config of a backbone as train.py composes it."""
    common = {"name": name, "pretrained": True, "image_size": 32, "pooling": None, "mean": None, "std": None}
    own: dict[str, Any] = {"options": {}} if kind == "TimmBackbone" else {"tag": None}
    return {"_target_": f"deepdraw.models.backbones.{kind}", **common, **own, **options}


def looked_up(kind: str, name: str, **options: Any) -> tuple[Backbone, dict[str, Any]]:
    config = OmegaConf.create(config_of(kind, name, **options))
    OmegaConf.set_struct(config, True)  # as Hydra's configs are
    look_up_name(config)
    backbone: Backbone = make(config, "backbone")
    backbone.load_pretrained()
    plain: Any = OmegaConf.to_container(config)
    return backbone, plain


@pytest.fixture
def of_timm(tmp_path: Path) -> tuple[Path, Any]:
    """A folder as timm's save_for_hf writes it, and its network: one with options of its own."""
    model = timm.create_model("test_resnet", num_classes=3, stem_width=8).eval()
    (tmp_path / "mine").mkdir()
    safetensors.torch.save_model(model, str(tmp_path / "mine/model.safetensors"))
    cfg = {"input_size": [3, 64, 64], **PREPROCESSING}
    described = {"architecture": "test_resnet", "num_classes": 3, "model_args": {"stem_width": 8, "num_classes": 3}}
    (tmp_path / "mine/config.json").write_text(json.dumps({**described, "pretrained_cfg": cfg}))
    return tmp_path / "mine", model


@pytest.fixture
def of_open_clip(tmp_path: Path) -> tuple[Path, Any]:
    """A folder as open_clip's push_to_hf_hub writes it, and its network, which open_clip has no name for."""
    torch.manual_seed(0)
    model = open_clip.CLIP(**CLIP).eval()
    (tmp_path / "my-clip").mkdir()
    torch.save(model.state_dict(), tmp_path / "my-clip/open_clip_pytorch_model.bin")
    described = {"model_cfg": CLIP, "preprocess_cfg": {"size": [32, 32], **PREPROCESSING}}
    (tmp_path / "my-clip/open_clip_config.json").write_text(json.dumps(described))
    return tmp_path / "my-clip", model


def test_a_folder_of_timm(of_timm: tuple[Path, Any]):
    folder, model = of_timm
    backbone, config = looked_up("TimmBackbone", f"local-dir:{folder}", image_size=64)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = model.forward_head(model.forward_features(images), pre_logits=True)
        torch.testing.assert_close(backbone.eval()(images), expected)
    assert (backbone.mean, backbone.std) == ((0.5,) * 3, (0.25,) * 3)
    assert config["name"] == "test_resnet"
    assert config["options"] == {"stem_width": 8}
    assert config["pretrained"] == str(folder / "model.safetensors")


def test_a_folder_of_open_clip(of_open_clip: tuple[Path, Any]):
    folder, model = of_open_clip
    backbone, config = looked_up("OpenClipBackbone", f"local-dir:{folder}")
    images, prompts = torch.randn(2, 3, 32, 32), ["a cat", "an umbrella"]
    with torch.no_grad():
        torch.testing.assert_close(backbone.eval()(images), model.encode_image(images))
        tokens = open_clip.SimpleTokenizer()(prompts)
        torch.testing.assert_close(backbone.encode_text(prompts), model.encode_text(tokens, normalize=True))
    assert (backbone.mean, backbone.std) == ((0.5,) * 3, (0.25,) * 3)
    assert backbone.name == config["name"] == "my-clip"


def test_what_was_looked_up_is_built_without_the_folder(of_open_clip: tuple[Path, Any], of_timm: tuple[Path, Any]):
    for kind, (folder, _) in (("OpenClipBackbone", of_open_clip), ("TimmBackbone", of_timm)):
        backbone, config = looked_up(kind, f"local-dir:{folder}")
        for file in folder.iterdir():
            file.unlink()
        again = make(OmegaConf.create(config), "backbone")
        again.load_state_dict(backbone.state_dict())
        assert (again.mean, again.name) == (backbone.mean, backbone.name)


def test_options_that_are_given_come_first(of_timm: tuple[Path, Any]):
    given = {"mean": [0.1, 0.1, 0.1], "options": {"drop_rate": 0.5}, "pretrained": False}
    backbone, config = looked_up("TimmBackbone", f"local-dir:{of_timm[0]}", **given)
    assert backbone.mean == (0.1, 0.1, 0.1)
    assert config["options"] == {"stem_width": 8, "drop_rate": 0.5}
    assert config["pretrained"] is False


def test_a_model_that_open_clip_knows_keeps_its_name(tmp_path: Path):
    described = {"model_cfg": open_clip.get_model_config("ViT-S-32")}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(described))
    config = OmegaConf.create(config_of("OpenClipBackbone", f"local-dir:{tmp_path}", pretrained=False))
    look_up_name(config)
    assert config.name == "ViT-S-32"
    assert "architecture" not in config


@pytest.mark.parametrize(
    ("kind", "name", "described", "said"),
    [
        ("TimmBackbone", "local-dir:{}", None, "there is no config.json in"),
        ("OpenClipBackbone", "local-dir:{}", None, "there is no open_clip_config.json in"),
        ("TimmBackbone", "local-dir:", None, "names no folder and no repository"),
        ("TimmBackbone", "hf-hub:resnet18", None, "names no folder and no repository"),
        ("TimmBackbone", "hub:a/b", None, "names no folder and no repository"),
        ("TimmBackbone", "local-dir:{}", {"model_type": "vit"}, "describes no network of this library"),
        ("TimmBackbone", "local-dir:{}", {"architecture": "test_resnet"}, "there is no model.safetensors or pytorch_"),
        ("TimmBackbone", "local-dir:{}", {"architecture": "x", "model_args": {"checkpoint_path": "y"}}, "read weights"),
        ("OpenClipBackbone", "local-dir:{}", {"model_cfg": {"embed_dim": 3}}, "backbone.architecture is no config"),
        ("OpenClipBackbone", "local-dir:{}", {"model_cfg": {**CLIP, "x": 1}}, r"model of open_clip \(x\)"),
        (
            "OpenClipBackbone",
            "local-dir:{}",
            {"model_cfg": {**CLIP, "text_cfg": {**CLIP["text_cfg"], "tokenizer_kwargs": {"trust_remote_code": True}}}},  # type: ignore[dict-item]
            "text_cfg.tokenizer_kwargs",
        ),
    ],
)
def test_what_is_no_description_is_refused_in_one_line(kind: str, name: str, described: Any, said: str, tmp_path: Path):
    if described is not None:
        for file in ("config.json", "open_clip_config.json"):
            (tmp_path / file).write_text(json.dumps(described))
    pretrained = said.startswith("there is no model")
    with pytest.raises(ValueError, match=said) as refusal:
        looked_up(kind, name.format(tmp_path), pretrained=pretrained)
    assert "\n" not in str(refusal.value)


class Hub(BaseHTTPRequestHandler):
    """Answers as the Hugging Face hub does, with the files of a folder as those of every repository."""

    def __init__(self, folder: Path, *arguments: Any) -> None:
        self.folder = folder
        super().__init__(*arguments)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        file = self.folder / self.path.rpartition("/")[2]
        found = "/resolve/" in self.path and file.is_file()
        content = file.read_bytes() if found else b""
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", f'"{file.name}"')
        if not found:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.mark.parametrize("kind", ["TimmBackbone", "OpenClipBackbone"])
def test_a_repository_of_the_hub(kind: str, request: pytest.FixtureRequest, tmp_path: Path):
    folder, _ = request.getfixturevalue("of_timm" if kind == "TimmBackbone" else "of_open_clip")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, folder))
    Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        **{key: value for key, value in os.environ.items() if "proxy" not in key.lower()},
        **{"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "cache")},
        **{"HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"},
    }
    config = json.dumps(config_of(kind, "hf-hub:someone/network@v1"))
    command = [sys.executable, "-c", BUILT, config]
    run = partial(subprocess.run, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    online = run(command)
    server.shutdown()
    server.server_close()
    assert online.returncode == 0, online.stderr[-800:]
    name, mean, _ = online.stdout.split()
    assert (name, mean) == ("test_resnet" if kind == "TimmBackbone" else "network", "0.5")
    assert run(command).stdout == online.stdout  # of the hub's cache
