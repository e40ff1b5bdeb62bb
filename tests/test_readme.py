"""The README keeps its word: its commands compose, its config map is the config, its example works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [
    shlex.split(line, comments=True)
    for block in blocks("sh")
    for line in block.splitlines()
    if re.match(r"python (train|evaluate)\.py", line)
]


def test_the_first_screen_holds_the_two_commands():
    first, second = (block.strip() for block in blocks("sh")[:2])
    assert first == "python3 -m venv .venv && .venv/bin/pip install -q -e . && .venv/bin/python train.py"
    assert second == "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/python -m pytest"
    assert README.index("-m pytest") < README.index("![") < 2500


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_composes(command):
    overrides = [word.replace("1e-4,3e-4,1e-3", "1e-4") for word in command[2:] if word != "-m"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        assert compose(command[1].removesuffix(".py"), overrides)


def test_the_config_map_names_every_option():
    section = README.split("## The config\n")[1].split("##")[0]
    for group in (ROOT / "conf").iterdir():
        if group.is_dir() and group.name not in ("hydra", "local"):
            options = {option.stem for option in group.glob("*.yaml")}
            line = next(line for line in section.splitlines() if line.strip().startswith(f"{group.name}/"))
            assert options <= set(re.findall(r"\w+", line)), group.name


def test_the_example_of_an_own_head_is_a_class_and_a_yaml():
    (source,), (config,) = blocks("python"), blocks("yaml")
    namespace: dict = {}
    exec(source, namespace)
    options = yaml.safe_load(config)
    module, _, name = options.pop("_target_").rpartition(".")
    assert f"`{module.replace('.', '/')}.py`" in README
    head = namespace[name](num_features=6, num_classes=3, **options)
    assert head(torch.zeros(2, 6)).shape == (2, 3)


def test_the_commands_of_config_files_name_existing_scripts():
    for file in (ROOT / "conf").rglob("*.yaml"):
        for script in re.findall(r"^# python (\S+\.py)", file.read_text(), re.MULTILINE):
            assert (ROOT / script).exists(), file
