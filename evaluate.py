"""Evaluate a checkpoint on a split: rebuild it from its own config, score it, write numbers and pictures down.

python evaluate.py ckpt=outputs/DAY/TIME/checkpoints/best.pt split=zeroshot
"""

if __name__ == "__main__":
    import deepdraw.runtime.startup  # noqa: F401  # Ctrl-C ends the imports below without a traceback, too

import hydra
from omegaconf import DictConfig

from deepdraw.config import one_line_compose_errors
from deepdraw.runtime import ends_in_one_line, evaluation_left


@one_line_compose_errors
@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
@ends_in_one_line(evaluation_left)
def main(cfg: DictConfig) -> None:
    """Print the metrics of `cfg.ckpt` on `cfg.split` and write them to `<run>/evaluations/<split>.json`.

    With `cfg.interpolate` they are those of the weights between the pretrained and the trained ones, for each alpha.
    """
    from deepdraw.evaluation import Session
    from deepdraw.report import write_session  # torch: slow to import, and --help needs none of it

    session = Session(cfg)
    write_session(session)


if __name__ == "__main__":
    main()
