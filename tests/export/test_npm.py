"""Packages of npm: fetched once from the registry that the user has chosen, and never used unless they are whole."""

import hashlib
import io
import tarfile
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from deepdraw.export.npm import Package


def packed(files: dict[str, bytes]) -> bytes:
    """A tarball as `npm pack` writes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


TARBALL = packed({"dist/a.mjs": b"export {}", "dist/a.wasm": b"\0asm", "package.json": b"{}"})
PACKAGE = Package("tiny-web", "1.2.3", f"sha512-{b64encode(hashlib.sha512(TARBALL).digest()).decode()}")


class Registry(BaseHTTPRequestHandler):
    """A registry of npm with one package; its server has the path of every request in `asked`."""

    def do_GET(self):
        self.server.asked.append(self.path)
        content = self.server.files.get(self.path)
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def registry() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        server.asked, server.files = [], {"/own/tiny-web/-/tiny-web-1.2.3.tgz": TARBALL}
        server.url = f"http://127.0.0.1:{server.server_port}/own/"
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home folder with nothing in it, and no settings of npm in the environment."""
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY", "npm_config_userconfig", "NPM_CONFIG_USERCONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_files_of_a_package_are_fetched_once_and_then_read_from_the_cache(registry, monkeypatch, home):
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry.url)
    for _ in range(2):
        assert PACKAGE.read("dist/a.wasm", "dist/a.mjs") == [b"\0asm", b"export {}"]
    assert registry.asked == ["/own/tiny-web/-/tiny-web-1.2.3.tgz"]
    assert PACKAGE.path == home / "cache/deepdraw/npm/tiny-web-1.2.3.tgz"


@pytest.mark.parametrize("line", ["registry={}", "registry = {}", '  registry="{}"', "registry=${{REGISTRY_OF_OURS}}"])
def test_the_registry_is_the_one_of_npmrc(registry, home, monkeypatch, line):
    monkeypatch.setenv("REGISTRY_OF_OURS", registry.url)
    (home / ".npmrc").write_text(f"# ours\n@scope:registry=http://127.0.0.1:9/\n{line.format(registry.url)}\n")
    assert PACKAGE.read("package.json") == [b"{}"]


def test_the_environment_comes_before_npmrc(registry, home, monkeypatch):
    (home / ".npmrc").write_text("registry=http://127.0.0.1:9/\n")
    monkeypatch.setenv("npm_config_registry", registry.url)
    assert PACKAGE.read("package.json") == [b"{}"]


@pytest.mark.parametrize("kept", [b"", TARBALL[:100], TARBALL + b"\0"])
def test_a_kept_package_that_is_damaged_is_refused(home, kept):
    PACKAGE.path.parent.mkdir(parents=True)
    PACKAGE.path.write_bytes(kept)
    with pytest.raises(ValueError, match=r"tiny-web-1\.2\.3\.tgz is not tiny-web 1\.2\.3 .* delete it"):
        PACKAGE.read("package.json")


def test_other_bytes_of_a_registry_are_refused_and_not_kept(registry, monkeypatch):
    registry.files = dict.fromkeys(registry.files, packed({"dist/a.mjs": b"attack()"}))
    monkeypatch.setenv("npm_config_registry", registry.url)
    with pytest.raises(ValueError, match="is not what npm publishes"):
        PACKAGE.read("dist/a.mjs")
    assert not PACKAGE.path.exists()


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "{url}elsewhere"])
def test_without_a_registry_that_answers_one_line_says_how_to_put_the_package_there_by_hand(
    registry, monkeypatch, address
):
    monkeypatch.setenv("npm_config_registry", address.format(url=registry.url))
    with pytest.raises(ValueError, match=r"cannot be fetched .* `npm pack tiny-web@1\.2\.3` writes at") as refused:
        PACKAGE.read("dist/a.mjs")
    assert str(PACKAGE.path) in str(refused.value) and "\n" not in str(refused.value)
    PACKAGE.path.parent.mkdir(parents=True)
    PACKAGE.path.write_bytes(TARBALL)
    assert PACKAGE.read("dist/a.mjs") == [b"export {}"]


@pytest.mark.parametrize("address", ["file:///etc", "ftp://127.0.0.1", "registry.example.org", "$(id)"])
def test_a_registry_that_is_no_address_of_the_web_is_refused(monkeypatch, address):
    monkeypatch.setenv("npm_config_registry", address)
    with pytest.raises(ValueError, match="is no address of the web"):
        PACKAGE.read("dist/a.mjs")
