"""A name becomes a pinned checkpoint, or one line that says why not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import warm_process
from hub_server import TOKEN, Hub
from safetensors.numpy import save

from hubtools.common.errors import UserError
from hubtools.common.hub import hub_api, hub_errors, scrub
from hubtools.models.checkpoint import read_licence, resolve_checkpoint

WEIGHTS = save({"w": np.arange(6, dtype=np.float32)})
FILES: dict[str, bytes | str] = {
    "config.json": json.dumps({"model_type": "esm"}),
    "vocab.txt": "<cls>\n<pad>\n<eos>\n<unk>\nL\n",
    "model.safetensors": WEIGHTS,
    "README.md": "---\nlicense: MIT\n---\n# A model\n",
    "notes/large.bin": b"not needed",
}


def write(folder: Path, files: dict[str, bytes | str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def without(*names: str) -> dict[str, bytes | str]:
    return {name: content for name, content in FILES.items() if name not in names}


# Folders


def test_a_folder_is_what_is_in_it_and_not_where_it_lies(tmp_path: Path) -> None:
    first = resolve_checkpoint(str(write(tmp_path / "a" / "my-esm", FILES)))
    copy = resolve_checkpoint(str(write(tmp_path / "b" / "other", FILES)))
    assert first.name == "my-esm" and first.identity.source == "local" and first.identity.commit is None
    assert first.licence == "mit" and first.config == {"model_type": "esm"}
    assert first.files() == tmp_path / "a" / "my-esm"
    assert first.identity.sha256 == copy.identity.sha256


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "model.safetensors"])
def test_what_is_loaded_changes_the_identity(tmp_path: Path, name: str) -> None:
    before = resolve_checkpoint(str(write(tmp_path / "m", FILES))).identity.sha256
    path = tmp_path / "m" / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert resolve_checkpoint(str(tmp_path / "m")).identity.sha256 != before


def test_what_is_not_loaded_does_not(tmp_path: Path) -> None:
    before = resolve_checkpoint(str(write(tmp_path / "m", FILES))).identity.sha256
    write(tmp_path / "m", {"README.md": "# other words", "code.py": "x = 1", "pytorch_model.bin": b"older"})
    after = resolve_checkpoint(str(tmp_path / "m"))
    assert after.identity.sha256 == before and after.weights == ("model.safetensors",)


def test_a_large_file_is_hashed_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("hubtools.data.sources.file_cache.REMEMBERED_ABOVE", 1)
    folder = str(write(tmp_path / "m", FILES))
    before = resolve_checkpoint(folder).identity.sha256
    monkeypatch.setattr(
        "hubtools.data.sources.file_cache.file_sha256", lambda path: pytest.fail(f"{path} was read again")
    )
    assert resolve_checkpoint(folder).identity.sha256 == before
    monkeypatch.undo()
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("hubtools.data.sources.file_cache.REMEMBERED_ABOVE", 1)
    (tmp_path / "m" / "vocab.txt").write_text("<cls>\n<pad>\n<eos>\n<unk>\nAA\n")
    assert resolve_checkpoint(folder).identity.sha256 != before


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (without("config.json"), "no config.json"),
        (without("config.json") | {"adapter_config.json": "{}"}, "an adapter"),
        (without("model.safetensors"), "no weights"),
        (without("vocab.txt"), "no tokenizer files"),
        (FILES | {"config.json": "{"}, "cannot read config.json"),
        (FILES | {"config.json": "{}"}, "no model_type"),
        (
            without("model.safetensors")
            | {"model-00001-of-00002.safetensors": WEIGHTS, "model.safetensors.index.json": "{}"},
            "1 of 2 weight files",
        ),
    ],
)
def test_a_folder_that_lacks_something_says_what(tmp_path: Path, files: dict[str, bytes | str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        resolve_checkpoint(str(write(tmp_path / "m", files)))
    assert caught.value.fix and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["./nothing", "/no/where", "a/b/c", "~/nothing-here"])
def test_what_looks_like_a_path_is_not_asked_for_on_the_hub(hub: Hub, name: str) -> None:
    with pytest.raises(UserError, match="no checkpoint folder"):
        resolve_checkpoint(name)
    assert hub.log == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (WEIGHTS[:-3], "damaged weights"),
        (b"", "damaged weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ],
)
def test_damaged_weights_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    checkpoint = resolve_checkpoint(str(write(tmp_path / "m", FILES | {"model.safetensors": content})))
    with pytest.raises(UserError, match=message) as caught:
        checkpoint.files()
    assert "model.safetensors" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: CC-BY-NC-SA-4.0\n---\n", "cc-by-nc-sa-4.0"),
        ("---\nlicense: [mit]\n---\n", "mit"),
        ("---\nlicense: other\nlicense_name: cambrian-open\n---\n", "cambrian-open"),
        ("---\nlicense: unknown\n---\n", None),
        ("---\ntags: [protein]\n---\nlicense: mit\n", None),
        ("---\nlicense: [mit\n---\n", None),
        ("# no front matter", None),
    ],
)
def test_the_licence_is_what_the_card_states(tmp_path: Path, card: str, licence: str | None) -> None:
    (tmp_path / "README.md").write_text(card)
    assert read_licence(tmp_path / "README.md") == licence


# The Hub


def test_a_branch_is_pinned_to_its_commit(hub: Hub) -> None:
    first = hub.add_model("lab/esm", FILES)
    checkpoint = resolve_checkpoint("lab/esm")
    assert checkpoint.identity.commit == first and checkpoint.identity.source == "hub"
    assert checkpoint.licence == "mit" and checkpoint.config == {"model_type": "esm"} and checkpoint.path is None

    # Somebody pushes other weights: what was resolved stays what it was, and the new head is another checkpoint.
    second = hub.commit(hub.model("lab/esm"), {"model.safetensors": save({"w": np.ones(3, dtype=np.float32)})})
    assert (checkpoint.files() / "model.safetensors").read_bytes() == WEIGHTS
    assert resolve_checkpoint("lab/esm").identity.commit == second
    assert resolve_checkpoint(f"lab/esm@{first}").identity == checkpoint.identity
    assert resolve_checkpoint("lab/esm", revision=first).identity == checkpoint.identity


def test_only_what_is_needed_is_downloaded(hub: Hub) -> None:
    hub.add_model("lab/esm", FILES | {"pytorch_model.bin": b"pickle", "model.fp16.safetensors": WEIGHTS})
    checkpoint = resolve_checkpoint("lab/esm")
    assert not [path for _, path in hub.log if path.endswith("model.safetensors")], "weights before they are asked for"
    folder = checkpoint.files()
    assert {path.name for path in folder.iterdir()} == {"config.json", "vocab.txt", "README.md", "model.safetensors"}


def test_pickled_weights_only_where_there_are_no_safetensors(hub: Hub) -> None:
    hub.add_model("lab/old", without("model.safetensors") | {"pytorch_model.bin": b"pickle"})
    assert resolve_checkpoint("lab/old").weights == ("pytorch_model.bin",)


def test_what_was_downloaded_works_without_the_hub(hub: Hub) -> None:
    commit = hub.add_model("lab/esm", FILES)
    online = resolve_checkpoint("lab/esm")
    online.files()
    hub.fail("GET", ".*")
    hub.fail("HEAD", ".*")
    offline = resolve_checkpoint("lab/esm")
    assert offline == online and offline.identity.commit == commit
    assert (offline.files() / "model.safetensors").read_bytes() == WEIGHTS


def test_damaged_weights_are_downloaded_anew_once_removed(hub: Hub) -> None:
    hub.add_model("lab/esm", FILES)
    checkpoint = resolve_checkpoint("lab/esm")
    (checkpoint.files() / "model.safetensors").resolve().write_bytes(WEIGHTS[:40])
    with pytest.raises(UserError, match="damaged weights") as caught:
        checkpoint.files()
    Path(str(caught.value).split("Delete ")[1].split(" and ")[0]).unlink()
    assert (checkpoint.files() / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lab/nothing", "no such repository"),
        ("lab/private", "no such repository on the Hub, or it is private"),
        ("lab/gated", "it is gated"),
        ("lab/esm@v9", "no such revision"),
        ("lab/esm@" + "0" * 40, "no such revision"),
        ("lab/--bad--", "not a Hub id"),
        ("lab/empty", "no config.json"),
        ("lab/weightless", "no weights"),
    ],
)
def test_a_name_that_the_hub_does_not_have(hub: Hub, name: str, message: str) -> None:
    hub.add_model("lab/esm", FILES)
    hub.add_model("lab/private", FILES, private=True)
    hub.add_model("lab/gated", FILES, gated=True)
    hub.add_model("lab/empty", {"README.md": "# nothing yet"})
    hub.add_model("lab/weightless", without("model.safetensors"))
    with pytest.raises(UserError, match=message) as caught:
        resolve_checkpoint(name)
    assert name.split("@")[0] in str(caught.value) and caught.value.fix and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, "does not accept your token"),
        (403, {}, "may not do this"),
        (404, {}, "does not know it"),
        (409, {}, "conflicts"),
        (412, {}, "the branch moved"),
        (429, {"Retry-After": "17"}, "slow down.*in 17 seconds"),
        (500, {}, "problem of its own"),
        (503, {}, "problem of its own"),
        (None, {}, "could not be reached"),
    ],
)
def test_an_answer_of_the_hub_is_one_line_with_a_remedy(
    hub: Hub, status: int | None, headers: dict[str, str], message: str
) -> None:
    hub.fail("GET", "/api/models/lab/esm", status, headers)
    with pytest.raises(UserError, match=message) as caught:
        resolve_checkpoint("lab/esm")
    assert caught.value.fix and "\n" not in str(caught.value) and TOKEN not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_offline_mode_says_so(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        resolve_checkpoint("lab/esm")


def test_a_token_is_in_no_message(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "an-odd-looking-secret")
    assert scrub("sent an-odd-looking-secret and hf_AbCdEfGh12345678") == "sent [token] and [token]"
    with pytest.raises(UserError) as caught, hub_errors("x"):
        raise ConnectionError("proxy said no to an-odd-looking-secret")
    assert "odd-looking" not in str(caught.value)
    assert scrub("facebook/esm2_t6_8M_UR50D at hf_hub") == "facebook/esm2_t6_8M_UR50D at hf_hub"


def test_other_errors_are_not_the_hubs(hub: Hub) -> None:
    with pytest.raises(ZeroDivisionError), hub_errors("x"):
        _ = 1 / 0


# Code that comes with a checkpoint


def test_code_from_the_hub_needs_a_written_commit(hub: Hub) -> None:
    commit = hub.add_model("lab/odd", FILES | {"modeling_odd.py": "x = 1\n"})
    for name in ("lab/odd", "lab/odd@main"):
        with pytest.raises(UserError, match="at a commit only"):
            resolve_checkpoint(name, trust_remote_code=True)
    checkpoint = resolve_checkpoint(f"lab/odd@{commit}", trust_remote_code=True)
    assert checkpoint.identity.trust_remote_code and (checkpoint.files() / "modeling_odd.py").exists()
    assert not (resolve_checkpoint("lab/odd").identity.trust_remote_code)


def test_code_of_a_folder_is_part_of_its_identity(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", FILES | {"modeling_odd.py": "x = 1\n"})
    before = resolve_checkpoint(str(folder), trust_remote_code=True).identity.sha256
    (folder / "modeling_odd.py").write_text("x = 2\n")
    assert resolve_checkpoint(str(folder), trust_remote_code=True).identity.sha256 != before


def test_code_of_another_repository_is_not_pinned(tmp_path: Path) -> None:
    config = {"model_type": "odd", "auto_map": {"AutoModel": "someone/else--modeling_odd.Model"}}
    folder = write(tmp_path / "m", FILES | {"config.json": json.dumps(config)})
    with pytest.raises(UserError, match="another repository"):
        resolve_checkpoint(str(folder), trust_remote_code=True)


@pytest.mark.slow
def test_transformers_loads_what_was_resolved(hub: Hub, tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from transformers import AutoModel, AutoTokenizer, EsmConfig, EsmModel, EsmTokenizer
from hubtools.models.checkpoint import resolve_checkpoint
from hubtools.common.hub import hub_api

folder = Path(sys.argv[1])
(folder / "words").write_text("\\n".join(["<cls>", "<pad>", "<eos>", "<unk>", *"ACDEFGHIKLMNPQRSTVWXY", "<mask>"]))
EsmTokenizer(str(folder / "words")).save_pretrained(folder / "model")
sizes = dict(vocab_size=26, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
made = EsmModel(EsmConfig(**sizes, pad_token_id=1, mask_token_id=25)).eval()
made.save_pretrained(folder / "model")
hub_api().create_repo("me/esm")
hub_api().upload_folder(repo_id="me/esm", folder_path=folder / "model")

downloaded = resolve_checkpoint("me/esm").files()
assert downloaded != folder / "model"
tokens = AutoTokenizer.from_pretrained(downloaded)("MKT", return_tensors="pt")
loaded = AutoModel.from_pretrained(downloaded).eval()
print((loaded(**tokens).last_hidden_state - made(**tokens).last_hidden_state).abs().max().item())
"""
    done = warm_process.run([tmp_path], code=script, cwd=tmp_path, env=os.environ | hub.env)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == 0.0


def test_the_client_asks_the_endpoint_of_the_moment(hub: Hub) -> None:
    assert hub_api().whoami()["name"] == "me"
    assert hub.log == [("GET", "/api/whoami-v2")]
