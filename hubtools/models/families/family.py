"""What bench has to know of a family of checkpoints: one object."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from hubtools.common.errors import UserError
from hubtools.common.hashing import digest
from hubtools.models.families.dialect import Dialect
from hubtools.models.families.paper import Paper
from hubtools.models.families.published.published_kind import Published
from hubtools.models.families.spelling import PIECES, PLAIN, SPACED, ProtocolTokens, Spelling

# What changes no number: how a family is cited, shown and made faster, and how records of earlier are read.
_NO_NUMBER = {"papers", "published", "faster", "around", "earlier"}
# Of families and spellings, what came later: left out of the digest where it says what was so before.
_LATER = {"backwards": None, "line": 0}


@dataclass(frozen=True)
class Family:
    """All that cannot be measured on a checkpoint; every default is for what is measured, or is the cautious choice.

    Which checkpoints are of it:

    Attributes:
        name: as records show it.
        model_types: ``model_type`` of its configurations; by default the name.
        settings: entries that config.json must have besides, which tell it from others of its model type.

    How the encoder is loaded:

    Attributes:
        encoder_class: class of transformers that is the encoder alone, where ``AutoModel`` gives more.
        pooler: False where the encoder's class is to be told to leave its untrained pooling layer out.
        unused_weights: parts of the encoder that no prediction here reads, so that they may be missing.
        dialect: how code that comes with its checkpoints is asked, in what cannot be measured.

    What it reads:

    Attributes:
        spellings: how a sequence is written for the tokenizer, most likely first.
        protocol: tokens that the authors' protocol puts before every protein and the tokenizer does not add. They are
            used where the vocabulary has them all: the record says so. Or several :class:`ProtocolTokens`, before and behind a
            protein: the first that the vocabulary has is used, and a recipe may name another.
        letters: those that keep the token that the vocabulary has for them; the others are read as X, where the
            vocabulary has that. By default all; or by name of the spelling, which may tell some checkpoints from others.
        position_offset: positions that the position table reserves before the first token.
        absolute_positions: whether ``max_position_embeddings`` is a hard limit.

    Where adapters go, as paths within a transformer layer:

    Attributes:
        lora_targets: linear layers that low-rank updates attach to: all of them, those of attention and those of the
            feed-forward part, so that "adapted with LoRA" means the same for every architecture. (Where only some are,
            it is the choice of the layers that decides how close LoRA comes to full fine-tuning: Dettmers et al., 2023,
            section 4.) Absent ones are passed over: T5 has ``wi``, or ``wi_0`` and ``wi_1``.
        ia3_targets: those whose output IA3 scales: keys and values. A fused projection is scaled as a whole.
        ia3_inputs: those whose input IA3 scales: the last of the feed-forward part.

    What else is asked of it:

    Attributes:
        masked_lm: whether transformers' masked-language-model class of its configurations, where there is one, tells
            the likelihood of a residue.
        backwards: of decoders whose pre-training also read proteins from their end: ``residues`` where these are in reverse order
            between the same special tokens, ``all`` where the special tokens change their places, too.
        faster: of an encoder, modules and an equivalent of the ``forward`` of each; tested on the very model before use.
        papers: that its checkpoints are cited by, the most particular name first.
        published: kinds of checkpoints of it that people use, the most particular name first: rows of docs/checkpoints.md.
        around: special tokens before and after a protein, for records of before they were measured.
        earlier: names of spellings in earlier records: what they are called now, and the tokens of the protocol.
    """

    name: str
    model_types: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    encoder_class: str | None = None
    pooler: bool = True
    unused_weights: tuple[str, ...] = ("pooler.",)
    spellings: tuple[Spelling, ...] = (PLAIN, SPACED, PIECES)
    protocol: tuple[str, ...] | tuple[ProtocolTokens, ...] = ()
    letters: str | Mapping[str, str] | None = None
    position_offset: int = 0
    absolute_positions: bool = True
    lora_targets: tuple[str, ...] = ()
    ia3_targets: tuple[str, ...] = ()
    ia3_inputs: tuple[str, ...] = ()
    masked_lm: bool = True
    backwards: Literal["residues", "all"] | None = None
    faster: Callable[[Any], list[tuple[Any, Callable[..., Any]]]] | None = None
    papers: tuple[Paper, ...] = ()
    published: tuple[Published, ...] = ()
    around: tuple[int, int] = (1, 1)
    earlier: Mapping[str, tuple[Spelling, tuple[str, ...]]] = field(default_factory=dict)
    dialect: Dialect | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            if str(one.type).startswith("tuple") and not isinstance(getattr(self, one.name), tuple):
                raise UserError(
                    f"{one.name} is {getattr(self, one.name)!r}, and no tuple",
                    where=f"family {self.name}",
                    fix="Write (one,) also where there is one.",
                )
        if len({isinstance(one, str) for one in self.protocol}) > 1:
            raise UserError(
                "protocol is tokens or several ProtocolTokens, and here it is both",
                where=f"family {self.name}",
                fix="Write ProtocolTokens((token,)) for each.",
            )

    def recognises(self, config: Any) -> bool:
        """Whether a checkpoint of this configuration (config.json, or transformers' object of it) is of this family."""
        if entry(config, "model_type") not in (self.model_types or (self.name,)):
            return False
        return all(entry(config, key) == value for key, value in self.settings.items())

    @property
    def protocols(self) -> tuple[ProtocolTokens, ...]:
        """What its authors put around every protein, the usual first."""
        tokens = tuple(one for one in self.protocol if isinstance(one, str))
        return (ProtocolTokens(tokens),) if tokens else tuple(self.protocol)  # type: ignore[arg-type]

    def letters_of(self, spelling: Spelling) -> str | None:
        """Letters that keep their token where residues are written so; None for all."""
        return self.letters.get(spelling.name) if isinstance(self.letters, Mapping) else self.letters

    def loader(self) -> tuple[Any, dict[str, Any]]:
        """What of transformers loads the encoder, and what it is told besides.

        Raises:
            UserError: transformers has no such class.
        """
        import transformers

        options = {} if self.pooler else {"add_pooling_layer": False}
        if self.encoder_class is None:
            return transformers.AutoModel, options
        if (kind := getattr(transformers, self.encoder_class, None)) is None:
            raise UserError(
                f"transformers has no class {self.encoder_class}", where=f"family {self.name}", fix="Upgrade it."
            )
        return kind, options

    def max_tokens(self, config: Any) -> int | None:
        """Longest input in tokens, special ones included, that the configuration states; None where it states none.

        What the code of an architecture can read is measured (:mod:`hubtools.models.longest_input`).
        """
        known = (entry(config, name) for name in ("max_position_embeddings", *_lengths_of(config)))
        limit = next((value for value in known if value is not None), None)
        if not self.absolute_positions or not isinstance(limit, int) or limit <= 0:
            return None
        return limit - self.position_offset

    def first_position(self, config: Any) -> int:
        """The position that the architecture gives its first token."""
        absolute = getattr(config, "position_embedding_type", "absolute") == "absolute"
        return self.position_offset if absolute else 0

    @property
    def digest(self) -> str:
        """Of all in it that can change a number, methods of its own included."""
        said = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in {*_NO_NUMBER, "dialect"}}
        said["settings"] = dict(self.settings)
        said["protocol"] = [one if isinstance(one, str) else vars(one) for one in self.protocol]
        # Of before there were dialects, a digest says nothing of them.
        said |= {"dialect": self.dialect.said} if self.dialect is not None else {}
        said["spellings"] = [_as_before(vars(spelling)) for spelling in self.spellings]
        said["code"] = [_source(type(one)) for one in (self, *self.spellings)]
        return digest(_as_before(said))


