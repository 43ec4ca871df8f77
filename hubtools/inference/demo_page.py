"""A page on which somebody pastes a sequence and reads what a model says of it (Gradio)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubtools.common.errors import UserError
from hubtools.common.inside import inside
from hubtools.data.rows.chain_breaks import BREAK, residues_in
from hubtools.data.structures.chains import ENDINGS, kind_of
from hubtools.inference.asking import Protein
from hubtools.inference.decisions import Decided, Decider
from hubtools.inference.drawing import answer_html, headline, message
from hubtools.inference.predictor import Predictor
from hubtools.inference.proteins import Unreadable, nucleotides, pasted, read_proteins
from hubtools.inference.writers import writing
from hubtools.reporting.answer_style import CSS

INSTALL = 'pip install "plm-hubtools[demo]"'
# Of the pages that a page may ask for, none: these fonts are the reader's own.
_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
# What may be uploaded, and, where it can be painted, a structure.
FILES = (".fasta", ".fa", ".faa", ".gz", ".csv", ".tsv", ".xlsx", ".txt")
Paint = Callable[[str, Sequence[Decided]], str]
# Seconds for which a table can be downloaded: what strangers paste does not stay on a server.
KEPT = 3600
EXAMPLES = {
    "Ubiquitin": "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG",
    "Magainin 2": "GIGKFLHSAKKFGKAFVGEIMNS",
    "Insulin precursor, human": "MALWMRLLPLLALLALWGPDPAAAFVNQHLCGSHLVEALYLVCGERGFFYTPKTRREAEDLQVGQVELGGGPGAGSLQPLALEGSLQKRG"
    "IVEQCCTSICSLYQLENYCN",
}
EXAMPLE_PAIR = ("GIVEQCCTSICSLYQLENYCN", "FVNQHLCGSHLVEALYLVCGERGFFYTPKT")


@dataclass(frozen=True)
class Limits:
    """What one request may ask for.

    Attributes:
        proteins: most proteins.
        residues: most residues in all.
    """

    proteins: int = 500
    residues: int = 500_000


@dataclass(frozen=True)
class PageAnswer:
    """What the page shows: a message, or answers, what is to be doubted of them, the file that holds them as a table, and
    HTML of the structure that was uploaded.
    """

    message: str = ""
    warning: str = ""
    answers: tuple[Decided, ...] = ()
    table: str | None = None
    painted: str = ""


class DemoService:
    """Takes what people paste, and answers in words that a page can show.

    Args:
        predictor: the model.
        limits: of one request.
        paint: makes HTML of a structure file and what is predicted of its residues; None: no structures are taken.
    """

    def __init__(self, predictor: Predictor, limits: Limits, paint: Paint | None = None) -> None:
        self.paint = paint if predictor.problem.level.by_residue else None
        self.predictor, self.limits, self.decider = predictor, limits, Decider(predictor)
        self.chains = predictor.task.data.chain_names
        # Written anew for each answer: gradio serves a copy, which it forgets after KEPT.
        self._folder = tempfile.TemporaryDirectory(prefix="bench-demo-")

    def ask(self, text: str, file: str | None = None, partner: str = "") -> PageAnswer:
        """Predict for pasted text, or for a file.

        Args:
            text: a bare sequence or FASTA.
            file: path of an uploaded file, which comes first.
            partner: of pair tasks, the second sequence.
        """
        try:
            proteins = list(self._read(text, file, partner))
            answers = tuple(map(self.decider.decide, self.predictor.predict(proteins)))
            painted = self.paint(file, answers) if self.paint and file and kind_of(Path(file)) in ENDINGS else ""
        except UserError as error:
            return PageAnswer(
                message=" ".join(
                    part
                    for part in (f"{_sentence(error.what)}.", error.where and f"Where: {error.where}.", error.fix)
                    if part
                )
            )
        odd = [one.id for one in proteins if nucleotides(one.sequence)]
        warning = ""
        if odd:
            which = f"{', '.join(odd[:3])}{' …' if len(odd) > 3 else ''}"
            warning = f"This looks like DNA or RNA, and was read as a protein: {which}. Translate it first."
        return PageAnswer(warning=warning, answers=answers, table=self._table(answers), painted=painted)

    def _read(self, text: str, file: str | None, partner: str) -> Iterator[Protein]:
        if file:
            found: Iterable[Protein | Unreadable] = read_proteins(
                file, pairs=self.predictor.problem.level.proteins > 1, chains=self.chains, on_labels=None
            )
        elif self.predictor.problem.level.proteins > 1:
            first, second = (_only(pasted(one)) for one in (text, partner))
            found = [Protein("pair", first.sequence, second.sequence)]
        else:
            found = pasted(text, self.chains)
        residues = 0
        for number, one in enumerate(found, start=1):
            if isinstance(one, Unreadable):
                raise one.error
            residues += residues_in(one.sequence) + len(one.partner or "")
            if number > self.limits.proteins or residues > self.limits.residues:
                raise UserError(
                    f"that is more than this page takes at once ({self.limits.proteins:,} proteins, "
                    f"{self.limits.residues:,} residues)",
                    fix="Ask for fewer, or use bench predict on your own machine.",
                )
            yield one

    def _table(self, answers: tuple[Decided, ...]) -> str:
        path = inside(Path(self._folder.name), f"{self.predictor.record.identity.task.name}.tsv")
        with writing(str(path), self.decider, {}) as writer:
            for answer in answers:
                writer.write(answer)
        return str(path)

    def summary(self, answers: tuple[Decided, ...]) -> list[list[Any]]:
        """One row a protein: id, length, what is predicted in short, and how sure the model is of it."""
        return [
            [one.answer.protein.id, residues_in(one.answer.protein.sequence), self._short(one), self._sure(one)]
            for one in answers
        ]

    def _sure(self, one: Decided) -> str:
        """The probability of what is predicted; over residues its mean; the likeliest of all where nothing is predicted."""
        if self.predictor.problem.kind == "regression" or not len(one.scores):
            return "–"
        places = {name: place for place, name in enumerate(self.decider.names)}
        rows = [
            [row[places[label]] for label in labels if label in places] or [row.max()]
            for row, labels in zip(one.scores, one.labels, strict=True)
        ]
        if self.predictor.problem.level.by_residue:
            return f"{sum(map(max, rows)) / len(rows):.2f} (mean)"
        return ", ".join(f"{value:.2f}" for value in rows[0])

    def _short(self, one: Decided) -> str:
        if self.predictor.problem.kind == "regression":
            return f"{float(one.scores.mean()):.4g}" if len(one.scores) else "–"
        counts: dict[str, int] = {}
        for labels in one.labels:
            for label in labels:
                counts[label] = counts.get(label, 0) + 1
        if not self.predictor.problem.level.by_residue:
            return ", ".join(counts) or "none"
        only = self.predictor.task.metrics.positive
        return ", ".join(f"{label} {n:,}" for label, n in counts.items() if only in {None, label}) or "none"


def build(predictor: Predictor, limits: Limits | None = None, paint: Paint | None = None) -> Any:
    """The page: a ``gradio.Blocks``, not yet served.

    Args:
        predictor, limits, paint: as of :class:`DemoService`.

    Raises:
        UserError: gradio is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio as gr
    except ImportError:
        raise UserError("the page needs gradio, which is not installed", fix=f"{INSTALL}.") from None
    desk = DemoService(predictor, limits or Limits(), paint)
    pairs = predictor.problem.level.proteins > 1
    together = f" ({', '.join(desk.chains)}, with : between)" if desk.chains else ""
    with gr.Blocks(title=f"{predictor.task.title} · bench", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gr.HTML(headline(predictor))
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                text = gr.Textbox(
                    label="First protein" if pairs else f"Sequence{together}, or several in FASTA",
                    placeholder="MKTAYIAKQR…   or   >name\nMKTAYIAKQR…"
                    if not together
                    else BREAK.join(["MKTAYIAKQR…"] * len(desk.chains)),
                    lines=4 if pairs else 7,
                    max_lines=14,
                    elem_id="sequence",
                )
                partner = gr.Textbox(label="Second protein", lines=4, max_lines=14, visible=pairs, elem_id="partner")
                button = gr.Button("Predict", variant="primary", elem_id="predict")
                file = gr.File(
                    label=f"Or a file: {'a structure (PDB, mmCIF), ' if desk.paint else ''}FASTA, Excel, CSV or TSV",
                    file_types=[*FILES, *(ENDINGS if desk.paint else ())],
                    height=120,
                )
                _examples(gr, predictor, text, partner)
            with gr.Column(scale=7, min_width=320):
                chosen = gr.Dropdown(label="Protein", visible=False, elem_id="chosen")
                shown = gr.HTML('<p class="b-small">The answer appears here.</p>', elem_id="answer")
                painted = gr.HTML(visible=False, elem_id="painted")
                table = gr.Dataframe(
                    headers=["id", "length", "predicted", "probability"],
                    label="All of them",
                    visible=False,
                    interactive=False,
                    elem_id="all",
                )
                download = gr.DownloadButton("Download the table (TSV)", visible=False, elem_id="download")
        answers = gr.State(())

        def asked(text: str, partner: str, file: str | None) -> list[Any]:
            told = desk.ask(text or "", file, partner or "")
            if told.message:
                return [
                    (),
                    message(told.message),
                    gr.update(visible=False),
                    gr.update(visible=False),
                    gr.update(visible=False),
                    gr.update(visible=False),
                ]
            several = len(told.answers) > 1
            # Two proteins of one name are still two.
            names = [(f"{i}. {one.answer.protein.id}", i - 1) for i, one in enumerate(told.answers, start=1)]
            return [
                told.answers,
                (message(told.warning) if told.warning else "") + answer_html(desk.decider, told.answers[0]),
                gr.update(choices=names, value=0, visible=several),
                gr.update(value=desk.summary(told.answers), visible=several),
                gr.update(value=told.table, visible=True),
                gr.update(value=told.painted, visible=bool(told.painted)),
            ]

        def chose(answers: tuple[Decided, ...], index: int | None) -> str:
            return answer_html(desk.decider, answers[index or 0]) if answers else ""

        outputs = [answers, shown, chosen, table, download, painted]
        gr.on(
            [button.click, text.submit],
            asked,
            [text, partner, file],
            outputs,
            api_name="predict",
            show_progress="minimal",
        )
        chosen.input(chose, [answers, chosen], shown, api_visibility="private")
    return page


def serve(page: Any, *, host: str, port: int, browser: bool) -> str:
    """Serve the page from this process; its address.

    Raises:
        UserError: the port is taken.
    """
    import gradio as gr

    theme = gr.themes.Default(primary_hue="blue", neutral_hue="slate", font=list(_FONTS), font_mono=list(_MONO))
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            inbrowser=browser,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            theme=theme,
            css=CSS,
            footer_links=[],
            show_error=False,
            ssr_mode=False,
        )
    except OSError:
        raise UserError(f"port {port} is taken", where=host, fix=f"Choose another: --port {port + 1}.") from None
    return str(address)


def _examples(gr: Any, predictor: Predictor, text: Any, partner: Any) -> None:
    if max(getattr(predictor.model.config, "pool_positions", None) or [-1]) >= 0:
        # It reads variants of one protein alone.
        return
    if predictor.problem.level.proteins > 1:
        gr.Examples([list(EXAMPLE_PAIR)], [text, partner], label="An example: the two chains of insulin")
        return
    if predictor.task.chains > 1:
        chains = [EXAMPLE_PAIR[place % 2] for place in range(predictor.task.chains)]
        gr.Examples([BREAK.join(chains)], [text], label="An example: the two chains of insulin")
        return
    letters = predictor.task.data.candidates
    fitting = {name: seq for name, seq in EXAMPLES.items() if not letters or any(letter in seq for letter in letters)}
    gr.Examples(
        [[f">{name}\n{sequence}"] for name, sequence in fitting.items()],
        [text],
        label="Examples",
        example_labels=list(fitting),
    )


def _only(found: Iterable[Protein | Unreadable]) -> Protein:
    one = next(iter(found))
    if isinstance(one, Unreadable):
        raise one.error
    return one


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
