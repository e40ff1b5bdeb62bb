import importlib
import importlib.metadata
import io
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from deepdraw.doctor import Finding, hardware, services, software
from deepdraw.doctor import __main__ as doctor


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without settings."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "NETRC", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HF_HUB_OFFLINE", "HF_ENDPOINT", "XDG_CACHE_HOME", "SLURM_CONF"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """Versions that packages pretend to have; None: not installed."""
    versions: dict[str, str | None] = {}
    true_version = importlib.metadata.version

    def version(package: str) -> str:
        found = versions.get(package, "") or ("" if package in versions else true_version(package))
        if not found:
            raise importlib.metadata.PackageNotFoundError(package)
        return found

    monkeypatch.setattr(importlib.metadata, "version", version)
    wanted = ["timm>=1.0.15", "open_clip_torch>=2.32", "hydra-core<1.4,>=1.3.2", "torch>=2.6"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda package: wanted)
    return versions


def only(monkeypatch: pytest.MonkeyPatch, **checks: Callable[[str], Finding]) -> None:
    monkeypatch.setattr(doctor, "CHECKS", checks)


def test_a_machine_without_network_is_warned_and_can_train(offline, capsys, monkeypatch):
    monkeypatch.setattr(importlib, "import_module", lambda name: sys.modules.get(name))  # open_clip takes 8 s
    monkeypatch.setitem(doctor.CHECKS, "torchvision", lambda name: Finding(name, "ok", ""))
    assert doctor.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines.pop() == "ready to train"
    assert [line[8:22].strip() for line in lines] == list(doctor.CHECKS)
    assert {line[:8].strip() for line in lines} <= {"ok", "warning"}
    line = {line[8:22].strip(): line for line in lines}
    assert line["hub"].startswith("warning hub           huggingface.co cannot be reached")
    assert "backbone.pretrained=FILE" in line["hub"]
    assert "data=doodles" in line["Quick, Draw!"]
    assert all("->" in line for line in lines if line.startswith("warning"))


def test_a_problem_is_the_exit_status_and_comes_with_its_fix(monkeypatch, capsys):
    only(monkeypatch, torch=lambda name: Finding(name, "problem", "[red] is old", "pip install torch"))
    assert doctor.main() == 1
    assert capsys.readouterr().out == (
        "problem torch         [red] is old -> pip install torch\n1 to be mended before training\n"
    )


def test_a_check_that_breaks_does_not_end_the_others(monkeypatch):
    def broken(name: str) -> Finding:
        raise ZeroDivisionError("a surprise\nin two lines")

    only(monkeypatch, first=broken, second=lambda name: Finding(name, "ok", "well"))
    first, second = doctor.examine()
    assert (first.status, first.text) == ("warning", "cannot be examined (ZeroDivisionError: a surprise)")
    assert second.text == "well"


def test_python_that_is_too_old_is_a_problem(monkeypatch):
    assert software.check_python("Python").status == "ok"
    monkeypatch.setattr("platform.python_version", lambda: "3.9.18")
    assert software.check_python("Python").status == "problem"


@pytest.mark.parametrize(
    ("name", "version", "status", "text", "fix"),
    [
        ("timm", None, "problem", "not installed", "pip install 'timm>=1.0.15'"),
        ("timm", "0.6.13", "problem", "0.6.13 is not >=1.0.15", "pip install 'timm>=1.0.15'"),
        ("Hydra", "1.4.0", "problem", "1.4.0 is not <1.4,>=1.3.2", "pip install 'hydra-core<1.4,>=1.3.2'"),
        ("open_clip", None, "warning", "backbone=clip needs it", "pip install 'open_clip_torch>=2.32'"),
        ("submitit", None, "warning", "hydra/launcher=slurm needs it", "'hydra-submitit-launcher'"),
    ],
)
def test_a_missing_or_old_library_is_reported_with_its_fix(installed, name, version, status, text, fix):
    installed[software.LIBRARIES[name][0]] = version
    finding = software.check_library(name)
    assert finding.status == status
    assert text in finding.text
    assert fix in finding.fix


def test_a_torch_that_is_too_old_is_a_problem(installed, monkeypatch):
    import torch

    monkeypatch.setattr(torch, "__version__", "2.1.0+cu118")
    assert software.check_torch("torch").text == "2.1.0+cu118 is not >=2.6"
    assert software.check_torch("torch").fix == "pip install 'torch>=2.6'"


