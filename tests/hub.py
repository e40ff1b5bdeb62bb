"""A stand-in for the Hugging Face hub on 127.0.0.1: repositories are made, filled, described and read.

Routes: api/repos/create, api/validate-yaml, api/models/NAME (with /revision/R, /preupload/R and /commit/R), and
NAME/resolve/R/FILE. All need a token to write, none to read. Large files go by Git LFS, as at the real one:
NAME.git/info/lfs/objects/batch says where to put them (lfs/OID, in one part or in several), objects/verify whether they
are there, a commit names them by their SHA-256, and who reads them is sent there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import yaml
from huggingface_hub import file_download

try:
    from huggingface_hub import close_session
except ImportError:  # before 1.0
    from huggingface_hub.utils import reset_sessions as close_session

Files = dict[str, bytes]
TOKEN = "hf_token"
LARGE = (".pt", ".safetensors")  # ends of the names of files that go by Git LFS


class Repositories:
    """Repositories by name: the files of each revision, a commit or a branch or tag; and what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, Files]] = {}
        self.asked: list[str] = []
        self.sizes: dict[str, int] = {}  # of files, where the hub is to tell another size than theirs
        self.address = self.storage = ""  # storage: of large files, another host
        self.large: dict[str, bytes] = {}  # files of Git LFS by their SHA-256
        self.parts: dict[str, dict[int, bytes]] = {}  # of those that are sent in parts
        self.part_size: int | None = None  # bytes of a part; None: a file is sent whole
        self.refused: dict[str, int] = {}  # status of the answer to requests whose path matches
        self.reached: dict[str, Event] = {}  # set when such a request comes, which is never answered

    def commit(self, name: str, files: Files, *, tag: str = "main", removed: Collection[str] = ()) -> str:
        """Add files to a branch, or under a new tag, of a repository, and remove others. Returns the commit."""
        revisions = self.files.setdefault(name, {})
        whole = {file: content for file, content in (revisions.get("main", {}) | files).items() if file not in removed}
        commit = hashlib.sha1(repr(sorted(whole.items())).encode()).hexdigest()
        revisions[commit] = revisions[tag] = whole
        return commit


@contextmanager
def hub(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Repositories]:
    """A hub without a repository, which this process takes for the Hugging Face hub as long as the block lasts."""
    repositories = Repositories()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Hub, repositories))
    address = repositories.address = f"http://127.0.0.1:{server.server_port}"
    for name, value in {
        **{"ENDPOINT": address, "HUGGINGFACE_CO_URL_TEMPLATE": address + "/{repo_id}/resolve/{revision}/{filename}"},
        **{"HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_XET": True, "HF_HUB_OFFLINE": False},
    }.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value, raising=False)  # old ones know no Xet
        if hasattr(file_download, name):  # of versions before 1.0
            monkeypatch.setattr(file_download, name, value)
    repositories.storage = f"http://localhost:{server.server_port}"
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    close_session()  # which may have been made for another hub
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield repositories
    finally:
        server.shutdown()
        server.server_close()


