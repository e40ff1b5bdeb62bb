"""A stand-in for the Hugging Face hub on 127.0.0.1: repositories are made, filled, described and read.

Routes: api/repos/create, api/validate-yaml, api/models/NAME (with /revision/R, /preupload/R and /commit/R), and
NAME/resolve/R/FILE. All need a token to write, none to read.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from huggingface_hub import close_session

Files = dict[str, bytes]
TOKEN = "hf_token"


class Repositories:
    """Repositories by name: the files of each revision, a commit or a branch or tag; and what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, Files]] = {}
        self.asked: list[str] = []
        self.sizes: dict[str, int] = {}  # of files, where the hub is to tell another size than theirs
        self.address = ""

    def commit(self, name: str, files: Files, *, tag: str = "main") -> str:
        """Add files to a branch, or under a new tag, of a repository. Returns the commit."""
        revisions = self.files.setdefault(name, {})
        whole = revisions.get("main", {}) | files
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
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
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
        path = self.path.partition("?")[0]
        self.repositories.asked.append(f"{self.command} {path}")
        if found := re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", path):
            self._send_file(*found.groups())
        elif found := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+?)(?:/revision/([^/]+))?", path):
            self._describe(found[1], found[2] or "main")
        else:
            self._answer(404 if path != "/" else 200, {})

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        self.repositories.asked.append(f"POST {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
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
            modes = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            self._answer(200, {"files": [{"path": file["path"], **modes} for file in json.loads(body)["files"]]})
        elif found := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)/commit/[^/]+", path):
            lines = [json.loads(line) for line in body.splitlines()]
            added = [line["value"] for line in lines if line["key"] == "file"]
            files = {file["path"]: base64.b64decode(file["content"]) for file in added}
            commit = self.repositories.commit(found[1], files)
            url = f"{self.repositories.address}/{found[1]}/commit/{commit}"
            self._answer(200, {"success": True, "commitUrl": url, "commitOid": commit})
        else:
            self._answer(404, {})

    def _send_file(self, name: str, revision: str, file: str) -> None:
        revisions = self.repositories.files.get(name)
        if revisions is None or revision not in revisions or file not in revisions[revision]:
            missing = "RepoNotFound" if revisions is None else "RevisionNotFound"
            self._answer(404, {}, missing if revision not in (revisions or {}) else "EntryNotFound")
            return
        content = revisions[revision][file]
        self.send_response(200)
        told = self.repositories.sizes.get(file, len(content))
        self.send_header("Content-Length", str(told if self.command == "HEAD" else len(content)))
        self.send_header("X-Repo-Commit", self._commit(revisions, revision))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def _describe(self, name: str, revision: str) -> None:
        revisions = self.repositories.files.get(name)
        if revisions is None or revision not in revisions:
            self._answer(404, {}, "RepoNotFound" if revisions is None else "RevisionNotFound")
            return
        siblings = [{"rfilename": file} for file in revisions[revision]]
        self._answer(200, {"id": name, "sha": self._commit(revisions, revision), "siblings": siblings, "tags": []})

    @staticmethod
    def _commit(revisions: dict[str, Files], revision: str) -> str:
        same = [one for one in revisions if len(one) == 40 and revisions[one] == revisions[revision]]
        return revision if len(revision) == 40 else (same or ["0" * 40])[0]

    def _answer(self, status: int, content: dict[str, Any], code: str | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if code is not None:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass
