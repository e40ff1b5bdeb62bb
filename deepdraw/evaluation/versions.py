"""The versions of an evaluation that a command asks for: other weights, less of each drawing, several views of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import DictConfig

from deepdraw.drawings import View

VIEWS = (  # which `tta` averages, from the first on
    View(),
    View(mirrored=True),
    View(pace=0.5, degrees=4),
    View(mirrored=True, pace=0.0, degrees=-4),
    View(pace=0.0, degrees=-4),
    View(mirrored=True, pace=0.5, degrees=4),
    View(pace=0.25),
    View(mirrored=True, pace=0.75),
)


@dataclass(frozen=True)
class Version:
    """One evaluation of those that a command makes.

    alpha: the share of the trained weights, the rest are the pretrained ones; average: how many epochs are averaged;
    drawn: the share of the line of each drawing that is drawn; tta: views of each that are averaged. Without any
    of them it is the evaluation as such, `PLAIN`.
    """

    alpha: float | None = None
    average: int | None = None
    drawn: float | None = None
    tta: int = 1

    @property
    def prefix(self) -> str:
        """What its metrics have before their names, such as `drawn_0.25_tta_4_`; nothing for the evaluation as such."""
        parts = [
            *([] if self.alpha is None else [f"interpolate_{self.alpha:g}_"]),
            *([] if self.average is None else [f"average_{self.average}_"]),
            *([] if self.drawn is None else [f"drawn_{self.drawn:g}_"]),
            *([] if self.tta == 1 else [f"tta_{self.tta}_"]),
        ]
        return "".join(parts)

    @property
    def cells(self) -> dict[str, str]:
        """What it is, by the headings of a table."""
        found = {
            "alpha": self.alpha,
            "average": self.average,
            "drawn": self.drawn,
            "views": None if self.tta == 1 else self.tta,
        }
        return {name: f"{value:g}" for name, value in found.items() if value is not None}

    def views(self) -> list[View]:
        """The views of each drawing that are scored; none for drawings as they are."""
        if self.drawn is None and self.tta == 1:
            return []
        return [replace(view, drawn=1.0 if self.drawn is None else self.drawn) for view in VIEWS[: self.tta]]


PLAIN = Version()


def check_asked(config: DictConfig) -> None:
    """Raise ValueError, in one line, for what the config of evaluate.py asks and no checkpoint can give."""
    versions_of(config.interpolate, config.get("average"), config.drawn, config.tta)
    if config.out is not None and config.get("logger"):
        raise ValueError("a logger adds to what training logged in its run, where out= writes nothing: choose one")


def versions_of(interpolate: Sequence[float] | None, average: int | None, drawn: Any, tta: int) -> list[Version]:
    """The versions that the keys of evaluate.py ask for, those of the same weights together.

    Raises ValueError, in one line, for alphas, shares or a number of views out of range, and for two kinds of weights.
    """
    if average is not None and interpolate is not None:
        raise ValueError("average and interpolate both replace the weights: choose one")
    if not 1 <= tta <= len(VIEWS):
        raise ValueError(f"tta={tta} must lie between 1, for the drawings as they are, and {len(VIEWS)} views")
    shares: Sequence[float | None] = _checked_shares(drawn) if drawn is not None else [None]
    alphas: Sequence[float | None] = [None] if interpolate is None else _checked_alphas(interpolate)
    return [Version(alpha, average, share, tta) for alpha in alphas for share in shares]


def _checked_alphas(alphas: Any) -> Sequence[float]:
    numbers = isinstance(alphas, Sequence) and all(isinstance(alpha, int | float) for alpha in alphas)
    if not (numbers and alphas and len(set(alphas)) == len(alphas) and all(0 <= alpha <= 1 for alpha in alphas)):
        raise ValueError(f"interpolate={alphas} must list different numbers from 0 to 1: try [0,0.25,0.5,0.75,1]")
    return list(alphas)


def _checked_shares(drawn: Any) -> list[float]:
    shares: list[float] = list(drawn) if isinstance(drawn, Sequence) else [drawn]
    if not (shares and len(set(shares)) == len(shares) and all(0 < share <= 1 for share in shares)):
        raise ValueError(
            f"drawn={drawn} must be a share of each drawing above 0 and up to 1, or a list of different ones: "
            "try [0.25,0.5,0.75,1]"
        )
    return shares
