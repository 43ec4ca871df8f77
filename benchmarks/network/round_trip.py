"""From a run to private repositories on the Hub, back, and nothing left behind."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from journal import Outcome
from steps import Network

import hubtools
from hubtools.common.errors import UserError

SAME = 1e-4  # of two predictions by the same weights


class RoundTrip:
    """A model, its pull request, its Space and results, to private repositories with names of chance, and back.

    What it deletes is what stands in the journal, where a name is put once the Hub has said that there is no such repository.
    """

    def __init__(self, network: Network) -> None:
        self.network, self.journal = network, network.journal
        self.parts: dict[str, Callable[[], Outcome]] = {
            "publish": self.publish,
            "tag": self.tag,
            "pull request": self.pull_request,
            "space": self.space,
            "results": self.results,
            "read back": self.read_back,
        }
        self.repos: dict[str, str] = {}
        self.runs: list[Any] = []

    def run(self) -> None:
        """All parts, one after the other; then what was made is deleted, also where a part failed or somebody stopped it."""
        from huggingface_hub import get_token

        if self.journal.made:
            self.journal.do("hub delete", self.delete, again=True)
        if all(self.journal.kept(f"hub {part}") for part in [*self.parts, "delete"]):
            return
        if get_token() is None:
            why = "there is no token: hf auth login, or set HF_TOKEN"
            self.journal.do("hub publish", lambda: Outcome(why, "not run"))
            return
        going = True
        try:
            for part, work in self.parts.items():
                missed = Outcome("a part before it failed", "not run")
                going = self.journal.do(f"hub {part}", work if going else lambda missed=missed: missed, again=True)
        finally:
            self.journal.do("hub delete", self.delete, again=True)

    def publish(self) -> Outcome:
        """The model with its Space, private, by the command that users have."""
        from hubtools.publishing.access import who_am_i

        access = who_am_i()
        if access is None:
            raise UserError("the token belongs to a repository", fix="Use one of a person.")
        self.runs = self.network.probes(self.network.catalogue.checkpoints[0], [1, 2])
        name = f"{access.name}/bench-network-{secrets.token_hex(8)}"
        self.repos = {"model": name, "space": f"{name}-demo", "dataset": f"{name}-results"}
        for kind, repo in self.repos.items():
            self.intend(kind, repo)
        done = hubtools.publish(self.runs[0].folder, name, push=True, private=True, space=self.repos["space"])
        if not done.private:
            return Outcome(f"{name} is not private", "failed")
        return Outcome(
            f"{len(done.publication.files)} files, private, read back and identical", facts={"url": done.url}
        )

    def intend(self, kind: str, repo: str) -> None:
        """Note that a repository will be ours.

        Raises:
            UserError: there is one of that name: it is not touched.
        """
        from hubtools.common.hub import hub_api, hub_errors

        with hub_errors(f"{kind} {repo}"):
            if hub_api().repo_exists(repo, repo_type=kind):
                raise UserError("it is there already, and not ours", where=f"{kind} {repo}", fix="Run it again.")
        self.journal.made.append((kind, repo))
        self.journal.write()

    def tag(self) -> Outcome:
        """The run under its own revision."""
        revision = f"run-{self.runs[0].record.run_id}"
        _same_records(hubtools.results(f"hub://{self.repos['model']}@{revision}"), self.runs[:1])
        return Outcome(f"revision {revision} holds the run")

    def pull_request(self) -> Outcome:
        """Another seed as a pull request, which changes nothing on main."""
        repo = self.repos["model"]
        done = hubtools.publish(self.runs[1].folder, repo, push=True, pull_request=True)
        _same_records(hubtools.results(f"hub://{repo}@refs/pr/1"), self.runs[1:])
        _same_records(hubtools.results(f"hub://{repo}"), self.runs[:1])
        return Outcome("holds seed 2, main still seed 1", facts={"url": done.url})

    def space(self) -> Outcome:
        """The page that was published with the model."""
        from hubtools.common.hub import hub_api, hub_errors

        repo = self.repos["space"]
        with hub_errors(f"Space {repo}"):
            info = hub_api().space_info(repo)
        files = sorted(one.rfilename for one in info.siblings or [])
        facts = {"files": files}
        if "app.py" not in files or not info.private:
            return Outcome("it is not private, or has no app.py", "failed", facts)
        return Outcome(f"private, {len(files)} files, among them app.py", facts=facts)

    def results(self) -> Outcome:
        """Both records as a data set, and back."""
        repo, runs = self.repos["dataset"], self.runs[0].folder.parent
        hubtools.board(str(runs)).push_results(repo, private=True)
        found = hubtools.results(f"hub://{repo}")
        _same_records(found, self.runs)
        return Outcome(f"{len(found)} records, as they were sent")

    def read_back(self) -> Outcome:
        """The model from the Hub says what the run's own does."""
        proteins = {"one": "MKTAYIAKQRQISFVKSHFSRQ", "two": "GSHMADEEKLPPGWEKRMSRS"}
        there, here = (hubtools.predict(model, proteins) for model in (self.repos["model"], str(self.runs[0].folder)))
        apart = max(float(abs(one.scores - other.scores).max()) for one, other in zip(there, here, strict=True))
        if not apart <= SAME:
            return Outcome(f"predictions are {apart:.2g} apart", "failed")
        return Outcome(f"predictions are those of the run (largest difference {apart:.1g})")

    def delete(self) -> Outcome:
        """Every repository that stands in the journal; one that is gone is struck out there."""
        from hubtools.common.hub import hub_api, hub_errors

        if not self.journal.made:
            return Outcome("there is nothing to delete", "not run")
        deleted, wrong = 0, []
        for kind, repo in list(self.journal.made):
            try:
                with hub_errors(f"{kind} {repo}"):
                    hub_api().delete_repo(repo, repo_type=kind, missing_ok=True)
                    if hub_api().repo_exists(repo, repo_type=kind):
                        raise UserError("it is still there", where=f"{kind} {repo}")
            except UserError as error:
                wrong.append(f"{error} To delete it yourself: hf repos delete {repo} --type {kind}")
                continue
            deleted += 1
            self.journal.made.remove((kind, repo))
            self.journal.write()
        if wrong:
            return Outcome(f"{wrong[0]} (the same command tries again)", "failed")
        return Outcome(f"{deleted} repositories, none is left")


def _same_records(found: Sequence[Any], expected: Sequence[Any]) -> None:
    """Raises: UserError: they are not the same runs with the same scores."""
    there, here = ({run.record.run_id: run.record.score().value for run in runs} for runs in (found, expected))
    if there != here:
        raise UserError(f"the Hub gives {there}, and {here} was sent")
