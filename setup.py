"""What pyproject.toml cannot say: train.py, evaluate.py and conf/ are installed as deepdraw/scripts/."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithScripts(build_py):
    """Copies them beside the package; an editable install finds them in the clone itself."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        options = [file for file in Path("conf").rglob("*.yaml") if "local" not in file.parts]
        for file in [Path("train.py"), Path("evaluate.py"), *options]:
            copy = Path(self.build_lib, "deepdraw", "scripts", file)
            copy.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(str(file), str(copy))


setup(cmdclass={"build_py": BuildWithScripts})
