"""Passwords and tokens: wherever an address enters, they come out nowhere."""

from __future__ import annotations

import base64
import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from sample_records import LOCALISATION, PEPTIDES, write_full_run

from hubtools.cli.shared.guarded import GuardedStream
from hubtools.common.errors import UserError
from hubtools.common.hub import hub_errors
from hubtools.common.secrets import holds_secret, scrub, scrubbed, without_secrets
from hubtools.common.telling import warn
from hubtools.data.sources.download import download
from hubtools.findings.verification import _no_secrets as submission_holds_none
from hubtools.publishing.contents import _no_secrets as publication_holds_none
from hubtools.publishing.contents import collect_files
from hubtools.publishing.results_repository import write_results
from hubtools.reporting.card.model_card import build_card
from hubtools.runs.public_record import public_record
from hubtools.runs.store import RECORD, OpenRun, read_record, write_record
from hubtools.specs.base import Spec
from hubtools.specs.lookup.spec_files import parse_spec
from hubtools.specs.task import Task

Bench = Callable[..., tuple[int, str, str]]
SECRET = "s3cr3tW0rd99"
# Every way in which an address, a header or a message holds it.
HOLDING = {
    "password": f"https://user:{SECRET}@host.example/a.csv",
    "token for a user": f"https://{SECRET}@host.example/a.csv",
    "password with a slash": f"https://user:{SECRET}/x@host.example/a.csv",
    "password with an at": f"https://user:{SECRET}@x@host.example/a.csv",
    "token": f"https://host.example/a.csv?token={SECRET}",
    "access token": f"https://host.example/a.csv?x=1&access_token={SECRET}&y=2",
    "key": f"https://host.example/a.csv?key={SECRET}",
    "api key": f"https://host.example/a.csv?api_key={SECRET}",
    "Azure": f"https://a.blob.core.windows.net/c/a.csv?sv=2024&se=2027&sig={SECRET}",
    "Amazon": f"https://b.s3.amazonaws.com/a.csv?X-Amz-Expires=60&X-Amz-Signature={SECRET}&X-Amz-Credential={SECRET}",
    "Google": f"https://storage.googleapis.com/b/a.csv?X-Goog-Signature={SECRET}",
    "CloudFront": f"https://d.cloudfront.net/a.csv?Signature={SECRET}&Key-Pair-Id={SECRET}",
    "fragment": f"https://host.example/a.csv#access_token={SECRET}",
    "proxy": f"http://user:{SECRET}@proxy.example:3128",
    "ftp": f"ftp://user:{SECRET}@host.example/a",
    "bearer": f"Authorization: Bearer {SECRET}",
    "basic": f"{{'Authorization': 'Basic {SECRET}=='}}",
    "proxy header": f"Proxy-Authorization: Basic {SECRET}",
    "cookie": f"Set-Cookie: session={SECRET}",
    "Hugging Face": f"the token hf_{SECRET}{SECRET} is not valid",
    "GitHub": f"ghp_{SECRET}{SECRET}",
    "JSON Web Token": f"eyJhbGciOiJI{SECRET}.{SECRET}.{SECRET}",
}
# What looks like one and is none.
HARMLESS = [
    "https://host.example:8080/a@b",
    "https://rest.uniprot.org/uniprotkb/stream?query=(organism_id:9606)&fields=accession&format=tsv",
    "hub://user/repo@0123456789012345678901234567890123456789/name",
    "git clone ssh://git@github.com/user/repo",
    "--token-budget 4096 --set key=value",
    "tokens: 5, signature: a signal peptide, authors@host.example",
    "facebook/esm2_t6_8M_UR50D",
    "https://doi.org/10.1000/x?author=me&keyword=protein",
]


@pytest.mark.parametrize("case", HOLDING)
def test_it_is_found_and_taken_out(case: str) -> None:
    shown = without_secrets(HOLDING[case])
    assert SECRET not in shown and holds_secret(HOLDING[case])
    assert scrub(shown) == shown and not holds_secret(shown)
    # The host stays: it is what one looks for.
    for host in re.findall(r"[\w.]+\.(?:example|com|net)", HOLDING[case]):
        assert host in shown


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_none_stays(text: str) -> None:
    assert scrub(text) == text


@pytest.mark.parametrize("name", ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "MY_PASSWORD"])
def test_what_the_environment_holds_is_known(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "correct horse")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    assert scrub("it said: correct horse, false") == "it said: [token], false"


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy", "HF_ENDPOINT", "ALL_PROXY"])
def test_the_password_of_a_proxy_is_known_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "http://me:pass%20word@proxy.example:3128")
    assert scrub("407 for pass word (pass%20word)") == "407 for [token] ([token])"


# Ways in


