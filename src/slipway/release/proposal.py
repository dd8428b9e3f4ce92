"""A branch of its own and a request to merge it, on GitHub or GitLab; elsewhere the branch alone."""

from __future__ import annotations

import os
from pathlib import Path

from slipway.http import Service
from slipway.problem import SlipwayError
from slipway.versioning import git

LIMIT = 60_000  # characters; GitHub takes 65,536


def propose(root: Path, remote: str, name: str, target: str, title: str, text: str) -> str:
    """Push HEAD as the branch `name` and open a request to merge it into `target`, or renew the one that is open.

    Gives one line that says so. Raises SlipwayError if the remote or GitHub refuses.
    """
    options = []
    if os.environ.get("GITLAB_CI"):  # it opens one at a push; an option has no line breaks
        said = {"target": target, "title": title, "description": text.replace("\n", "\\n")}
        options = ["merge_request.create", "merge_request.remove_source_branch"]
        options += [f"merge_request.{key}={value}" for key, value in said.items()]
    given = [word for option in options for word in ("-o", option)]
    git(root, "push", "--quiet", "--force", *given, remote, f"HEAD:refs/heads/{name}")
    if os.environ.get("GITHUB_ACTIONS"):
        _pull_request(os.environ["GITHUB_REPOSITORY"], name, target, title, text[:LIMIT])
    return f"Proposed on the branch `{name}`: {title}"


def _pull_request(repository: str, head: str, base: str, title: str, text: str) -> None:
    service = Service(os.environ.get("GITHUB_API_URL", "https://api.github.com"), key=os.environ.get("GH_TOKEN"))
    place, owner = f"/repos/{repository}/pulls", repository.partition("/")[0]
    answer = service.ask(f"{place}?state=open&head={owner}:{head}&base={base}")
    if answer.status == 200 and answer.content:
        number = answer.content[0]["number"]
        answer = service.ask(f"{place}/{number}", {"title": title, "body": text}, method="PATCH")
    elif answer.status == 200:
        answer = service.ask(place, {"head": head, "base": base, "title": title, "body": text})
    if not 200 <= answer.status < 300:
        raise SlipwayError(
            f"the branch {head} is pushed, but no pull request could be opened: {answer.status or 'no answer:'} "
            f"{answer.content}. Open it by hand, or allow it under Settings, Actions, General: "
            '"Allow GitHub Actions to create and approve pull requests"'
        )
