"""3Dmol.js, which draws structures in a browser (Rego and Koes 2015, doi:10.1093/bioinformatics/btu829)."""

from __future__ import annotations

from hubtools.data.npm_package import NpmPackage

SCRIPT = "3Dmol-min.js"
MOL_3D = NpmPackage(
    "3dmol",
    "2.5.5",
    "BSD-3-Clause",
    # sha512-kqNHouGqq3YfW58174tdERvm0XYTmP0tavQKOqIw1ouc2OJ7epkXEFrtEkVXV0clBZT2Ze2xHRC/qxX0u0qCdw== at npm.
    "26d91c5036d4efe78fc032c22cb692fea92bbb3cb1e65d20bf3869673fb3d8f5",
    "package/build",
    {SCRIPT: "f7cc78921ae72e7623e89cdd111434f58c2efddd2ffda1cd212644b406fb8016"},
)