def task_with(url: str, **changes: object) -> str:
    values = LOCALISATION.model_dump(mode="json", exclude_defaults=True) | {"name": "mine"} | changes
    if url:
        values["data"] = values["data"] | {"source": "url", "files": [{"url": url, "name": "a", "format": "csv"}]}
    return yaml.safe_dump(values)


ADDRESSES = {case: text for case, text in HOLDING.items() if text.startswith("http")}


@pytest.mark.parametrize("case", ADDRESSES)
def test_a_task_with_one_in_an_address_is_refused(bench: Bench, tmp_path: Path, case: str) -> None:
    (tmp_path / "mine.yaml").write_text(task_with(ADDRESSES[case]))
    for command in (["tasks", "show"], ["tasks", "check"], ["data", "freeze"]):
        code, out, err = bench(*command, tmp_path / "mine.yaml")
        assert code == 2 and SECRET not in out + err and len(err.splitlines()) == 1
        assert "holds a password or a token" in err and ".netrc" in err


@pytest.mark.parametrize("key", ["summary", "title", "citation", "licence", "homepage"])
def test_no_text_of_a_task_holds_one(key: str) -> None:
    with pytest.raises(UserError) as refused:
        parse_spec(task_with("", **{key: HOLDING["password"]}), Task, "mine.yaml")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("case", HOLDING)
