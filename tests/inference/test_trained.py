"""A trained classifier is rebuilt from its checkpoint alone, and says what it is."""

from __future__ import annotations

import shutil

import pytest
import torch

from deepdraw.data.loader import Loader
from deepdraw.inference.trained import rebuild
from deepdraw.training.checkpoint import load_checkpoint


def changed(path, change):
    """The checkpoint at `path`, written anew as `change` leaves it."""
    content = load_checkpoint(path)
    change(content)
    torch.save(content, path)
    return path


@pytest.fixture
def best(trained):
    return trained / "checkpoints/best.pt"


def test_it_draws_and_answers_as_in_training(best):
    trained = rebuild(best)
    assert trained.classes == ["triangle", "square", "octagon"]
    drawn = {"size": 32, "line_width": 2.5, "margin": 0.02, "polarity": "white_on_black", "images": "drawing"}
    drawn["channels"] = "ink"
    assert vars(trained.rasterizer) == drawn
    assert not trained.model.training
    loader = Loader(
        trained.source().split("test"),
        trained.rasterizer,
        batch_size=90,
        shuffle=False,
        device=trained.precision.device,
        num_workers=0,
    )
    (batch,) = loader.epoch()
    with torch.inference_mode():
        top1 = (trained.model(batch.inputs).argmax(dim=1) == batch.labels).float().mean()
    assert top1 > 0.5


def test_the_data_may_have_moved(best, polygon_root, tmp_path):
    moved = shutil.copytree(polygon_root, tmp_path / "moved")
    assert rebuild(best, root=str(moved)).source().root == moved
    with pytest.raises(ValueError, match=r"no shards in .*gone"):
        rebuild(best, root=str(tmp_path / "gone")).source()


def test_the_temperature_is_that_of_the_best_weights_alone(best):
    assert rebuild(best).temperature == load_checkpoint(best)["best"].get("val/temperature")
    changed(best, lambda content: content["best"].update({"val/temperature": 1.7}))
    assert rebuild(best).temperature == 1.7
    last = changed(best.with_name("last.pt"), lambda content: content["best"].update({"val/temperature": 1.7}))
    assert rebuild(last).temperature is None


def test_a_checkpoint_without_a_fitted_temperature_has_none(best):
    assert rebuild(changed(best, lambda content: content["best"].pop("val/temperature", None))).temperature is None
    assert rebuild(changed(best, lambda content: content.pop("best"))).temperature is None


def test_it_knows_whether_its_backbone_stayed_as_it_was(best):
    assert not rebuild(best).frozen

    def freeze(content):
        content["config"]["freeze"] = {"_target_": "deepdraw.models.freezing.everything"}

    assert rebuild(changed(best, freeze)).frozen


@pytest.mark.parametrize(
    ("policy", "frozen"),
    [
        ({"_target_": "deepdraw.models.freezing.first", "n": 1}, False),
        ({"_target_": "deepdraw.models.freezing.nothing"}, False),
        ({"_target_": "deepdraw.models.freezing.lora", "rank": 2, "alpha": 4.0}, False),
        (
            {
                "_target_": "deepdraw.models.freezing.gradual",
                "probe_epochs": 1,
                "blocks_per_epoch": None,
                "epochs": 3,
            },
            False,
        ),
    ],
)
def test_the_parameters_say_whether_the_backbone_stayed_as_it_was(best, policy, frozen):
    changed(best, lambda content: content["config"].update(freeze=policy))
    assert rebuild(best).frozen is frozen


def test_a_policy_of_another_package_is_not_run_and_training_has_written_what_it_did(best, tmp_path, monkeypatch):
    (tmp_path / "own_policies.py").write_text("def policy(groups):\n    raise AssertionError('it was run')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_checkpoint(best)["frozen"] is False
    changed(best, lambda content: content["config"].update(freeze={"_target_": "own_policies.policy"}))
    assert not rebuild(best, trust=["own_policies"]).frozen
    changed(best, lambda content: content.update(frozen=True))
    assert rebuild(best, trust=["own_policies"]).frozen
    changed(best, lambda content: content.pop("frozen"))
    assert not rebuild(best, trust=["own_policies"]).frozen


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["config"]["backbone"].update(name="resnet10"), "did you mean"),
        (lambda content: content["config"]["backbone"].update(_target_="os.system"), "foreign _target_ 'os.system'"),
        (lambda content: content["model"].pop("head.weight"), "its weights do not fit the network .*head.weight"),
        (lambda content: content["config"]["render"].update(size=2), "render.size=2 is too small"),
    ],
    ids=["network", "foreign", "weights", "render"],
)
def test_what_cannot_be_rebuilt_is_refused_in_one_line(best, change, message):
    changed(best, change)
    with pytest.raises(ValueError, match=message) as refused:
        rebuild(best)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda:99"}, "use device=auto or device=cpu"),
        ({"precision": "fp8"}, "choose auto, bf16, fp16 or fp32"),
    ],
    ids=str,
)
def test_bad_options_are_refused_in_one_line(best, options, message):
    with pytest.raises(ValueError, match=message):
        rebuild(best, **options)


def test_a_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"there is no checkpoint .*best.pt: correct the path"):
        rebuild(tmp_path / "best.pt")


@pytest.mark.parametrize(
    ("source", "images"), [("deepdraw.data.Shards", "drawing"), ("deepdraw.data.tars.ImageTars", "canvas")]
)
def test_a_checkpoint_that_does_not_say_how_it_reads_images_reads_them_as_it_was_trained(best, source, images):
    content = load_checkpoint(best)
    del content["config"]["render"]["images"]
    content["config"]["data"]["source"]["_target_"] = source
    torch.save(content, best)
    assert rebuild(best).rasterizer.images == images


def test_images_are_read_as_the_run_says(train, tmp_path):
    run = train("render.images=canvas", "train.epochs=1", run_dir=tmp_path / "run")
    assert rebuild(run / "checkpoints/best.pt").rasterizer.images == "canvas"
