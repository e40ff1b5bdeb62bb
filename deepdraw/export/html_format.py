"""HTML: the page where one draws, with the network inside, as one file that a browser opens from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deepdraw.draw import PAGE, describe
from deepdraw.export.browser import OfflinePage, check_browser
from deepdraw.export.format import Format, Runner
from deepdraw.export.npm import Package
from deepdraw.export.onnx_format import Onnx
from deepdraw.export.page_data import of_training
from deepdraw.export.sample import Examples, Sample
from deepdraw.export.single_file import single_file
from deepdraw.inference import Recognizer, Trained
from deepdraw.runtime import write_text

ONNXRUNTIME_WEB = Package(
    "onnxruntime-web",
    "1.30.0",
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
)
LIBRARY, WASM = "dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm"
NOTICE = Path(__file__).parent / "html" / "notice.txt"  # the terms of ONNX Runtime Web, which go with every copy


class Html(Format):
    """One file of HTML with the page of `deepdraw.draw`, the network and ONNX Runtime Web, which needs no network.

    precision: of the weights, as of `Onnx`; teach: whether new classes can be taught on the page, for which the export
    reads drawings of the training; alike: whether the file has some of these drawings, to show after a round of play
    which of them look most alike. The proof runs the page in Chromium. Raises ValueError, in one line, where the
    packages of the extra `export`, playwright or Chromium are missing.
    """

    suffix = ".html"

    def __init__(self, precision: Literal["fp32", "int8"] = "fp32", *, teach: bool = True, alike: bool = True) -> None:
        self.precision, self.teach, self.alike = precision, teach, alike
        self._onnx = Onnx("strokes", precision, with_seen=True, with_features=teach or alike)
        check_browser()
        self._page: OfflinePage | None = None

    def check(self, trained: Trained, sample: Sample) -> None:
        if not sample.has_strokes:
            raise ValueError("the drawings of val are images, with which no page can be tried: choose format=onnx")

    def write(self, trained: Trained, place: Path, calibration: Sample) -> None:
        library, wasm = ONNXRUNTIME_WEB.read(LIBRARY, WASM)
        data = of_training(trained, teach=self.teach, alike=self.alike)
        description = describe(Recognizer(trained)) | {"source": "the network in this file"}
        description |= {"findsAlike": "looks" in data} | ({"taught": []} if "taught" in data else {})
        network = place.with_suffix(".onnx")
        self._onnx.license = self.license
        self._onnx.write(trained, network, calibration)
        text = single_file(
            PAGE,
            description,
            notice=NOTICE.read_text("utf-8"),
            library=library,
            wasm=wasm,
            network=network.read_bytes(),
            **data,
        )
        write_text(place, text)

    def runner(self, trained: Trained, place: Path) -> Runner:
        page = self._page = OfflinePage(place)

        def run(examples: Examples) -> NDArray[np.float32]:
            assert examples.drawings is not None
            drawings = [_lines(examples, index) for index in range(len(examples))]
            found = page.page.evaluate("drawings => deepdrawEngine.allProbabilities(drawings)", drawings)
            return np.array(found, np.float32)

        return run

    def close(self) -> None:
        if self._page:
            self._page.close()
            self._page = None


def _lines(examples: Examples, index: int) -> list[list[list[int]]]:
    """The strokes of one of the drawings as lists of x and y."""
    assert examples.drawings is not None
    return [stroke.T.tolist() for stroke in examples.drawings.strokes(index)]
