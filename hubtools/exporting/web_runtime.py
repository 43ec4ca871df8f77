"""onnxruntime-web, which runs graphs in a browser: one version, from npm, its files pinned by checksum and not kept here.

To renew it: ``npm pack onnxruntime-web@VERSION``, then VERSION, the sha256 of the package and those of :data:`FILES` below, and
the tests of the page in a browser.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

from hubtools.common.errors import UserError
from hubtools.common.files import is_file, is_folder, replacing_folder
from hubtools.common.hashing import file_sha256
from hubtools.common.readers import reads

VERSION, LICENCE = "1.30.0", "MIT"
ADDRESS = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
# Of the package: sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ== at npm.
PACKAGE = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
# The build for processors: WebAssembly with SIMD and threads.
PROCESSOR = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
# The build that computes by WebGPU, for browsers whose WebAssembly may wait (JSPI). That for those that may not has 27 MB.
GRAPHICS = {
    "ort.jspi.min.mjs": "bc57179d923fda2d88d4a395359c8df44399dde087bf9ff44fc0e40ab398e4d9",
    "ort-wasm-simd-threaded.jspi.mjs": "270e2c6da9f297239d301d329782b6446641cb1e16a77967690adcfca35f3268",
    "ort-wasm-simd-threaded.jspi.wasm": "a54c76f86b0f0d9572380cf1c6292a7b3903716ffcbcd6b0e5c7050bf430eb93",
}
FILES = PROCESSOR | GRAPHICS
# What the package has its files in, and what says that a folder holds them.
_INSIDE, _FIRST = "package/dist/", "ort.wasm.min.mjs"


def web_runtime(given: Path | None = None, mirrors: Sequence[Path] = ()) -> dict[str, Path]:
    """The files of onnxruntime-web by name: from a given folder, else from the cache of data, which fetches the package once.

    Args:
        given: a folder that holds them, or an unpacked package.
        mirrors: folders in which the package may lie under its sha256.

    Raises:
        UserError: they are not there, or are other files than those that the page was tested with.
    """
    if given is not None:
        return _in_folder(given)
    from hubtools.common.cache_folder import usable_cache_folder
    from hubtools.data import DataCache
    from hubtools.specs.data_sources import UrlFile

    folder = usable_cache_folder() / "onnxruntime-web" / VERSION
    if not all(is_file(folder / name) and file_sha256(folder / name) == sha256 for name, sha256 in FILES.items()):
        # It is no table; of what kind a file is matters to who reads it, and not to the cache.
        package = DataCache.default(mirrors).fetch(UrlFile(url=ADDRESS, sha256=PACKAGE, format="tsv"))
        with replacing_folder(folder, _FIRST) as staging:
            _unpack(package, staging)
    return {name: folder / name for name in FILES}


@reads("folder of onnxruntime-web")
def _in_folder(given: Path) -> dict[str, Path]:
    if not is_folder(given):
        raise UserError("there is no such folder", where=str(given), fix="Correct --runtime.")
    found = {}
    for name, sha256 in FILES.items():
        path = next((path for path in (given / name, given / "dist" / name) if is_file(path)), None)
        if path is None or file_sha256(path) != sha256:
            what = "does not hold" if path is None else "has another"
            raise UserError(
                f"it {what} {name} of onnxruntime-web {VERSION}",
                where=str(given),
                fix=f"Get it: npm pack onnxruntime-web@{VERSION}, and unpack it; or leave --runtime out, and bench fetches it.",
            )
        found[name] = path
    return found


def _unpack(package: Path, folder: Path) -> None:
    """The files that the page needs, of a package whose checksum was right."""
    with tarfile.open(package, "r:gz") as archive:
        for name in FILES:
            stream = archive.extractfile(f"{_INSIDE}{name}")
            assert stream is not None
            with stream, (folder / name).open("wb") as target:
                while block := stream.read(1 << 20):
                    target.write(block)