def entry(config: Any, key: str) -> Any:
    """An entry of config.json, or of transformers' object of it, also under the name that its architecture has for it.

    None where it has none. GPT-2, for example, calls ``max_position_embeddings`` ``n_positions``.
    """
    if not isinstance(config, Mapping):
        return getattr(config, key, None)
    if key in config:
        return config[key]
    return config.get(_own_names(config.get("model_type")).get(key))


def _lengths_of(config: Any) -> tuple[str, ...]:
    """What code that transformers does not have calls its longest input: decoders of ProGen2's, RITA's and older kinds."""
    from transformers import CONFIG_MAPPING

    model_type = entry(config, "model_type")
    return (
        () if isinstance(model_type, str) and model_type in CONFIG_MAPPING else ("n_positions", "n_ctx", "max_seq_len")
    )


def _as_before(said: Mapping[str, Any]) -> dict[str, Any]:
    """Without what came later and changes nothing here."""
    return {key: value for key, value in said.items() if key not in _LATER or value != _LATER[key]}


def _own_names(model_type: Any) -> Mapping[str, str]:
    """What an architecture calls entries that transformers has other names for."""
    from transformers import CONFIG_MAPPING

    known = isinstance(model_type, str) and model_type in CONFIG_MAPPING
    return CONFIG_MAPPING[model_type].attribute_map if known else {}


def _source(kind: type) -> str:
    """The text of a class that somebody derived; of bench's own classes the name."""
    if kind in (Family, Spelling):
        return kind.__name__
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return kind.__qualname__
