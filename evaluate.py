"""Evaluate a checkpoint on a split: rebuild it from its own config, score it, write the numbers down.

python evaluate.py ckpt=outputs/DAY/TIME/checkpoints/best.pt split=zeroshot
"""

import json
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from deepdraw.runtime.run import one_line_errors


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
@one_line_errors
def main(cfg: DictConfig) -> None:
    """Print the metrics of `cfg.ckpt` on `cfg.split` and write them to `<run>/evaluations/<split>.json`.

    With `cfg.interpolate` they are those of the weights between the pretrained and the trained ones, for each alpha.
    """
    from hydra.utils import instantiate  # heavy imports wait until --help and --cfg have answered

    from deepdraw.data.loader import Loader
    from deepdraw.data.raster import Rasterizer
    from deepdraw.evaluation.report import print_comparison, print_table, write_json
    from deepdraw.models.classifier import Classifier
    from deepdraw.models.interpolation import check_alphas, interpolate, pretrained_weights
    from deepdraw.models.lora import merged
    from deepdraw.runtime.precision import find_device
    from deepdraw.training.checkpoint import check_config, load_checkpoint

    path = Path(cfg.ckpt)
    checkpoint = load_checkpoint(path)
    check_config(checkpoint["config"], path, cfg.trust)
    trained = OmegaConf.create(checkpoint["config"])
    device = find_device(cfg.device)

    if cfg.interpolate is not None:
        check_alphas(cfg.interpolate, trained.backbone.pretrained)
    if trained.backbone.pretrained and cfg.backbone.pretrained:
        trained.backbone.pretrained = cfg.backbone.pretrained
    backbone = instantiate(trained.backbone)
    head = instantiate(trained.head, num_features=backbone.num_features, num_classes=len(checkpoint["classes"]))
    model = Classifier(backbone, head).to(device).eval()
    weights = merged(checkpoint["model"])

    if cfg.data.root is not None:
        trained.data.source.root = cfg.data.root
    loader = Loader(
        instantiate(trained.data.source).split(cfg.split),
        Rasterizer(**trained.render),
        batch_size=cfg.data.batch_size,
        shuffle=False,
        device=device,
        num_workers=cfg.data.num_workers,
    )
    protocol = instantiate(cfg.protocol)
    precision = instantiate(cfg.precision, device=device)

    def evaluate() -> dict[str, float]:
        return protocol(model, loader, precision, checkpoint["classes"], cfg.limit_batches)

    title = f"{path}, {cfg.split}: {loader.num_drawings:,} drawings of {len(loader.classes)} classes"
    if cfg.interpolate is None:
        model.load_state_dict(weights)
        print_table(title, metrics := evaluate())
    else:
        pretrained = pretrained_weights(model, checkpoint["classes"])
        metrics_of = {}
        for alpha in cfg.interpolate:
            interpolate(model, pretrained, weights, alpha)
            metrics_of[f"{alpha:g}"] = evaluate()
        print_comparison(title, "alpha", metrics_of)
        metrics = {f"interpolate_{alpha}_{name}": x for alpha, of in metrics_of.items() for name, x in of.items()}

    results = path.parent.parent / "evaluations" / f"{cfg.split}.json"
    former = json.loads(results.read_text()) if results.exists() else {}
    write_json(results, former | {f"{cfg.split}/{name}": value for name, value in metrics.items()})
    print(f"written to {results}")


if __name__ == "__main__":
    main()
