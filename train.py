"""Train a vision encoder on drawings: compose, build, fit, report.

python train.py backbone=clip freeze=first12
"""

if __name__ == "__main__":
    import deepdraw.runtime.startup  # noqa: F401  # Ctrl-C ends the imports below without a traceback, too

import time
from contextlib import nullcontext
from pathlib import Path

import hydra
from omegaconf import DictConfig

from deepdraw.runtime.compose_errors import one_line_compose_errors
from deepdraw.runtime.run import describe_run, one_directory, one_line_errors, open_run, run_directory
from deepdraw.runtime.run_directory import sole_writer


@one_line_compose_errors
@one_directory
@hydra.main(version_base="1.3", config_path="conf", config_name="train")
@one_line_errors
def main(cfg: DictConfig) -> float:
    """Train as `cfg` says in Hydra's run directory and return the best validation top-1."""
    from deepdraw.runtime.distributed import from_first, join_ranks  # heavy imports wait until --help has answered

    rank, world_size = join_ranks()
    run = from_first(run_directory)
    with sole_writer(run) if rank == 0 else nullcontext():
        return train_in(run, cfg, rank, world_size)


def train_in(run: Path, cfg: DictConfig, rank: int = 0, world_size: int = 1) -> float:
    """Train as `cfg` says in the directory `run`, this process being rank `rank` of `world_size`."""
    import torch

    from deepdraw.data.loader import Epochs, Loader
    from deepdraw.data.raster import Rasterizer
    from deepdraw.evaluation.classify import sample, score
    from deepdraw.evaluation.predictions import PredictionsBuilder
    from deepdraw.evaluation.results import write_training
    from deepdraw.evaluation.tables import print_table
    from deepdraw.models.batch_norm import synchronise
    from deepdraw.models.classifier import Classifier
    from deepdraw.models.freezing import freeze, print_layers
    from deepdraw.runtime.distributed import from_first, leave_ranks
    from deepdraw.runtime.making import check_training, make
    from deepdraw.runtime.memory import keep_freed_memory
    from deepdraw.runtime.precision import find_device
    from deepdraw.training.averaging import average
    from deepdraw.training.checkpoint import load_checkpoint, load_last
    from deepdraw.training.features import Encoder, FeatureLoader, FeatureOptions, cached_features, encodes_once
    from deepdraw.training.loop import Recipe, State

    keep_freed_memory()
    check_training(cfg, {"train": Recipe, "features": FeatureOptions, "render": Rasterizer})
    checkpoints = run / "checkpoints"
    former = from_first(lambda: load_last(checkpoints))
    config = open_run(run, cfg, former and former["config"], write=rank == 0)
    recipe, caching = Recipe(**cfg.train), FeatureOptions(**cfg.features)
    fit = make(cfg.fit, "fit", _convert_="all")
    device = find_device(cfg.device)
    precision = make(cfg.precision, "precision", device=device)
    torch.manual_seed(cfg.seed)

    backbone = make(cfg.backbone, "backbone")
    if recipe.activation_checkpointing:
        backbone.checkpoint_activations()
    frozen = make(cfg.freeze, "freeze", backbone.layer_groups())  # refuses what cannot be before anything is loaded
    with torch.device("meta"):  # a head that cannot be is refused before the data say how many classes it has
        Classifier(backbone, make(cfg.head, "head", num_features=backbone.num_features, num_classes=1))
    augment = make(cfg.augment, "augment")
    if augment is not None and not cfg.data.get("strokes", True):
        raise ValueError(f"data.root={cfg.data.root} holds images, which have no strokes: set augment=none")
    source = make(cfg.data.source, "data.source")
    splits = {name: source.split(name) for name in ("train", "val", "test")}
    augments = {"train": augment, "val": None, "test": None}
    loading = {"batch_size": cfg.data.batch_size, "device": device, "seed": cfg.seed}
    loading |= {"rank": rank, "world_size": world_size}
    rasterizer, num_workers = Rasterizer(**cfg.render), cfg.data.num_workers
    train, val, test = (
        Loader(split, rasterizer, shuffle=name == "train", augment=augments[name], num_workers=num_workers, **loading)
        for name, split in splits.items()
    )
    head = make(cfg.head, "head", num_features=backbone.num_features, num_classes=len(train.classes))
    model = Classifier(backbone, head).to(device)
    if former is None:
        model.load_pretrained(train.classes)
    freeze(model, frozen)
    print_layers(model)
    if world_size > 1:
        synchronise(model)
        torch.manual_seed(cfg.seed + rank)  # ranks start alike, then drop and mix each in its own way
    if hasattr(fit, "check"):
        fit.check(model, recipe)

    loggers = cfg.get("logger", {}) if rank == 0 else {}
    pretrained = bool(cfg.backbone.get("pretrained"))
    optimizer = make(cfg.optimizer, "optimizer", model, _convert_="all", pretrained=pretrained)
    state = State(
        model=model,
        averaged=recipe.ema and average(model, recipe.ema),
        optimizer=optimizer,
        schedule=make(cfg.schedule, "schedule", optimizer, recipe.total_steps(train)),
        scaler=precision.scaler(),
        loggers={name: make(logger, f"logger.{name}")(run, config) for name, logger in loggers.items()},
        recent=torch.zeros(3, device=device),
    )
    if recipe.compile:
        model.compile()
    if former is not None:
        state.load_state_dict(former)
        print(f"resumed at step {state.step} of {recipe.total_steps(train)}")

    drawn_test = test
    if encodes_once(model, recipe, augment, caching):
        encoder = Encoder(model, config["backbone"], rasterizer, precision, num_workers)
        train, val, test = (
            FeatureLoader(
                cached_features(name, split, encoder, caching, augments[name], cfg.seed),
                split,
                shuffle=name == "train",
                **loading,
            )
            for name, split in splits.items()
        )

    def evaluate(split: str, loader: Epochs, answers: PredictionsBuilder | None = None) -> dict[str, float]:
        metrics = score(
            state.judged.eval(), loader, precision, title=split, limit_batches=recipe.limit_steps, answers=answers
        )
        return {f"{split}/{name}": value for name, value in metrics.items()}

    preprocessing = {**config["render"], "mean": list(backbone.mean), "std": list(backbone.std)}
    about = {"config": config, "classes": train.classes, "preprocessing": preprocessing}
    fit(state, train, val, evaluate, recipe, precision, checkpoints, about)

    state.judged.load_state_dict(from_first(lambda: load_checkpoint(checkpoints / "best.pt")["model"]))
    start = time.perf_counter()
    answers = PredictionsBuilder(train.classes)
    metrics = evaluate("test", test, answers)
    state.log({**metrics, "test/epoch_time": time.perf_counter() - start})
    leave_ranks()
    if rank > 0:  # what follows is the first one's
        return state.best["val/top1"]
    summary = describe_run(cfg, model) | {"ranks": world_size, "steps": state.step} | state.speed | state.best | metrics
    drawings = sample(state.judged, drawn_test, precision, num_batches=min(recipe.limit_steps or 8, 8))
    print_table(f"test, by the weights of epoch {state.best['val/epoch']}, the best on validation", metrics)
    rows = run / "metrics.csv" if "csv" in state.loggers else None
    pictures = write_training(run, summary, answers.build(splits["test"].complexity()), drawings, rows)
    for logger in state.loggers.values():
        logger.log_pictures(pictures, step=state.step)
        logger.finish(summary)
    return state.best["val/top1"]


if __name__ == "__main__":
    main()
