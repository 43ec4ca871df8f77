"""A check as JUnit XML, which GitLab, Jenkins and the test reporters of GitHub read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from hubtools.common.version import __version__
from hubtools.findings.arm_comparison import Comparison
from hubtools.findings.gate import Check
from hubtools.findings.wording import number
from hubtools.reporting.comparison.check_report import Sides, difference_text, headline

# What XML 1.0 does not allow in a document, not even as a reference.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(check: Check, sides: Sides) -> bytes:
    """One test case a comparison (class the task, name arm and metric), one more for its cost where that was compared.

    A loss that counts is a failure; so is what cannot be told, and what costs too much, where these fail the check: else they
    are skipped. What was not comparable is an error.
    """
    suite = ET.Element("testsuite", name="bench check")
    about = {
        "bench": __version__,
        "verdict": check.outcome,
        "baseline": sides.baseline,
        "candidate": sides.candidate,
        "split": check.split,
        "question": check.terms.question.value,
        "replicates": check.terms.replicates,
    }
    _properties(suite, about)
    for problem in check.problems:
        case = _case(suite, problem.split(":")[0].split(",")[0], "comparable")
        _child(case, "error", "not comparable", problem)
    for item in check.items:
        _quality(suite, item, check)
        _cost(suite, item, check)
    counts = {kind: len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "error", "skipped")}
    suite.set("tests", str(len(suite.findall("testcase"))))
    for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(attribute, str(counts[kind]))
    root = ET.Element("testsuites", {"name": _text(headline(check)), **{key: suite.get(key, "") for key in _COUNTS}})
    root.append(suite)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


_COUNTS = ("tests", "failures", "errors", "skipped")


def _quality(suite: ET.Element, item: Comparison, check: Check) -> None:
    case, found = _case(suite, item.task_name, f"{item.name} · {item.metric}"), item.difference
    means = dict(zip(("baseline", "candidate"), item.means, strict=True))
    values: dict[str, float | None] = {**means, "margin": item.margin}
    if not item.same:
        values |= {"difference": found.value, "low": found.low, "high": found.high, "detectable": found.detectable}
        values |= {"p": item.judgement.adjusted_p}
    _properties(case, {name: value for name, value in values.items() if value is not None} | {"verdict": item.verdict})
    text = (
        f"{item.verdict}: {' → '.join(map(number, item.means))}, "
        f"difference {difference_text(item)}: {item.judgement.reason}"
    )
    if item.verdict.fails:
        _child(case, "failure", item.verdict, text)
    elif not item.verdict.passes:
        _child(case, "failure" if check.terms.cannot_tell == "fail" else "skipped", item.verdict, text)


def _cost(suite: ET.Element, item: Comparison, check: Check) -> None:
    if not item.cost.ratios:
        return
    case = _case(suite, item.task_name, f"{item.name} · cost")
    _properties(case, {ratio.quantity: f"{ratio.ratio:.4g}" for ratio in item.cost.ratios})
    if over := item.cost.over:
        _child(case, "failure" if check.terms.cost == "fail" else "skipped", "cost", "; ".join(map(str, over)))


def _case(suite: ET.Element, task: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=_text(task), name=_text(name), time="0")


def _child(case: ET.Element, tag: str, kind: str, text: str) -> None:
    child = ET.SubElement(case, tag, message=_text(text))
    if tag != "skipped":
        child.set("type", kind)
        child.text = _text(text)


def _properties(parent: ET.Element, values: Mapping[str, object]) -> None:
    properties = ET.SubElement(parent, "properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", name=name, value=_text(value))


def _text(value: object) -> str:
    return _FORBIDDEN.sub("\ufffd", str(value))
