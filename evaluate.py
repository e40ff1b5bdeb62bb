"""Evaluate a checkpoint on a split: rebuild it from its own config, score it, write numbers and pictures down.

python evaluate.py ckpt=outputs/DAY/TIME/checkpoints/best.pt split=zeroshot
"""

if __name__ == "__main__":
    import deepdraw.runtime.startup  # noqa: F401  # Ctrl-C ends the imports below without a traceback, too

import hydra
from omegaconf import DictConfig

from deepdraw.runtime.compose_errors import one_line_compose_errors
from deepdraw.runtime.run import ends_in_one_line, evaluation_left
from deepdraw.runtime.run_directory import check_folders


@one_line_compose_errors
@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
@ends_in_one_line(evaluation_left)
def main(cfg: DictConfig) -> None:
    """Print the metrics of `cfg.ckpt` on `cfg.split` and write them to `<run>/evaluations/<split>.json`.

    With `cfg.interpolate` they are those of the weights between the pretrained and the trained ones, for each alpha.
    """
    from omegaconf import OmegaConf  # heavy imports wait until --help and --cfg have answered

    from deepdraw.data.loader import Epochs, Loader, Split
    from deepdraw.data.subset import Joined, JoinedLoader
    from deepdraw.evaluation.evaluation import Evaluation
    from deepdraw.evaluation.results import write_evaluation, write_metrics
    from deepdraw.evaluation.splits import open_split, redraw, result_name, seen_drawings
    from deepdraw.evaluation.tables import print_comparison, print_table
    from deepdraw.evaluation.task import Task
    from deepdraw.inference.trained import build, rebuild
    from deepdraw.models.interpolation import check_alphas, interpolate, pretrained_weights
    from deepdraw.runtime.files import check_writable
    from deepdraw.runtime.loggers import log_evaluation
    from deepdraw.runtime.making import check_evaluation, make
    from deepdraw.runtime.memory import keep_freed_memory
    from deepdraw.training.features import Encoder, FeatureLoader, FeatureOptions, cached_features

    keep_freed_memory()
    check_evaluation(cfg, {"features": FeatureOptions})
    trained = rebuild(
        cfg.ckpt,
        device=cfg.device,
        precision=cfg.precision.name,
        trust=cfg.trust,
        pretrained=cfg.backbone.pretrained,
        root=cfg.data.root,
    )
    run = trained.path.parent.parent
    check_folders(run)
    check_writable(run / "evaluations")
    model, device = trained.model, trained.precision.device
    config = OmegaConf.to_container(trained.config)
    if cfg.interpolate is not None:
        check_alphas(cfg.interpolate, trained.config.backbone.get("pretrained"))
    protocol, caching = make(cfg.protocol, "protocol", _convert_="all"), FeatureOptions(**cfg.features)
    loggers = {key: make(logger, f"logger.{key}") for key, logger in cfg.get("logger", {}).items()}
    source = trained.source()
    name = result_name(cfg.split, source)
    split = open_split(cfg.split, source, trained.classes)
    seen = None if cfg.split == "train" else seen_drawings(source, trained.classes, cfg.seen_per_class)
    keeps = trained.frozen and caching.dir is not None and cfg.interpolate is None and cfg.limit_batches is None

    def evaluate() -> Evaluation:
        encoder = Encoder(model, config["backbone"], trained.rasterizer, trained.precision, cfg.data.num_workers)
        loading = {"batch_size": cfg.data.batch_size, "shuffle": False, "device": device}

        def load(name: str, split: Split) -> Epochs:
            if isinstance(split, Joined):
                return JoinedLoader(load("test", split.first), load("zeroshot", split.second))
            if keeps:
                return FeatureLoader(cached_features(name, split, encoder, caching), split, **loading)
            return Loader(split, trained.rasterizer, num_workers=cfg.data.num_workers, **loading)

        task = Task(
            model=model,
            encode=encoder.features,
            loader=load(name, split),
            precision=trained.precision,
            classes=trained.classes,
            seen=seen and (lambda: load("seen", seen)),
            trained=not trained.frozen and cfg.interpolate is None,
            complexity=split.complexity(),
            labels=split.labels,
            temperature=None if cfg.interpolate else trained.temperature,
            limit_batches=cfg.limit_batches,
        )
        return protocol(task)

    title = f"{cfg.ckpt}, {name}: {int(split.block_sizes.sum()):,} drawings of {len(split.classes)} classes"
    if cfg.interpolate is None:
        found = evaluate()
        if keeps:
            del found.metrics["images_per_second"]  # of reading what was computed before
        print_table(title, found.metrics)
        pictures = write_evaluation(run, name, found, redraw(split, trained.rasterizer) if cfg.pictures else None)
        shown = {f"{name}/{picture}": path for picture, path in pictures.items()}
        metrics = {f"{name}/{metric}": value for metric, value in found.metrics.items()}
        log_evaluation(run, loggers, config, metrics, shown)
    else:
        weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        pretrained = pretrained_weights(build(trained.config, len(trained.classes)).to(device), trained.classes)
        metrics_of = {}
        for alpha in cfg.interpolate:
            interpolate(model, pretrained, weights, alpha)
            metrics_of[f"{alpha:g}"] = evaluate().metrics
        print_comparison(title, "alpha", metrics_of)
        metrics = {f"interpolate_{alpha}_{name}": x for alpha, of in metrics_of.items() for name, x in of.items()}
        write_metrics(run, name, metrics)


if __name__ == "__main__":
    main()
