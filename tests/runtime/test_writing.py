"""No module writes files but through `deepdraw.runtime`, where none is lost or half written."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITERS = [ROOT / "deepdraw/runtime" / name for name in ("files.py", "growing.py", "parts.py")]
EXCEPTIONS = {  # what writes in a way of its own, and why
    ("deepdraw/runtime/ranks.py", "os.open to write"): "/dev/null in the place of stdout",
    ("deepdraw/runtime/failures.py", "os.open to write"): "/dev/null in the place of a full or closed stdout",
    ("deepdraw/inference/predict.py", "os.open to write"): "/dev/null in the place of a closed stdout",
    ("deepdraw/runtime/lock.py", "os.rename"): "a dead owner's lock is renamed aside, which one process alone can do",
    ("deepdraw/runtime/run.py", "tempfile"): "a directory for what Hydra makes for ranks that write nothing",
    ("deepdraw/inference/recognizer.py", "save to a path"): "Taught.save, which writes a whole file",
    ("deepdraw/export/timm_format.py", "save to a path"): "safetensors.torch.save, which gives bytes",
    ("deepdraw/report/curves.py", "save to a path"): "Picture.save, which writes a whole file",
    ("deepdraw/report/data.py", "save to a path"): "Picture.save, which writes a whole file",
    ("deepdraw/report/pictures.py", "save to a path"): "Picture.save, which writes a whole file",
    ("deepdraw/report/sheets.py", "save to a path"): "Picture.save, which writes a whole file",
    ("deepdraw/report/write.py", "save to a path"): "Predictions.save, which writes a whole file",
}
PATH_METHODS = {"write_text", "write_bytes", "touch", "rename", "replace", "symlink_to", "hardlink_to", "tofile"}
OS_CALLS = {"rename", "renames", "replace", "link", "symlink", "truncate", "mkfifo", "mknod"}
SHUTIL_CALLS = {"copy", "copy2", "copyfile", "copytree", "copymode", "copystat", "move"}
TO_A_PATH = {"savefig", "imsave", "imwrite", "save_file", "save_model", "to_csv", "to_parquet", "to_json", "to_file"}
FROM_A_FILE = {"save", "savez", "savez_compressed", "savetxt", "write_table", "dump"}  # well, where they get a file
FOREIGN = {"numpy", "torch", "safetensors", "pyarrow", "pandas", "cv2", "json", "yaml", "pickle"}
# whose `open` takes what to open first
OPENERS = {"io", "gzip", "bz2", "lzma", "tarfile", "zipfile", "codecs", "Image", "Pillow", "archive", "tar"}
HANDLES = {"file", "hashed", "text", "opened", "buffer"}  # what such a file is called


def sources() -> list[Path]:
    """All modules that are installed or run, but for benchmarks."""
    files = [*ROOT.glob("*.py"), *(ROOT / "deepdraw").rglob("*.py"), *(ROOT / "hydra_plugins").rglob("*.py")]
    return [file for file in files if "bench" not in file.relative_to(ROOT).parts]


def writes(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of every call that would write a file by itself."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := forbidden(node)):
            yield node.lineno, name
        if isinstance(node, ast.ImportFrom | ast.Import):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            if "tempfile" in modules:
                yield node.lineno, "tempfile"
            if isinstance(node, ast.ImportFrom) and node.module in ("os", "shutil"):
                calls = OS_CALLS | {"open"} if node.module == "os" else SHUTIL_CALLS
                yield from ((node.lineno, f"{node.module}.{a.name}") for a in node.names if a.name in calls)
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in FOREIGN:
                calls = TO_A_PATH | FROM_A_FILE
                yield from ((node.lineno, f"{a.name} to a path") for a in node.names if a.name in calls)


def forbidden(call: ast.Call) -> str | None:
    """The name of what the call does to a file, if it may write one."""
    function = call.func
    if isinstance(function, ast.Name):
        return "open to write" if function.id == "open" and opens_to_write(call, 1) else None
    if not isinstance(function, ast.Attribute):
        return None
    owner = function.value.id if isinstance(function.value, ast.Name) else ""
    name = function.attr
    if owner == "os":
        if name == "open":
            return "os.open to write" if "O_RDONLY" not in ast.unparse(call) or "O_CREAT" in ast.unparse(call) else None
        return f"os.{name}" if name in OS_CALLS else None
    if owner == "shutil":
        return f"shutil.{name}" if name in SHUTIL_CALLS else None
    if name in ("open", "fdopen", "memmap", "open_memmap"):
        first = 1 if owner in OPENERS else 0
        return "open to write" if opens_to_write(call, 2 if "memmap" in name else first) else None
    if name in ("ZipFile", "TarFile", "SummaryWriter"):
        return "open to write" if opens_to_write(call, 1) and not takes_file(call) else None
    if name == "replace":  # of a path, with one argument; that of texts and dates takes others
        return "Path.replace" if len(call.args) == 1 and not call.keywords else None
    if name in PATH_METHODS:
        return f"Path.{name}"
    if name == "dump":  # of yaml, which gives the text where it gets nothing to write it to
        return "dump to a path" if len(call.args) > 1 and not takes_file(call) else None
    if name in TO_A_PATH | FROM_A_FILE:
        return f"{name} to a path" if not takes_file(call) else None
    return None


def opens_to_write(call: ast.Call, place: int) -> bool:
    """Whether the mode of an `open`, its argument at `place`, lets it write, or may."""
    modes = [call.args[place]] if len(call.args) > place else [k.value for k in call.keywords if k.arg == "mode"]
    return any(
        set(mode.value) & set("wax+") if isinstance(mode, ast.Constant) and isinstance(mode.value, str) else True
        for mode in modes
    )


def takes_file(call: ast.Call) -> bool:
    """Whether one of the arguments is an open file, which has come from the one place that writes."""
    return any(isinstance(argument, ast.Name) and argument.id in HANDLES for argument in call.args)


def test_files_are_written_in_one_place_alone():
    found = {
        (file.relative_to(ROOT).as_posix(), name): f"{file.relative_to(ROOT)}:{line}: {name}"
        for file in sources()
        for line, name in writes(file.read_text("utf-8"))
        if file not in WRITERS
    }
    stray = [text for key, text in found.items() if key not in EXCEPTIONS]
    assert not stray, "write through deepdraw.runtime:\n" + "\n".join(stray)
    assert EXCEPTIONS.keys() <= found.keys(), "exceptions that nothing needs any more"


@pytest.mark.parametrize(
    "line",
    [
        'open(path, "w")',
        'open(path, mode="a")',
        'open(path, "x")',
        'open(path, "r+b")',
        "open(path, mode)",
        'path.open("w")',
        'path.open(mode="ab")',
        'io.open(path, "w")',
        'gzip.open(path, "wb")',
        'tarfile.open(path, "w")',
        'zipfile.ZipFile(path, "w")',
        'np.memmap(path, np.uint8, "w+")',
        "path.write_text(text)",
        "path.write_bytes(content)",
        "path.touch()",
        "path.rename(other)",
        "path.replace(other)",
        "path.symlink_to(other)",
        "array.tofile(path)",
        "os.rename(path, other)",
        "os.replace(path, other)",
        "os.link(path, other)",
        "from os import replace",
        "os.open(path, os.O_WRONLY | os.O_CREAT)",
        "os.open(path, os.O_RDWR)",
        "os.open(path, flags)",
        "shutil.copy(path, other)",
        "shutil.copy2(path, other)",
        "shutil.copytree(path, other)",
        "shutil.move(path, other)",
        "from shutil import copyfile",
        "import tempfile",
        "from tempfile import TemporaryDirectory",
        "figure.savefig(path)",
        "image.save(path)",
        'image.save(folder / "a.png", dpi=(1, 1))',
        "np.save(path, array)",
        "np.savez(path, array=array)",
        "np.savetxt(path, array)",
        "torch.save(state, path)",
        "frame.to_csv(path)",
        "parquet.write_table(table, path)",
        "cv2.imwrite(path, image)",
        "safetensors.torch.save_file(state, path)",
        "from torch import save",
        "from safetensors.torch import save_file",
        "yaml.dump(config, path)",
        "json.dump(config, open(path))",
        "OmegaConf.save(config, path)",
    ],
)
def test_every_other_way_to_write_is_noticed(line):
    assert list(writes(line))


@pytest.mark.parametrize(
    "line",
    [
        "open(path)",
        'open(path, "rb")',
        'path.open("rb")',
        "path.read_text()",
        'text.replace("a", "b")',
        "os.open(path, os.O_RDONLY | os.O_CLOEXEC)",
        "yaml.dump(config, sort_keys=False)",
        "Image.open(path)",
        "torch.save(state, file)",
        "figure.savefig(file, format='png')",
        'tarfile.open(path, "r:")',
        "write_text(path, text)",
    ],
)
def test_reading_and_the_one_writer_are_let_pass(line):
    assert not list(writes(line))
