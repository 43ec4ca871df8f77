"""A checkpoint by name: from the Hub at a commit, or from a folder by its content."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hubtools.common.bounds import LARGEST_SPEC, read_bounded, yaml_values
from hubtools.common.errors import UserError
from hubtools.common.files import is_file, is_folder, is_there, user_path
from hubtools.common.hashing import digest
from hubtools.common.hub import cached_listing, full_commit, hub_api, hub_errors
from hubtools.common.inside import inside, why_not_inside
from hubtools.common.readers import reads
from hubtools.data.sources.file_cache import remembered_sha256
from hubtools.models.families import family_of, identity_of
from hubtools.models.foreign import check_config, check_index, read_json
from hubtools.specs.lookup.content import shipped_root
from hubtools.specs.record import CheckpointIdentity

# Bytes below which a tensor that is read is copied.
SMALL_TENSOR = 2**20
EMBEDDED = "embedded"
# As records call it.
EMBEDDED_NAME = "bench/esm-mini"
CONFIG, README = "config.json", "README.md"
# In the folder of a model that does without its encoder: whose it is, and the weights that are its own.
ENCODER, HEAD = "encoder.json", "head.safetensors"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
)
_VOCABULARIES = {"tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model"} | {
    "sentencepiece.bpe.model"
}
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a safetensors file. ``stored[...]`` reads it, as transformers asks what it loads.

    Attributes:
        file, name: where it is.
        dtype: as the file calls it, ``F32`` or ``BF16``.
    """

    file: Path
    name: str
    dtype: str

    def __getitem__(self, what: Any) -> Any:
        from safetensors import safe_open

        # Opened for this one, so that its pages of the file leave memory with it.
        with safe_open(self.file, framework="pt") as tensors:
            found = tensors.get_slice(self.name)[what]
        # For a small one that stays as it is, the whole file would stay mapped.
        return found.clone() if found.nbytes < SMALL_TENSOR else found


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose identity is known; its weights are fetched by ``files`` only.

    Attributes:
        name: Hub id, or the folder's name.
        identity: what the run record pins.
        path: the folder, for a local checkpoint.
        licence: what its card states, or None.
        config: content of ``config.json``.
        weights: names of the weight files.
        has_tokenizer: whether a vocabulary lies beside them.
    """

    name: str
    identity: CheckpointIdentity
    path: Path | None
    licence: str | None
    config: dict[str, Any] = field(repr=False)
    weights: tuple[str, ...]
    has_tokenizer: bool = True

    def pinned(self) -> dict[str, str]:
        """Which it is, for whoever finds what was made with it: its name, and its commit or the sha256 of its files."""
        pins = {"commit": self.identity.commit, "sha256": self.identity.sha256}
        return {"checkpoint": self.name} | {f"checkpoint {kind}": pin for kind, pin in pins.items() if pin}

    def files(self) -> Path:
        """The folder with everything ``from_pretrained`` needs, downloaded first where it is on the Hub.

        Pickled weights (``pytorch_model*.bin``) are used only where there are no safetensors, and transformers
        reads them with ``torch.load(weights_only=True)``, which runs no code.

        Raises:
            UserError: the download failed, or a weight file is damaged.
        """
        folder = self.path or self._download()
        for name in self.weights:
            check_weights(inside(folder, name, where=self.name))
        return folder

    def tensors(self) -> dict[str, StoredTensor] | None:
        """What its safetensors hold, each to be read when it is asked for, by name; None of pickled weights.

        Raises:
            UserError: as :meth:`files`.
        """
        from safetensors import safe_open

        folder, found = self.files(), {}
        for file in (inside(folder, name, where=self.name) for name in self.weights if not name.endswith(".json")):
            if file.suffix != ".safetensors":
                return None
            with safe_open(file, framework="np") as tensors:
                for name in tensors.keys():  # noqa: SIM118
                    found[name] = StoredTensor(file, name, tensors.get_slice(name).get_dtype())
        return found

    def _download(self) -> Path:
        with hub_errors(f"checkpoint {self.name}"):
            return Path(
                hub_api().snapshot_download(
                    self.name,
                    revision=self.identity.commit,
                    allow_patterns=[*_wanted(self.identity.trust_remote_code), *self.weights],
                )
            )


def recorded_name(name: str) -> str:
    """What records call the checkpoint that a user names so, without looking for it."""
    if name == EMBEDDED:
        return EMBEDDED_NAME
    folder = Path(name).expanduser()
    return folder.resolve().name if is_folder(folder) else name.partition("@")[0]


@reads("checkpoint")
def resolve_checkpoint(name: str, *, revision: str | None = None, trust_remote_code: bool = False) -> Checkpoint:
    """Find a checkpoint and pin it, without loading its weights.

    Args:
        name: a folder; a Hub id, also as ``id@revision``; or ``embedded``, the small one that bench ships.
        revision: branch, tag or commit on the Hub; by default the main branch, resolved to its commit.
        trust_remote_code: allow code that comes with the checkpoint: a folder's own, or the Hub's at a commit
            that is written out.

    Raises:
        UserError: there is no such checkpoint, or it lacks configuration, tokenizer or weights.
    """
    if name == EMBEDDED:
        folder = shipped_root() / "benchmarks" / "checkpoints" / "esm-mini"
        return _from_folder(folder, EMBEDDED_NAME, trust_remote_code)
    folder = user_path(name)
    if is_folder(folder):
        if revision is not None:
            raise UserError(
                f"a folder has no revision {revision!r}", where=name, fix="Leave the revision out, or give a Hub id."
            )
        return _from_folder(folder, folder.resolve().name, trust_remote_code)
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name or is_there(folder):
        raise UserError(f"no checkpoint folder {name}", fix="Give a folder, or a Hub id such as owner/name.")
    repo, _, given = name.partition("@")
    if given and revision is not None and given != revision:
        raise UserError(f"two revisions are given, {given} and {revision}", where=name, fix="Give one of them.")
    return _from_hub(repo, given or revision, trust_remote_code)


def checkpoint_on_hub(repo: str, commit: str) -> Checkpoint:
    """A checkpoint of the Hub at a commit, and no folder of this machine that has its name; none of its code is run.

    Raises:
        UserError: as :func:`resolve_checkpoint`.
    """
    return _from_hub(repo, full_commit(commit, repo), False)


def _from_hub(repo: str, revision: str | None, trust_remote_code: bool) -> Checkpoint:
    if trust_remote_code and not (revision and _COMMIT.fullmatch(revision)):
        raise UserError(
            "code from the Hub is trusted at a commit only",
            where=repo,
            fix=f"Read it, then write the commit out: {repo}@<40 hex digits>.",
        )
    shown = f"{repo}@{revision}" if revision else repo
    for named in (repo, revision):
        if named and (why := why_not_inside(named)) is not None:
            raise UserError(f"not a checkpoint on the Hub: {why}", where=shown, fix="Write it as owner/name@revision.")
    with hub_errors(f"checkpoint {shown}"):
        api = hub_api()
        commit = full_commit(api.resolve_revision(repo, revision=revision).resolved, shown)
        folder = Path(api.snapshot_download(repo, revision=commit, allow_patterns=_wanted(trust_remote_code)))
        listed = cached_listing(repo, "model", commit) or set()
    config = _read_config(folder / CONFIG, listed, trust_remote_code, shown)
    return Checkpoint(
        name=repo,
        identity=CheckpointIdentity(
            name=repo,
            source="hub",
            commit=commit,
            trust_remote_code=trust_remote_code,
            family=identity_of(config),
        ),
        path=None,
        licence=read_licence(folder / README),
        config=config,
        weights=_choose_weights(listed, shown),
        has_tokenizer=bool(_VOCABULARIES & listed),
    )


def _from_folder(folder: Path, name: str, trust_remote_code: bool) -> Checkpoint:
    shown = str(folder)
    listed = {path.name for path in folder.iterdir() if is_file(path)} if is_folder(folder) else set()
    config = _read_config(folder / CONFIG, listed, trust_remote_code, shown)
    weights = _choose_weights(listed, shown)
    code = sorted(n for n in listed if n.endswith(".py")) if trust_remote_code else []
    pinned = sorted({CONFIG, *weights, *code, *(n for n in TOKENIZER_FILES if n in listed)})
    sha256 = digest([[file, remembered_sha256(folder / file)] for file in pinned])
    return Checkpoint(
        name=name,
        identity=CheckpointIdentity(
            name=name,
            source="local",
            sha256=sha256,
            trust_remote_code=trust_remote_code,
            family=identity_of(config),
        ),
        path=folder,
        licence=read_licence(folder / README),
        config=config,
        weights=weights,
        has_tokenizer=bool(_VOCABULARIES & listed),
    )


def _wanted(trust_remote_code: bool) -> list[str]:
    return [CONFIG, README, *TOKENIZER_FILES, *(["*.py"] if trust_remote_code else [])]


def _read_config(path: Path, listed: set[str], trust_remote_code: bool, where: str) -> dict[str, Any]:
    """The configuration, after checking that a tokenizer lies beside it."""
    if CONFIG not in listed:
        if "adapter_config.json" in listed:
            raise UserError("this is an adapter, not a whole checkpoint", where=where, fix="Give its base checkpoint.")
        raise UserError(f"there is no {CONFIG}", where=where, fix="Give a checkpoint in the transformers format.")
    config = read_json(path, where)
    check_config(config, where)
    if not isinstance(config.get("model_type"), str):
        raise UserError(
            f"{CONFIG} names no model_type", where=where, fix="Give a checkpoint in the transformers format."
        )
    # "owner/repository--module.Class" is code of another repository, which the pinned commit does not cover.
    auto_map = config.get("auto_map")
    elsewhere = sorted({str(v) for v in (auto_map.values() if isinstance(auto_map, dict) else ()) if "--" in str(v)})
    if trust_remote_code and elsewhere:
        raise UserError(
            f"its code comes from another repository ({elsewhere[0]}), which its commit does not pin",
            where=where,
            fix="Use that repository, or copy the code into a folder beside the weights.",
        )
    # A checkpoint with code of its own may bring its tokenizer as code, or its family does; all others need a vocabulary.
    spoken = family_of(config).dialect
    # What folds reads residues by a table in its code.
    folds = config["model_type"] == "esmfold2" or bool(config.get("is_folding_model"))
    if not (_VOCABULARIES & listed or trust_remote_code or folds) and (spoken is None or spoken.tokenizer is None):
        raise UserError(
            "there are no tokenizer files",
            where=where,
            fix=f"Put the tokenizer beside {CONFIG}: tokenizer.save_pretrained(folder).",
        )
    return config


def _choose_weights(listed: set[str], where: str) -> tuple[str, ...]:
    """Safetensors where there are any, else pickled weights; single file or shards with their index."""
    for single, index, shard in (
        ("model.safetensors", "model.safetensors.index.json", r"model-\d+-of-(\d+)\.safetensors"),
        ("pytorch_model.bin", "pytorch_model.bin.index.json", r"pytorch_model-\d+-of-(\d+)\.bin"),
    ):
        if single in listed:
            return (single,)
        shards = sorted(name for name in listed if re.fullmatch(shard, name))
        if shards and index in listed:
            expected = int(re.fullmatch(shard, shards[0])[1])  # type: ignore[index]
            if len(shards) != expected:
                raise UserError(
                    f"{len(shards)} of {expected} weight files are there", where=where, fix="Download the rest."
                )
            return (*shards, index)
    raise UserError(
        "there are no weights (model.safetensors or pytorch_model.bin)",
        where=where,
        fix="Give a checkpoint with PyTorch weights.",
    )


@reads("weights")
def check_weights(path: Path) -> None:
    """Refuse a damaged safetensors file, whose header says how long it must be, and an index that names files elsewhere."""
    from safetensors import SafetensorError, safe_open

    if path.name.endswith(".index.json"):
        check_index(path, str(path))
    try:
        with path.open("rb") as stream:
            if stream.read(24).startswith(b"version https://git-lfs"):
                raise UserError("a git-lfs pointer instead of weights", where=str(path), fix="Run: git lfs pull.")
        if path.suffix != ".safetensors":
            return
        with safe_open(path, framework="np") as tensors:
            whole = [name for name in tensors.keys() if _whole_numbers(name, tensors)]  # noqa: SIM118
    except OSError as error:
        raise UserError(f"cannot read it ({error.strerror or error})", where=str(path)) from None
    except SafetensorError:
        # In the Hub's cache the name is a link: only deleting what it points at makes it be downloaded again.
        raise UserError(
            "damaged weights (the header does not describe this file)",
            where=str(path),
            fix=f"Delete {path.resolve()} and get it again: a checkpoint of the Hub is then downloaded anew.",
        ) from None
    if whole:
        raise UserError(
            f"its weights are whole numbers (first: {whole[0][:80]}{f', and {len(whole) - 1} more' if len(whole) > 1 else ''})",
            where=str(path),
            fix="They are damaged, or quantised, which bench does not read: use the checkpoint as it was published.",
        )


def _whole_numbers(name: str, tensors: Any) -> bool:
    """Whether a tensor that multiplies or is added is of whole numbers. A table of positions may be."""
    return (
        name.endswith((".weight", ".bias"))
        and re.match(r"[IU]\d|BOOL", tensors.get_slice(name).get_dtype()) is not None
    )


@reads("card of a checkpoint", refuses=())
def read_licence(card: Path) -> str | None:
    """The licence that a card's front matter states, lower-cased as the Hub writes it; None where it states none."""
    try:
        text = read_bounded(card, LARGEST_SPEC).decode("utf-8")
    except (OSError, UnicodeDecodeError, UserError):
        return None
    match = re.match(r"\ufeff?---\s*\n(.*?)\n---\s*(\n|$)", text, flags=re.DOTALL)
    try:
        values = yaml_values(match[1]) if match else None
    except yaml.YAMLError:
        return None
    if not isinstance(values, dict):
        return None
    stated = values.get("license")
    if isinstance(stated, list):
        stated = stated[0] if len(stated) == 1 else None
    if stated == "other" and values.get("license_name"):
        stated = values["license_name"]
    return str(stated).lower() if stated and stated != "unknown" else None
