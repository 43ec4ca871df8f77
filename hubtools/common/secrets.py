"""Passwords and tokens in addresses, headers and messages: the one place that finds them.

They get into texts from everywhere: the address of a data file, HF_ENDPOINT, a proxy, what a library says of a request that
failed. :func:`scrub` takes them out of whatever is shown or kept: it is called by ``UserError`` and warnings, by what commands
print (``cli/shared/guarded.py``), and for records before they are written. A spec does not take a text that holds one.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

HIDDEN = "[…]"
_TOKEN = re.compile(
    r"\b(?:hf|api)_[A-Za-z0-9_]{8,}"  # Hugging Face
    r"|\bgh[opsur]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[\w-]{16,}"  # GitHub, GitLab
    r"|\beyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]+){0,2}"  # JSON Web Token
)
# user:password@ and token@ of an address; a password may hold slashes, and a port is none.
_LOGIN = re.compile(
    r"(?<=://)(?!git@)(?:[^\s/?#'\"<>`\\@]+@)+|(?<=://)[^\s/:@'\"<>`\\]*:(?!\d{1,5}[/?#])[^\s@'\"<>`\\]*@(?=[\w.\[-]+)"
)
# Parameters of an address: by their whole name, or by a word in it (Amazon's, Google's and Azure's signed addresses too).
_PARAMETER = re.compile(
    r"(?i)(?<=[?&;#])((?:amp;)?(?:key|sig|pwd|auth|authorization|sas|x-(?:amz|goog|ms)-[\w-]+"
    r"|[\w.-]*(?:token|secret|passw(?:or)?d|signature|credential|api[_-]?key|access[_-]?key|key-pair-id)[\w.-]*))"
    # One that was taken out stays, and what stands behind it.
    r"=(?!\[…\])([^\s&;#'\"<>`\\]+)"
)
_HEADER = re.compile(
    r"(?i)\b((?:proxy-)?authorization|x-api-key|x-auth-token|set-cookie|cookie)(['\"]?\s*[:=]\s*['\"]?)"
    r"(?:(?:bearer|basic|token|digest)\s+)?[^\s'\",}]+|\b(bearer)(\s+)(?=[\w.~+/-]*\d)[\w.~+/=-]{16,}"
)
# Variables of the environment that hold one.
_VARIABLE = re.compile(r"(?i)(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_?KEY|SECRET_?KEY|PAT)$")
# A shorter value is a word that stands elsewhere too.
_SHORTEST = 8
_HINT = re.compile(r"(?i)://|[?&;#]\w|_\w{8}|eyJ|glpat|auth|bearer|cookie|api-key")


def scrub(text: str, *, ask_hub: bool = True) -> str:
    """The text without anything that is, or looks like, a password or a token.

    Args:
        text: any.
        ask_hub: whether the Hub's client may be asked for its token.
    """
    return _without(text, _known(ask_hub))


def _without(text: str, known: Iterable[str]) -> str:
    for value in known:
        if value in text:
            text = text.replace(value, "[token]")
    return without_secrets(text)


def without_secrets(text: str) -> str:
    """The same by the look of it alone, whatever this process knows: the answer is the same on every machine."""
    if _HINT.search(text) is None:
        return text
    text = _LOGIN.sub(f"{HIDDEN}@", text)
    text = _PARAMETER.sub(rf"\1={HIDDEN}", text)
    text = _HEADER.sub(lambda m: f"{m[1] or m[3]}{m[2] or m[4]}{HIDDEN}", text)
    return _TOKEN.sub("[token]", text)


def holds_secret(text: str) -> bool:
    """Whether a text looks as if it held a password or a token; one that was taken out is none."""
    return without_secrets(text) != text


def scrubbed(value: Any) -> Any:
    """Values as JSON has them, with every text in them scrubbed."""
    # A record has hundreds of texts, and what is known is looked for in variables and files.
    return _each_without(value, list(_known(True)))


def _each_without(value: Any, known: Sequence[str]) -> Any:
    if isinstance(value, str):
        return _without(value, known) if len(value) >= _SHORTEST else value
    if isinstance(value, Mapping):
        return {key: _each_without(inner, known) for key, inner in value.items()}
    return [_each_without(inner, known) for inner in value] if isinstance(value, list) else value


def _known(ask_hub: bool) -> Iterator[str]:
    """Secrets that this process was given: variables of the environment, the log-in of the Hub."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _VARIABLE.search(name):
            yield value
        elif "://" in value and "@" in value:
            with contextlib.suppress(ValueError):
                password = urlsplit(value).password or ""
                yield from {one for one in (password, unquote(password)) if len(one) >= _SHORTEST}
    # Its token may be in a file. Who has not imported the client has sent it nowhere.
    if ask_hub and (client := sys.modules.get("huggingface_hub")) is not None:
        with contextlib.suppress(Exception):
            if (token := client.get_token()) and len(token) >= _SHORTEST:
                yield token
