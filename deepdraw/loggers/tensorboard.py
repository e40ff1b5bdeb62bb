"""TensorBoard event files in the run directory. A resumed run hides the old rows of the steps that it repeats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deepdraw.loggers.names import dashboard_names


class TensorBoardLogger:
    """Metrics, pictures, config and summary in `<run>/tensorboard/`, under the names of `dashboard_names`.

    Raises ValueError where TensorBoard, which is an extra of deepdraw, is not installed.
    """

    def __init__(self, run_dir: Path, config: Mapping[str, Any]) -> None:
        if find_spec("tensorboard") is None:
            raise ValueError("logger=tensorboard needs TensorBoard: pip install 'deepdraw[tensorboard]'")
        self._folder, self._config = run_dir / "tensorboard", config
        self._purge_step: int | None = 0  # a new run hides all old rows
        self._last_step = -1
        self._writer: Any = None

    def log(self, metrics: Mapping[str, float], *, epoch: int, step: int) -> None:
        writer = self._start()
        for name, value in dashboard_names({**metrics, "epoch": epoch}).items():
            writer.add_scalar(name, value, step)
        writer.flush()
        self._last_step = step

    def log_pictures(self, pictures: Mapping[str, Path], *, step: int) -> None:
        import numpy as np
        from PIL import Image

        for name, path in pictures.items():
            with Image.open(path) as picture:
                self._start().add_image(name, np.asarray(picture.convert("RGB")), step, dataformats="HWC")

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._last_step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._purge_step = state["step"] + 1 if state else None
        self._last_step = state.get("step", self._last_step)

    def finish(self, summary: Mapping[str, Any]) -> None:
        if summary:
            self._add_text("summary", summary, self._last_step)
        self._start().close()

    def _start(self) -> Any:
        """The writer. It is opened on first use, so that a refused run leaves no files."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=self._purge_step)
            if self._purge_step == 0:
                self._add_text("config", self._config, 0)
        return self._writer

    def _add_text(self, name: str, content: Mapping[str, Any], step: int) -> None:
        text = json.dumps(content, indent=2)
        self._start().add_text(name, f"```json\n{text}\n```", step)
