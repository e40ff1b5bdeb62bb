"""The pictures of an evaluation: which there are, what they say, and what they need."""

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from deepdraw.evaluation.calibration import Reliability
from deepdraw.report import charts
from deepdraw.report.pictures import ORDER, write_pictures


def test_all_pictures_of_an_evaluation_say_what_they_show(few_pictures):
    assert sorted(path.name for path in few_pictures.iterdir()) == sorted(f"{name}.png" for name in ORDER)
    for path in few_pictures.iterdir():
        with Image.open(path) as picture:
            assert picture.text["Title"]
            assert picture.text["Description"].endswith("Protocol: classifier.")


def test_pictures_of_an_earlier_evaluation_do_not_stay(made_up, scribble, few_pictures, tmp_path):
    folder = shutil.copytree(few_pictures, tmp_path / "pictures")
    less = replace(made_up(num_classes=9, per_class=4), stacking=None, reliability=None, prototypes=None, metrics={})
    paths = write_pictures(less, scribble, folder)
    assert not {"stacking", "reliability", "feature_map", "complexity"} & set(paths)
    assert set(folder.iterdir()) == set(paths.values())


def test_the_reliability_diagram_names_the_calibration_error():
    bins = Reliability(np.array([0, 0.5, 1]), np.array([30, 10]), np.array([0.4, 0.9]), np.array([0.3, 0.5]))
    assert charts.reliability(bins, {"text_ece_scaled": 0.021}).title == "Reliability: ECE 17.5 %, 2.1 % when scaled"


def test_the_stacking_curve_names_the_offset_chosen_and_the_best(made_up):
    stacking = made_up(num_classes=9, per_class=4).stacking
    about = charts.stacking(stacking).description
    assert f"offset {stacking.chosen}" in about
    assert f"would give {100 * stacking.harmonic_means.max():.1f} %" in about


@pytest.mark.parametrize("module", ["curves", "sheets", "pictures", "tables", "page"])
def test_reporting_loads_neither_torch_nor_pyplot(module):
    program = (
        f"import sys; import deepdraw.report.{module}; "
        "assert not {'torch', 'matplotlib', 'sklearn', 'scipy', 'jinja2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