def test_no_argument_holds_one(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (["run", "--task", "x", "--checkpoint"], ["predict"], ["tasks", "show"], ["board"]):
        code, out, err = bench(*command, HOLDING[case])
        assert code == 2 and SECRET not in out + err and len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("case", ADDRESSES)
def test_the_place_of_the_hub(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: str) -> None:
    """Nobody answers there, and the message says so without the log-in."""
    monkeypatch.setenv(
        "HF_ENDPOINT",
        ADDRESSES[case].replace("host.example", "127.0.0.1:9").rpartition("/a.csv")[0] or "http://127.0.0.1:9",
    )
    with pytest.raises(UserError) as refused, hub_errors(f"checkpoint at {ADDRESSES[case]}"):
        raise ConnectionError(f"cannot reach {ADDRESSES[case]}: {HOLDING['bearer']}")
    assert SECRET not in str(refused.value) and "HF_ENDPOINT" in str(refused.value)


# Ways out


@pytest.mark.parametrize("case", HOLDING)
def test_messages(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = UserError(HOLDING[case], where=HOLDING[case], fix=HOLDING[case])
    warn(f"{HOLDING[case]}: again in 1 s")
    assert SECRET not in str(error) + error.what + str(error.where) + str(error.fix)
    assert SECRET not in capsys.readouterr().err
    import io

    stream = io.StringIO()
    GuardedStream(stream).write(f"what a library prints: {HOLDING[case]}\n")
    assert SECRET not in stream.getvalue()


@pytest.mark.slow
def test_the_traceback_of_a_bug(tmp_path: Path) -> None:
    program = (
        "import click, sys\nfrom hubtools.cli import main\n"
        "sys.argv = ['bench', '--version']\n"
        f"def broken(**_): raise RuntimeError({HOLDING['password']!r} + '\\n::error::x\\x1b[2J')\n"
        "main.cli.main = broken\nmain.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "RuntimeError: https://[…]@host.example" in done.stderr
    assert SECRET not in done.stderr and "\n::error" not in done.stderr and "\x1b" not in done.stderr


@pytest.fixture
def leaky(tmp_path: Path, blank_figures: None) -> OpenRun:
    """A run whose record an earlier version of bench wrote, with secrets wherever a record has text."""
    folder = write_full_run(tmp_path / "runs", PEPTIDES)
    record = read_record(folder)
    assert record.data is not None
    record.data.files[0].location = HOLDING["Amazon"]
    record.command = f"bench run --checkpoint {HOLDING['password']} --task x"
    record.task |= {"homepage": HOLDING["token"], "summary": HOLDING["key"], "citation": HOLDING["bearer"]}
    record.task["notes"] = [HOLDING["proxy"]]
    return OpenRun(folder, record)


def test_a_record_is_written_without(leaky: OpenRun) -> None:
    write_record(leaky.folder, leaky.record)
    text = (leaky.folder / RECORD).read_text()
    assert SECRET not in text and "host.example" in text
    assert read_record(leaky.folder).run_id == leaky.record.run_id
    assert SECRET not in json.dumps(scrubbed(public_record(leaky.record).model_dump(mode="json")))
    assert submission_holds_none(leaky.folder) == "none found"


def test_a_card_is_written_without(leaky: OpenRun) -> None:
    text = build_card(leaky, repo_id="me/mine").read_text()
    assert SECRET not in text and "host.example" in text


def test_a_results_repository_is_written_without(leaky: OpenRun, tmp_path: Path) -> None:
    write_results([leaky], tmp_path / "out", "me/results")
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()
    import pyarrow.parquet as pq

    (record,) = pq.read_table(tmp_path / "out" / "data" / "records.parquet")["record"].to_pylist()
    assert SECRET not in record


def test_a_file_that_holds_one_is_not_published(leaky: OpenRun) -> None:
    build_card(leaky, repo_id="me/mine")
    (leaky.folder / "card" / RECORD).write_text(json.dumps({"a": HOLDING["password"]}))
    with pytest.raises(UserError, match="holds what looks like a token"):
        publication_holds_none(collect_files(leaky.folder))
    (leaky.folder / RECORD).write_text(json.dumps({"a": HOLDING["Azure"]}))
    with pytest.raises(UserError, match="holds what looks like a token"):
        submission_holds_none(leaky.folder)


def test_every_spec_refuses_one() -> None:
    class Mine(Spec):
        text: str = ""
        texts: list[str] = []
        mapped: dict[str, str] = {}

    for value in ({"text": HOLDING["password"]}, {"texts": [HOLDING["token"]]}, {"mapped": {"a": HOLDING["Amazon"]}}):
        with pytest.raises(ValueError, match="holds a password or a token"):
            Mine.model_validate(value)
    assert Mine(text=HARMLESS[1], texts=HARMLESS)


# Basic authentication


class Guarded(http.server.BaseHTTPRequestHandler):
    """Gives its file to who logs in, and sends on to another host who asks for that."""

    asked: list[tuple[str, str | None]] = []

    def do_GET(self) -> None:
        login = self.headers.get("Authorization")
        Guarded.asked.append((self.path, login))
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/a.csv")  # type: ignore[attr-defined]
            self.end_headers()
            return
        right = login == "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
        self.send_response(200 if right else 401)
        self.end_headers()
        self.wfile.write(b"id,sequence\n" if right else b"")

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def server() -> Iterator[int]:
    Guarded.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guarded) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running.server_port
        running.shutdown()


def test_a_login_of_netrc_works(server: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    download(f"http://127.0.0.1:{server}/a.csv", tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "id,sequence\n"
    # Another host is not told, although the first sends us there.
    with pytest.raises(UserError, match="HTTP 401") as refused:
        download(f"http://127.0.0.1:{server}/elsewhere", tmp_path / "b.csv")
    assert SECRET not in str(refused.value) and Guarded.asked[-1] == ("/a.csv", None)


def test_a_login_goes_nowhere_unencrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hubtools.data.sources.download import _login

    (tmp_path / "netrc").write_text(f"machine host.example login me password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert _login("http://host.example/a") is None and _login("https://other.example/a") is None
    assert str(_login("https://host.example/a")).startswith("Basic ")
    (tmp_path / "netrc").write_text("machine host.example nonsense\n")
    with pytest.raises(UserError, match=r"netrc:\d: cannot read it"):
        _login("https://host.example/a")


def test_no_other_place_hides_tokens() -> None:
    package = Path(__file__).resolve().parents[2] / "hubtools"
    for path in package.rglob("*.py"):
        if path.name != "secrets.py":
            assert not re.search(r"""["']\[token\]|\(hf\|""", path.read_text()), path


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {"HF_ENDPOINT": "http://ann:pw-in-endpoint@127.0.0.1:9"},
        {"HTTPS_PROXY": "http://ann:pw-in-proxy@127.0.0.1:9", "HTTP_PROXY": "http://ann:pw-in-proxy@127.0.0.1:9"},
    ],
    ids=["HF_ENDPOINT", "proxy"],
)
def test_a_password_in_the_address_of_the_hub_or_of_a_proxy_is_never_shown(
    variables: dict[str, str], tmp_path: Path
) -> None:
    """A whole run, in a process of its own, that asks for a checkpoint where nobody answers."""
    import os
    import subprocess
    import sys

    command = [
        "run",
        "--checkpoint",
        "owner/name",
        "--task",
        "antimicrobial-peptide",
        "--recipe",
        "probe",
        "--seed",
        "1",
    ]
    environment = {**os.environ, **variables, "BENCH_CACHE": str(tmp_path / "cache"), "HF_HOME": str(tmp_path / "hub")}
    environment |= {"NO_PROXY": "", "HF_HUB_OFFLINE": "0"}
    ended = subprocess.run(
        [sys.executable, "-m", "hubtools.cli.main", *command, "--runs", str(tmp_path / "runs")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
        timeout=120,
    )
    assert ended.returncode != 0
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for text in (ended.stdout.encode(), ended.stderr.encode(), *written):
        assert b"pw-in-" not in text
