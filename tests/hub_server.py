"""A small Hub on loopback: enough of the HTTP interface for huggingface_hub to publish to and to load from.

Repositories have real commits, branches, pull requests and files; contents lie in a folder under their sha256.
Failures are injected with ``Hub.fail``; every request is kept in ``Hub.log``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN = "hf_fakeTokenOfTheTests0123456789"
# What a CI job shows of itself; see Hub.trusting.
ID_TOKEN = "token.of.a-job"
DATE = "2026-01-01T00:00:00.000Z"
LFS_SUFFIXES = {".safetensors", ".parquet", ".bin", ".png"}


@dataclass
class File:
    """One file of a commit."""

    sha256: str
    size: int
    git_oid: str
    lfs: bool

    def listed(self, path: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "path": path, "size": self.size, "oid": self.git_oid}
        if self.lfs:
            entry["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 130}
        return entry


@dataclass
class Commit:
    """A whole tree and how it came to be."""

    oid: str
    parent: str | None
    title: str
    files: dict[str, File]
    message: str = ""


@dataclass
class Repo:
    """Commits and the names that point at them."""

    id: str
    private: bool = False
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    pulls: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    disabled: bool = False

    def find(self, revision: str) -> Commit | None:
        oid = self.branches.get(revision) or self.tags.get(revision) or self.pulls.get(revision) or revision
        return self.commits.get(oid)

    def history(self, revision: str = "main") -> list[Commit]:
        commit, line = self.find(revision), []
        while commit:
            line.append(commit)
            commit = self.commits.get(commit.parent or "")
        return line


@dataclass
class Failure:
    """What the next matching requests get instead of an answer."""

    method: str
    path: re.Pattern[str]
    status: int | None
    headers: dict[str, str]
    times: int
    after: int
    code: str | None


class Hub:
    """The server; use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repos: dict[tuple[str, str], Repo] = {}
        self.log: list[tuple[str, str]] = []
        self.failures: list[Failure] = []
        self.owners = {"me", "my-org"}
        # What whoami says of the token, and the roles in organisations.
        self.access: dict[str, Any] = {"displayName": "tests", "role": "write"}
        self.roles: dict[str, str] = {}
        self.moved: dict[str, str] = {}
        self.collections: dict[str, dict[str, Any]] = {}
        # Called with the path while the body of an upload is half read.
        self.during_upload: Callable[[str], None] | None = None
        # Repositories that trust the CI job whose token is ID_TOKEN.
        self.trusting: set[str] = set()
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment to take this for the Hub."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(self.folder / "hf_home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }

    # What tests arrange and look at.

    def add_model(self, repo_id: str, files: dict[str, bytes | str], **options: Any) -> str:
        """A model with these files in one commit, whose id is returned."""
        return self.add_repo("models", repo_id, files, **options)

    def add_dataset(self, repo_id: str, files: dict[str, bytes | str], **options: Any) -> str:
        """A data set with these files in one commit, whose id is returned."""
        return self.add_repo("datasets", repo_id, files, **options)

    def add_repo(self, kind: str, repo_id: str, files: dict[str, bytes | str], **options: Any) -> str:
        repo = self.repos[kind, repo_id] = Repo(repo_id, **options)
        return self.commit(repo, files, title="initial commit")

    def commit(self, repo: Repo, files: dict[str, bytes | str], branch: str = "main", title: str = "edit") -> str:
        """Commit to a branch as somebody else would."""
        stored = {path: self.store(path, text) for path, text in files.items()}
        return self.write(repo, branch, stored, title).oid

    def model(self, repo_id: str) -> Repo:
        return self.repos["models", repo_id]

    def read(self, repo_id: str, path: str, revision: str = "main") -> bytes:
        """Content of a file of a model."""
        commit = self.model(repo_id).find(revision)
        assert commit is not None
        return self.blob(commit.files[path].sha256).read_bytes()

    def fail(
        self,
        method: str,
        path: str,
        status: int | None = None,
        headers: dict[str, str] | None = None,
        times: int = 10**6,
        after: int = 0,
        code: str | None = None,
    ) -> None:
        """Answer requests whose path matches with a status, or cut the connection where none is given.

        A connection that is cut ``after`` so many bytes of the body is cut in the middle of an upload.
        """
        self.failures.append(Failure(method, re.compile(path), status, headers or {}, times, after, code))

    def failing(self, method: str, path: str) -> Failure | None:
        """The failure that this request meets."""
        with self._lock:
            for failure in self.failures:
                if failure.times > 0 and failure.method == method and failure.path.search(path):
                    failure.times -= 1
                    return failure
        return None

    @property
    def writes(self) -> list[tuple[str, str]]:
        """The requests that could change something."""
        return [(method, path) for method, path in self.log if method not in {"GET", "HEAD"}]

    # Storage.

    def blob(self, sha256: str) -> Path:
        return self.folder / "blobs" / sha256

    def put(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        self.blob(sha256).parent.mkdir(parents=True, exist_ok=True)
        self.blob(sha256).write_bytes(content)
        return sha256

    def store(self, path: str, content: bytes | str, lfs: bool | None = None) -> File:
        data = content.encode() if isinstance(content, str) else content
        git_oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        return File(self.put(data), len(data), git_oid, Path(path).suffix in LFS_SUFFIXES if lfs is None else lfs)

    def write(
        self,
        repo: Repo,
        branch: str,
        changed: dict[str, File],
        title: str,
        deleted: tuple[str, ...] = (),
        parent: Commit | None = None,
        pull: bool = False,
        message: str = "",
    ) -> Commit:
        with self._lock:
            parent = parent or repo.find(branch)
            files = {**(parent.files if parent else {}), **changed}
            for path in deleted:
                for name in [n for n in files if n == path or n.startswith(f"{path.rstrip('/')}/")]:
                    del files[name]
            identity = [repo.id, title, len(repo.commits), sorted((p, f.sha256) for p, f in files.items())]
            oid = hashlib.sha1(json.dumps(identity).encode()).hexdigest()
            commit = repo.commits[oid] = Commit(oid, parent.oid if parent else None, title, files, message)
            if pull:
                name = f"refs/pr/{len(repo.pulls) + 1}"
                repo.pulls[name], repo.titles[name] = oid, title
            elif branch in repo.pulls:
                repo.pulls[branch] = oid
            else:
                repo.branches[branch] = oid
            return commit


class _Answer(Exception):
    """Raised to answer with an error."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        self.status, self.message, self.code = status, message, code


class _Answered(Exception):
    """Raised where the answer is out already."""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    # Headers and body leave separately: without this every answer waits 40 ms for an acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self) -> None:
        address = urlsplit(self.path)
        path, query = address.path, parse_qs(address.query, keep_blank_values=True)
        self.hub.log.append((self.command, path))
        try:
            self._maybe_fail(path)
            body = self._body(path)
            self._maybe_redirect(path, address.query)
            for method, pattern, handler in _ROUTES:
                match = re.fullmatch(pattern, path)
                if self.command in method and match:
                    handler(self, *(unquote(group or "") for group in match.groups()), query=query, body=body)
                    return
            raise _Answer(404, f"no route for {self.command} {path}")
        except _Answer as answer:
            headers = {"X-Error-Message": answer.message} | ({"X-Error-Code": answer.code} if answer.code else {})
            self._json({"error": answer.message}, status=answer.status, headers=headers)
        except _Answered:
            pass
        except ConnectionError:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

    def _maybe_fail(self, path: str) -> None:
        failure = self.hub.failing(self.command, path)
        if failure is None:
            return
        self.close_connection = True
        if failure.status is None:
            # What is left of the body is not read: closing the socket then is what a broken network looks like.
            # No more than there is: else both sides would wait.
            self.rfile.read(min(failure.after, int(self.headers.get("Content-Length") or 0) // 2))
            raise ConnectionAbortedError
        # Read to the end: what is not read when a socket closes resets it, and the answer is lost with it.
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        named = {"X-Error-Message": failure.code} if failure.code else {}
        self._json({"error": failure.code or "injected"}, status=failure.status, headers=failure.headers | named)
        raise ConnectionAbortedError

    def _maybe_redirect(self, path: str, query: str) -> None:
        for old, new in self.hub.moved.items():
            if path.startswith("/api/") and re.search(rf"/{old}(/|$)", path):
                target = path.replace(old, new, 1) + (f"?{query}" if query else "")
                self._json({}, 307, {"Location": target})
                raise _Answered

    def _body(self, path: str) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        if self.command != "PUT" or self.hub.during_upload is None or length < 2**13:
            return self.rfile.read(length)
        first = self.rfile.read(length // 2)
        self.hub.during_upload(path)
        return first + self.rfile.read(length - len(first))

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._bytes(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _bytes(self, content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Length": str(len(content)), **(headers or {})}
        if self.close_connection:
            headers["Connection"] = "close"
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    # Who asks, and for what.

    @property
    def _signed_in(self) -> bool:
        given = self.headers.get("Authorization")
        if given and given != f"Bearer {TOKEN}":
            raise _Answer(401, "Invalid credentials in Authorization header")
        return given is not None

    def _repo(self, kind: str, repo_id: str) -> Repo:
        repo = self.hub.repos.get((kind or "models", repo_id))
        signed_in = self._signed_in
        if repo is None or (repo.private and not (signed_in and self._owns(repo_id))):
            raise _Answer(404 if signed_in else 401, "Repository not found", "RepoNotFound")
        return repo

    def _owns(self, repo_id: str) -> bool:
        return repo_id.split("/")[0] in self.hub.owners

    def _writable(self, kind: str, repo_id: str) -> Repo:
        if not self._signed_in:
            raise _Answer(401, "Invalid credentials in Authorization header")
        repo = self._repo(kind, repo_id)
        if not self._owns(repo_id):
            raise _Answer(403, f"You don't have the rights to write to {repo_id}")
        return repo

    def _at(self, repo: Repo, revision: str) -> Commit:
        commit = repo.find(revision or "main")
        if commit is None:
            raise _Answer(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    # Answers.

    def whoami(self, **_: Any) -> None:
        if not self._signed_in:
            raise _Answer(401, "Invalid credentials in Authorization header")
        access = {"type": "access_token", "accessToken": self.hub.access}
        roles = self.hub.roles
        orgs = [{"name": name, "roleInOrg": roles.get(name, "admin")} for name in sorted(self.hub.owners - {"me"})]
        self._json({"type": "user", "name": "me", "fullname": "Me", "orgs": orgs, "auth": access})

    def auth_check(self, kind: str, repo_id: str, write: str, **_: Any) -> None:
        self._writable(kind, repo_id) if write else self._repo(kind, repo_id)
        self._json({})

    def exchange(self, body: bytes, **_: Any) -> None:
        asked = json.loads(body)
        if asked["subject_token"] != ID_TOKEN or asked["resource"] not in self.hub.trusting:
            raise _Answer(403, "No trusted publisher matches this token")
        self._json({"access_token": TOKEN, "token_type": "bearer", "expires_in": 3600})

    def create_repo(self, body: bytes, **_: Any) -> None:
        if not self._signed_in:
            raise _Answer(401, "Invalid credentials in Authorization header")
        wanted = json.loads(body)
        kind, repo_id = f"{wanted.get('type') or 'model'}s", f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        if not self._owns(repo_id):
            raise _Answer(403, f"You don't have the rights to create {repo_id}")
        url = {"url": f"{self.hub.endpoint}/{repo_id}"}
        if (kind, repo_id) in self.hub.repos:
            self._json({"error": "You already created this model repo", **url}, status=409)
            return
        private = wanted.get("private") or wanted.get("visibility") == "private"
        self.hub.add_repo(kind, repo_id, {".gitattributes": "*.safetensors filter=lfs\n"}, private=bool(private))
        self._json(url)

    def delete_repo(self, body: bytes, **_: Any) -> None:
        wanted = json.loads(body)
        kind, repo_id = f"{wanted.get('type') or 'model'}s", f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        self._writable(kind, repo_id)
        del self.hub.repos[kind, repo_id]
        self._json({})

    def validate_yaml(self, body: bytes, **_: Any) -> None:
        errors = []
        content = json.loads(body)["content"]
        match = re.match(r"---\n(.*?)\n---", content, re.DOTALL)
        try:
            values = yaml.safe_load(match[1]) if match else {}
        except yaml.YAMLError as error:
            values = errors.append({"message": f"invalid YAML: {error}"}) or {}
        if "/" not in str(values.get("base_model", "a/b")) or str(values.get("base_model", "")).startswith("/"):
            errors.append({"message": f'"base_model" with value "{values["base_model"]}" is not valid'})
        self._json({"errors": errors, "warnings": []}, status=400 if errors else 200)

    def preupload(self, kind: str, repo_id: str, revision: str, body: bytes, **_: Any) -> None:
        commit = self._at(self._writable(kind, repo_id), revision)
        answers = []
        for wanted in json.loads(body)["files"]:
            lfs = Path(wanted["path"]).suffix in LFS_SUFFIXES
            there = commit.files.get(wanted["path"])
            oid = (there.sha256 if there.lfs else there.git_oid) if there else None
            mode = "lfs" if lfs else "regular"
            answers.append({"path": wanted["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._json({"files": answers})

    def lfs_batch(self, kind: str, repo_id: str, body: bytes, **_: Any) -> None:
        self._writable(kind, repo_id)
        objects = []
        for wanted in json.loads(body)["objects"]:
            answer: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
            if not self.hub.blob(wanted["oid"]).exists():
                answer["actions"] = {"upload": {"href": f"{self.hub.endpoint}/lfs/{wanted['oid']}", "header": {}}}
            objects.append(answer)
        self._json({"transfer": "basic", "objects": objects})

    def lfs_put(self, oid: str, body: bytes, **_: Any) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            raise _Answer(422, "content does not match its sha256")
        self.hub.put(body)
        self._json({})

    def make_commit(self, kind: str, repo_id: str, revision: str, query: dict, body: bytes) -> None:
        repo = self._writable(kind, repo_id)
        head = self._at(repo, revision)
        lines = [json.loads(line) for line in body.splitlines() if line]
        header = lines[0]["value"]
        pull, parent = "create_pr" in query, header.get("parentCommit")
        if parent and parent != head.oid and not pull:
            raise _Answer(412, "The branch was updated since your parent commit, please refresh and try again")
        changed, deleted = {}, []
        for line in lines[1:]:
            key, value = line["key"], line["value"]
            if key == "file":
                changed[value["path"]] = self.hub.store(value["path"], base64.b64decode(value["content"]), lfs=False)
            elif key == "lfsFile":
                if not self.hub.blob(value["oid"]).exists():
                    raise _Answer(400, f"LFS object {value['oid']} was not uploaded")
                changed[value["path"]] = self.hub.store(
                    value["path"], self.hub.blob(value["oid"]).read_bytes(), lfs=True
                )
            elif key in {"deletedFile", "deletedFolder"}:
                deleted.append(value["path"])
        start = self._at(repo, parent) if parent else head
        said = header.get("description") or ""
        commit = self.hub.write(
            repo, revision, changed, header["summary"], tuple(deleted), parent=start, pull=pull, message=said
        )
        answer = {"success": True, "commitOid": commit.oid}
        answer["commitUrl"] = f"{self.hub.endpoint}/{repo_id}/commit/{commit.oid}"
        if pull:
            answer["pullRequestUrl"] = f"{self.hub.endpoint}/{repo_id}/discussions/{len(repo.pulls)}"
        self._json(answer)

    def branch(self, kind: str, repo_id: str, name: str, body: bytes, **_: Any) -> None:
        repo = self._writable(kind, repo_id)
        if name in repo.branches:
            raise _Answer(409, f"Reference {name} already exists")
        repo.branches[name] = self._at(repo, json.loads(body or b"{}").get("startingPoint") or "main").oid
        self._json({})

    def tag(self, kind: str, repo_id: str, revision: str, body: bytes, **_: Any) -> None:
        repo, asked = self._writable(kind, repo_id), json.loads(body)
        if asked["tag"] in repo.tags:
            raise _Answer(409, f"Tag reference exists already: {asked['tag']}")
        repo.tags[asked["tag"]] = self._at(repo, revision).oid
        repo.notes[asked["tag"]] = asked.get("message") or ""
        self._json({})

    def discussions(self, kind: str, repo_id: str, query: dict, **_: Any) -> None:
        repo = self._repo(kind, repo_id)
        about = {"repo": {"name": repo_id, "type": (kind or "models")[:-1]}, "createdAt": DATE, "isPullRequest": True}
        listed = [
            {**about, "title": repo.titles[name], "num": int(name.split("/")[-1]), "author": {"name": "me"}}
            | {"status": "closed" if name in repo.closed else "open"}
            for name in repo.pulls
        ]
        wanted = query.get("status", [None])[0]
        found = [one for one in listed if wanted in {None, one["status"]}]
        self._json({"discussions": found, "count": len(found), "start": 0})

    def new_collection(self, body: bytes, **_: Any) -> None:
        asked = json.loads(body)
        if not self._signed_in or asked["namespace"] not in self.hub.owners:
            raise _Answer(403, f"You don't have the rights to create collections of {asked['namespace']}")
        slug = f"{asked['namespace']}/{re.sub('[^a-z0-9]+', '-', asked['title'].lower())}-0123456789abcdef01234567"
        if slug in self.hub.collections:
            self._json({"error": "This collection exists already", "slug": slug}, status=409)
            return
        values = {"slug": slug, "title": asked["title"], "owner": {"name": asked["namespace"]}, "items": []}
        values |= {"lastUpdated": DATE, "position": 0, "private": asked["private"], "theme": "blue", "upvotes": 0}
        self.hub.collections[slug] = values | {"description": asked.get("description")}
        self._json(self.hub.collections[slug])

    def collection(self, slug: str, **_: Any) -> None:
        if slug not in self.hub.collections:
            raise _Answer(404, "no such collection")
        self._json(self.hub.collections[slug])

    def collect(self, slug: str, body: bytes, **_: Any) -> None:
        if not self._signed_in:
            raise _Answer(401, "Invalid credentials in Authorization header")
        there, asked = self.hub.collections[slug], json.loads(body)
        if asked["item"]["id"] in {item["id"] for item in there["items"]}:
            raise _Answer(409, "This item is in the collection already")
        item = {"_id": f"{len(there['items']):024x}", "type": asked["item"]["type"], "id": asked["item"]["id"]}
        there["items"].append(item | {"position": len(there["items"]), "note": asked.get("note")})
        self._json(there)

    def info(self, kind: str, repo_id: str, revision: str, query: dict, **_: Any) -> None:
        repo = self._repo(kind, repo_id)
        commit = self._at(repo, revision)
        with_blobs = "blobs" in query
        siblings = []
        for path, file in commit.files.items():
            entry = file.listed(path)
            extra = {"size": file.size, "blobId": file.git_oid, "lfs": entry.get("lfs")} if with_blobs else {}
            siblings.append({"rfilename": path, **extra})
        answer = {"id": repo_id, "modelId": repo_id, "sha": commit.oid, "private": repo.private, "tags": []}
        answer |= {"gated": "manual" if repo.gated else False, "lastModified": DATE, "createdAt": DATE}
        answer["disabled"] = repo.disabled
        self._json({**answer, "siblings": siblings})

    def tree(self, kind: str, repo_id: str, revision: str, prefix: str, query: dict, **_: Any) -> None:
        commit = self._at(self._repo(kind, repo_id), revision)
        prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        recursive = query.get("recursive", ["false"])[0].lower() in {"true", "1"}
        entries: dict[str, dict] = {}
        for path, file in commit.files.items():
            if not path.startswith(prefix):
                continue
            parts = path[len(prefix) :].split("/")
            for depth in range(1, len(parts)) if recursive else range(1, min(2, len(parts))):
                folder = prefix + "/".join(parts[:depth])
                entries[folder] = {"type": "directory", "path": folder, "size": 0, "oid": "0" * 40}
            if recursive or len(parts) == 1:
                entries[path] = file.listed(path)
        if prefix and not entries:
            raise _Answer(404, f"{prefix} does not exist", "EntryNotFound")
        self._json(list(entries.values()))

    def paths_info(self, kind: str, repo_id: str, revision: str, body: bytes, **_: Any) -> None:
        commit = self._at(self._repo(kind, repo_id), revision)
        text = body.decode()
        wanted = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text).get("paths", [])
        self._json([commit.files[path].listed(path) for path in wanted if path in commit.files])

    def refs(self, kind: str, repo_id: str, **_: Any) -> None:
        repo = self._repo(kind, repo_id)
        branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": o} for n, o in repo.branches.items()]
        tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": o} for n, o in repo.tags.items()]
        pulls = [{"name": n, "ref": n, "targetCommit": o} for n, o in repo.pulls.items()]
        self._json({"branches": branches, "tags": tags, "converts": [], "pullRequests": pulls})

    def commits(self, kind: str, repo_id: str, revision: str, **_: Any) -> None:
        repo = self._repo(kind, repo_id)
        self._at(repo, revision)
        line = [{"id": c.oid, "title": c.title, "message": c.message, "date": DATE} for c in repo.history(revision)]
        self._json([{**entry, "authors": [{"user": "me"}]} for entry in line])

    def resolve(self, kind: str, repo_id: str, revision: str, path: str, **_: Any) -> None:
        repo = self._repo(kind, repo_id)
        if repo.gated and not (self._signed_in and self._owns(repo_id)):
            raise _Answer(403, f"Access to model {repo_id} is restricted", "GatedRepo")
        commit = self._at(repo, revision)
        file = commit.files.get(path)
        if file is None:
            raise _Answer(404, f"{path} does not exist", "EntryNotFound")
        content = self.hub.blob(file.sha256).read_bytes()
        headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        headers["ETag"] = f'"{file.sha256 if file.lfs else file.git_oid}"'
        if file.lfs:
            headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(file.size)}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked:
            first, last = int(asked[1]), int(asked[2]) if asked[2] else len(content) - 1
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            self._bytes(content[first : last + 1], 206, headers)
        else:
            self._bytes(content, 200, headers)


_ID = r"([^/]+/[^/]+?)"
_API = rf"/api/(models|datasets|spaces)/{_ID}"
_ROUTES = [
    ({"GET"}, r"/api/whoami-v2", _Handler.whoami),
    ({"POST"}, r"/oauth/token", _Handler.exchange),
    ({"POST"}, r"/api/repos/create", _Handler.create_repo),
    ({"DELETE"}, r"/api/repos/delete", _Handler.delete_repo),
    ({"POST"}, r"/api/validate-yaml", _Handler.validate_yaml),
    ({"POST"}, rf"{_API}/preupload/(.+)", _Handler.preupload),
    ({"POST"}, rf"{_API}/commit/(.+)", _Handler.make_commit),
    ({"POST"}, rf"{_API}/branch/(.+)", _Handler.branch),
    ({"POST"}, rf"{_API}/tag/(.+)", _Handler.tag),
    ({"GET"}, rf"{_API}/discussions", _Handler.discussions),
    ({"GET"}, rf"{_API}/auth-check(/write)?", _Handler.auth_check),
    ({"POST"}, r"/api/collections", _Handler.new_collection),
    ({"GET"}, r"/api/collections/([^/]+/[^/]+)", _Handler.collection),
    ({"POST"}, r"/api/collections/([^/]+/[^/]+)/items", _Handler.collect),
    ({"POST"}, rf"{_API}/paths-info/(.+)", _Handler.paths_info),
    ({"GET"}, rf"{_API}/revision/(.+)", _Handler.info),
    ({"GET"}, rf"{_API}/tree/([^/]+)(/.*)?", _Handler.tree),
    ({"GET"}, rf"{_API}/commits/(.+)", _Handler.commits),
    ({"GET"}, rf"{_API}/refs", _Handler.refs),
    ({"GET"}, rf"{_API}()", _Handler.info),
    ({"POST"}, rf"/(?:(datasets|spaces)/)?{_ID}\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    ({"PUT"}, r"/lfs/([0-9a-f]{64})", _Handler.lfs_put),
    ({"GET", "HEAD"}, rf"/(?:(datasets|spaces)/)?{_ID}/resolve/([^/]+)/(.+)", _Handler.resolve),
]