def test_without_an_installation_any_version_will_do(installed, monkeypatch):
    def requires(package: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    installed |= {"deepdraw": None, "hydra-core": "0.1"}
    assert software.check_deepdraw("deepdraw").fix == "pip install -e ."
    assert software.check_library("Hydra").status == "ok"


def test_a_torchvision_of_another_torch_is_a_problem(monkeypatch):
    def nms(*args):
        raise RuntimeError("operator torchvision::nms does not exist")

    fake = SimpleNamespace(ops=SimpleNamespace(nms=nms))
    monkeypatch.setattr(importlib, "import_module", lambda name: fake)
    finding = software.check_library("torchvision")
    assert finding.status == "problem"
    assert "nms does not exist" in finding.text
    assert "torch torchvision" in finding.fix


def test_a_library_that_cannot_be_imported_is_a_problem(monkeypatch):
    for module in ("torch", "cv2"):
        monkeypatch.setitem(sys.modules, module, None)
    for finding in (software.check_torch("torch"), software.check_opencv("OpenCV")):
        assert finding.status == "problem"
        assert "--force-reinstall" in finding.fix


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_a_precision_is_timed_against_fp32(name):
    finding = hardware.check_precision(name)
    assert finding.status == "ok" or "precision=fp32" in finding.fix
    assert "the speed of fp32" in finding.text or "does not run" in finding.text


def test_a_precision_that_the_device_refuses_is_a_warning(monkeypatch):
    import torch

    def autocast(*args, **kwargs):
        raise RuntimeError("unsupported dtype\nand a stack")

    monkeypatch.setattr(torch, "autocast", autocast)
    finding = hardware.check_precision("bf16")
    assert finding.status == "warning"
    assert "unsupported dtype" in finding.text
    assert "\n" not in finding.text


def test_a_gpu_that_torch_cannot_use_is_not_mistaken_for_none(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    assert "no GPU" in hardware.check_device("device").text
    monkeypatch.setattr(shutil, "which", lambda tool: f"/bin/{tool}")
    assert "torch sees no GPU" in hardware.check_device("device").text


def test_little_room_is_a_warning(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=5e8))
    assert hardware.check_disk("disk").text == f"only 0.5 GB free in {Path.cwd()}"
    assert "HF_HOME" in hardware.check_disk("hub cache").fix
    if Path("/dev/shm").exists():
        assert "--shm-size" in hardware.check_shared_memory("shared memory").fix


def test_the_hub_cache_is_looked_for_where_the_hub_puts_it(tmp_path, monkeypatch):
    assert hardware.check_disk("hub cache").text.endswith(str(tmp_path / ".cache/huggingface/hub"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    assert hardware.check_disk("hub cache").text.endswith(str(tmp_path / "hf/hub"))


def slurm(monkeypatch: pytest.MonkeyPatch, tools: set[str], sinfo: Callable[..., object]) -> Finding:
    monkeypatch.setattr(shutil, "which", lambda tool: tool if tool in tools else None)
    monkeypatch.setattr(subprocess, "run", sinfo)
    return services.check_slurm("SLURM")


def test_slurm_is_reported_with_its_partitions(monkeypatch):
    def up(command, **options):
        return SimpleNamespace(stdout="main* up\nhigh up\n")

    def down(command, **options):
        raise subprocess.TimeoutExpired(command, 10)

    monkeypatch.setenv("SLURM_CONF", "/etc/lab.conf")
    tools = {"sbatch", "squeue", "sacct"}
    assert slurm(monkeypatch, set(), down).text == "no SLURM on this machine: sweeps run locally"
    assert slurm(monkeypatch, tools, up).text == "partitions main*, high; SLURM_CONF=/etc/lab.conf"
    assert "sinfo does not answer" in slurm(monkeypatch, tools, down).text
    assert "no sacct" in slurm(monkeypatch, tools - {"sacct"}, up).text


def test_wandb_is_logged_in_by_key_by_netrc_or_not_at_all(tmp_path, monkeypatch, installed):
    installed["wandb"] = "0.19.0"
    assert services.check_wandb("W&B").status == "warning"
    assert "wandb login" in services.check_wandb("W&B").fix
    (tmp_path / ".netrc").write_text("machine api.wandb.ai\n  login user\n  password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert services.check_wandb("W&B").text == "0.19.0, logs in to api.wandb.ai with .netrc"
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert services.check_wandb("W&B").text == "0.19.0, logs in with WANDB_API_KEY"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert services.check_wandb("W&B").text == "0.19.0, WANDB_MODE=offline"
    installed["wandb"] = None
    assert services.check_wandb("W&B").fix == "pip install wandb"


def test_a_hub_that_answers_is_reached(monkeypatch):
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(404 if self.path == "/gone" else 200)
            self.end_headers()

        def log_message(self, *args) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        assert services.check_hub("hub") == Finding("hub", "ok", "127.0.0.1 answers")
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/gone")
        assert services.check_hub("hub").text == "127.0.0.1 cannot be reached (Not Found)"
        server.shutdown()
        thread.join()


def test_a_name_server_that_hangs_is_not_waited_for(monkeypatch):
    done = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: done.wait(5) and [])
    monkeypatch.setattr(services, "TIMEOUT", 0.1)
    start = time.perf_counter()
    assert services.check_hub("hub").status == "warning"
    assert time.perf_counter() - start < 2
    done.set()


def test_an_offline_hub_is_not_asked(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(services, "_check_server", lambda *args: pytest.fail("asked"))
    assert services.check_hub("hub").status == "warning"


def test_the_module_runs_plainly_when_its_output_is_no_terminal(monkeypatch):
    only(monkeypatch, disk=lambda name: Finding(name, "ok", "x" * 200))
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    doctor.main()
    assert output.getvalue() == f"ok      disk          {'x' * 200}\nready to train\n"