class _Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, repositories: Repositories, *arguments: Any) -> None:
        self.repositories = repositories
        super().__init__(*arguments)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, _ = self._take()
        if path is None:
            return
        if found := re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", path):
            self._send_file(*found.groups())
        elif path.startswith("/lfs/"):
            self._send(self.repositories.large[path.removeprefix("/lfs/")])
        elif found := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+?)(?:/revision/([^/]+))?", path):
            self._describe(found[1], found[2] or "main")
        else:
            self._answer(404 if path != "/" else 200, {})

    def do_PUT(self) -> None:
        path, body = self._take()
        if path is None:
            return
        assert "Authorization" not in self.headers, "the token is not for the host of large files"
        oid, _, part = path.removeprefix("/lfs/").partition("/")
        if part:
            self.repositories.parts.setdefault(oid, {})[int(part)] = body
        else:
            self._keep(oid, body)
        self._answer(200, {}, ETag=f'"{part or oid}"')

    def do_POST(self) -> None:
        path, body = self._take()
        if path is None:
            return
        if path.startswith("/lfs/"):  # all parts are there
            oid, parts = path.removeprefix("/lfs/"), json.loads(body)["parts"]
            self._keep(oid, b"".join(self.repositories.parts[oid][part["partNumber"]] for part in parts))
            self._answer(200, {})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"error": "Invalid username or password."})
        elif path == "/api/validate-yaml":  # the head of a model card
            yaml.safe_load(json.loads(body)["content"].split("---")[1])
            self._answer(200, {"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            known = name in self.repositories.files
            self.repositories.files.setdefault(name, {"main": {}})
            self._answer(409 if known else 200, {"url": f"{self.repositories.address}/{name}", "name": name})
        elif found := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)/preupload/[^/]+", path):
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"uploadMode": "lfs" if name.endswith(LARGE) else "regular", "path": name} for name in names]
            self._answer(200, {"files": [{**mode, "shouldIgnore": False, "oid": None} for mode in modes]})
        elif path.endswith(".git/info/lfs/objects/batch"):
            self._answer(200, {"transfer": "basic", "objects": list(map(self._place, json.loads(body)["objects"]))})
        elif path.endswith(".git/info/lfs/objects/verify"):
            asked = json.loads(body)
            is_there = len(self.repositories.large.get(asked["oid"], b"")) == asked["size"]
            self._answer(200 if is_there else 404, {})
        elif found := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)/commit/[^/]+", path):
            self._commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            self._answer(404, {})

    def _take(self) -> tuple[str | None, bytes]:
        """The path and the body of a request; None for the path where it is answered already, or never will be."""
        path = self.path.partition("?")[0]
        self.repositories.asked.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        for pattern, event in self.repositories.reached.items():
            if re.search(pattern, f"{self.command} {path}"):
                event.set()
                self.rfile.read(1)  # until whoever asked has gone
                return None, body
        for pattern, status in self.repositories.refused.items():
            if re.search(pattern, f"{self.command} {path}"):
                code = "RepoNotFound" if status == 404 else None
                self._answer(status, {"error": f"refused with {status}"}, code)
                return None, body
        return path, body

    def _keep(self, oid: str, content: bytes) -> None:
        assert hashlib.sha256(content).hexdigest() == oid
        self.repositories.large[oid] = content

    def _place(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Where a large file is to be put; nowhere if it is there already."""
        oid, size, part = asked["oid"], asked["size"], self.repositories.part_size
        if oid in self.repositories.large:
            return {"oid": oid, "size": size}
        place, header = f"{self.repositories.storage}/lfs/{oid}", {}
        if part is not None:
            numbers = range(1, -(-size // part) + 1)
            header = {"chunk_size": str(part), **{str(number): f"{place}/{number}" for number in numbers}}
        verify = f"{self.repositories.address}{self.path.replace('batch', 'verify')}"
        actions = {"upload": {"href": place, "header": header}, "verify": {"href": verify}}
        return {"oid": oid, "size": size, "actions": actions}

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        files = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.repositories.large[value["oid"]]
        removed = {line["value"]["path"] for line in lines if line["key"] == "deletedFile"}
        commit = self.repositories.commit(name, files, removed=removed)
        url = f"{self.repositories.address}/{name}/commit/{commit}"
        self._answer(200, {"success": True, "commitUrl": url, "commitOid": commit})

    def _send_file(self, name: str, revision: str, file: str) -> None:
        revisions = self.repositories.files.get(name)
        if revisions is None or revision not in revisions or file not in revisions[revision]:
            missing = "RepoNotFound" if revisions is None else "RevisionNotFound"
            self._answer(404, {}, missing if revision not in (revisions or {}) else "EntryNotFound")
            return
        content = revisions[revision][file]
        oid, commit = hashlib.sha256(content).hexdigest(), self._revision(revisions, revision)
        told = self.repositories.sizes.get(file, len(content))
        if oid in self.repositories.large:
            headers = {"Location": f"{self.repositories.storage}/lfs/{oid}", "X-Repo-Commit": commit}
            self._answer(302, {}, **headers, X_Linked_ETag=f'"{oid}"', X_Linked_Size=str(told))
            return
        self._send(content, told if self.command == "HEAD" else None, X_Repo_Commit=commit, ETag=f'"{oid}"')

    def _send(self, content: bytes, told: int | None = None, **headers: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) if told is None else told))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _describe(self, name: str, revision: str) -> None:
        revisions = self.repositories.files.get(name)
        if revisions is None or revision not in revisions:
            self._answer(404, {}, "RepoNotFound" if revisions is None else "RevisionNotFound")
            return
        siblings = [{"rfilename": file} for file in revisions[revision]]
        self._answer(200, {"id": name, "sha": self._revision(revisions, revision), "siblings": siblings, "tags": []})

    @staticmethod
    def _revision(revisions: dict[str, Files], revision: str) -> str:
        same = [one for one in revisions if len(one) == 40 and revisions[one] == revisions[revision]]
        return revision if len(revision) == 40 else (same or ["0" * 40])[0]

    def _answer(self, status: int, content: dict[str, Any], code: str | None = None, **headers: str) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        named = {"Content-Type": "application/json", "Content-Length": str(len(body)), "X-Error-Code": code, **headers}
        for name, value in named.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass
