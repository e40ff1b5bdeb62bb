"""Every option of every config group composes, builds, and opens with the command that uses it."""

import re
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from deepdraw.config import make
from deepdraw.models.backbones.timm import TimmBackbone
from deepdraw.models.classifier import Classifier

CONF = Path(__file__).parents[1] / "conf"
OPTIONS = [
    (group.name, option.stem)
    for group in sorted(CONF.iterdir())
    if group.is_dir() and group.name not in ("hydra", "local")
    for option in sorted(group.glob("*.yaml"))
]
NEEDED = {
    ("backbone", "timm"): ["backbone.name=test_vit"],
    ("backbone", "open_clip"): ["backbone.name=RN50-quickgelu", "backbone.tag=openai"],
    ("freeze", "first"): ["freeze.n=2"],
    ("freeze", "last"): ["freeze.n=2"],
    ("freeze", "blocks"): ["freeze.blocks=[0,1]"],
    ("freeze", "first12"): ["backbone=dinov2_small"],
    ("freeze", "halves"): ["backbone=fused"],
    ("freeze", "lora"): ["backbone=dinov2_small"],
    ("head", "prompts"): ["backbone=clip_base"],
    ("head", "weighed"): ["backbone=fused"],
    ("data", "tars"): ["data.root=tars"],
    ("data", "folder"): ["data.root=drawings"],
    ("data", "csv"): ["data.file=labels.csv"],
    ("format", "hub"): ["hub=someone/name"],
}
# Each experiment on a small network in place of its own, for a step.
SMALL_VIT = ["backbone=timm", "backbone.name=vit_tiny_patch16_224", "backbone.image_size=32"]
SEE_STROKES = ("strokes", "fused_small", "fused_fewshot", "fused", "fused_large")  # which have no backbone.pretrained
SMALL_PIXELS = ["backbone@backbone.pixels=timm", "backbone.pixels.name=test_vit", "backbone.pixels.pretrained=false"]
SMALL_PIXELS += ["backbone.pixels.image_size=32", "backbone.strokes.widths=[8,8,8]", "input.points=32"]
SMALL = {
    "first12": [*SMALL_VIT, "+backbone.options.embed_dim=24", "+backbone.options.depth=24"],
    "scratch": ["backbone.image_size=32"],
    "strokes": ["input.points=32"],
    "fused_small": ["backbone.pixels.image_size=32", "input.points=32"],
    "fused_fewshot": ["backbone.pixels.image_size=32", "input.points=32"],
    "fused": SMALL_PIXELS,
    "fused_large": SMALL_PIXELS,
    "finetune_small": ["backbone.image_size=32"],
}


def composed(group: str, option: str):
    name = {"protocol": "evaluate", "format": "export"}.get(group, "train")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        choice = f"{group}=[{option}]" if group == "logger" else f"{group}={option}"
        choice = f"+{choice}" if group == "sweep" else choice
        overrides = [*NEEDED.get((group, option), []), choice]
        return compose(name, overrides if name == "train" else [*overrides, "ckpt=best.pt"])


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_resolves(group, option):
    assert OmegaConf.to_container(composed(group, option), resolve=True, throw_on_missing=True)


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_opens_with_the_command_that_uses_it(group, option):
    head = (CONF / group / f"{option}.yaml").read_text().splitlines()[:3]
    command = re.compile(rf"# python .*\b{group}=\[?[\w,]*\b{option}\b")
    assert any(command.match(line) for line in head), head


@pytest.mark.parametrize(("group", "option"), [pair for pair in OPTIONS if pair[0] in ("backbone", "freeze", "head")])
def test_every_part_of_a_model_builds(group, option):
    cfg = composed(group, option)
    get_class(cfg.backbone._target_)  # torch 2.6 cannot be imported further under the device meta
    with torch.device("meta"):
        backbone = instantiate(cfg.backbone)
        sizes = {"num_features": backbone.num_features, "feature_widths": backbone.feature_widths}
        head = make(cfg.head, "head", **sizes, num_classes=5, build_text_tower=backbone.build_text_tower)
        frozen = instantiate(cfg.freeze, backbone.layer_groups())
    assert backbone.image_size == (cfg.render.size if "pixels" in backbone.sees else 0)
    assert sum(p.numel() for p in head.parameters()) > 0
    assert bool(frozen) == (cfg.freeze._target_ != "deepdraw.models.freezing.nothing")


@pytest.mark.parametrize(("group", "option"), [pair for pair in OPTIONS if pair[0] in ("optimizer", "schedule")])
def test_every_optimizer_and_schedule_takes_a_step(group, option):
    cfg = composed(group, option)
    backbone = TimmBackbone("resnet10t", pretrained=False, image_size=32, options={"channels": [8, 8, 8, 8]})
    model = Classifier(backbone, torch.nn.Linear(backbone.num_features, 2))
    optimizer = instantiate(cfg.optimizer, model, pretrained=False)
    schedule = instantiate(cfg.schedule, optimizer, 10)
    before = model.head.weight.clone()
    model.eval()(torch.zeros(1, 32, 32, dtype=torch.uint8)).sum().backward()
    optimizer.step()
    schedule.step()
    assert not torch.equal(model.head.weight, before)


@pytest.mark.parametrize(("group", "option"), [pair for pair in OPTIONS if pair[0] == "precision"])
def test_every_precision_builds(group, option):
    precision = instantiate(composed(group, option).precision, device=torch.device("cpu"))
    with precision.autocast():
        assert torch.ones(2, 2).matmul(torch.ones(2, 2)).isfinite().all()


@pytest.mark.parametrize(
    ("group", "option"), [pair for pair in OPTIONS if pair[0] in ("augment", "logger", "protocol")]
)
def test_every_augmentation_logger_and_protocol_builds(group, option, tmp_path):
    cfg = composed(group, option)
    if group == "logger":
        assert instantiate(cfg.logger[option])(tmp_path, {})
    elif group == "augment":
        assert (instantiate(cfg.augment) is None) == (option == "none")
    else:
        assert callable(instantiate(cfg.protocol, _convert_="all"))


@pytest.mark.parametrize("experiment", [option for group, option in OPTIONS if group == "experiment"])
def test_every_experiment_trains(experiment, train, polygon_root):
    small = SMALL.get(experiment, ["backbone=timm", "backbone.name=test_vit", "backbone.image_size=32"])
    if experiment not in SEE_STROKES:
        small = [*small, "backbone.pretrained=false"]
    overrides = [f"experiment={experiment}", f"data.root={polygon_root}", *small]
    run = train("data=quickdraw", *overrides, "train.limit_steps=1", "data.batch_size=8")
    assert (run / "summary.json").exists()


def test_what_one_cluster_asks_for_reaches_its_jobs_and_disturbs_no_other_command(tmp_path):
    text = (CONF.parent / "docs/sweeps.md").read_text()
    (tmp_path / "local").mkdir()
    (tmp_path / "local/default.yaml").write_text(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0])
    with initialize_config_dir(str(CONF), version_base="1.3"):
        here = [f"hydra.searchpath=[file://{tmp_path}]"]
        slurm, local, basic = (
            compose("train", [*here, f"hydra/launcher={name}"], return_hydra_config=True)
            for name in ("slurm", "local", "basic")
        )
    launcher = slurm.hydra.launcher
    assert (launcher.account, launcher.partition, launcher.qos) == ("my_account", "gpu", None)
    assert launcher.setup == ["module load CUDA"]
    assert {config.features.dir for config in (slurm, local, basic)} == {"/scratch/me/features"}


def test_the_slurm_launcher_asks_for_what_a_run_needs():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        launcher = compose("train", ["hydra/launcher=slurm"], return_hydra_config=True).hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher")
    assert (launcher.gpus_per_node, launcher.cpus_per_task, launcher.mem_gb) == (1, 8, 32)
