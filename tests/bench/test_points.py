"""The benchmark of points measures both ways on the same drawings."""

from __future__ import annotations

import json

from benchmarks.__main__ import main


def test_points_and_pixels_are_measured_on_the_same_drawings(polygon_root, tmp_path, capsys):
    assert main(["points", f"root={polygon_root}", "size=16", "points=32", f"out={tmp_path}"]) in (0, None)
    figures = json.loads((tmp_path / "points.json").read_text())
    found = figures.get("figures", figures)
    assert (
        set(found["per_second"]) == {"32 points", "16 px", "16 px, shaded", "16 px, thirds"}
        and min(found["per_second"].values()) > 0
    )
    assert "32 points" in capsys.readouterr().out
