"""A branch of its own and a request to merge it, on GitHub or GitLab; elsewhere the branch alone."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

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
        try:
            _pull_request(os.environ["GITHUB_REPOSITORY"], name, target, title, text[:LIMIT])
        except (OSError, ValueError) as error:
            raise SlipwayError(
                f"the branch {name} is pushed, but no pull request could be opened: {_reason(error)}. Allow it under "
                "Settings, Actions, General, or open it by hand"
            ) from None
    return f"Proposed on the branch `{name}`: {title}"


def _pull_request(repository: str, head: str, base: str, title: str, text: str) -> None:
    place, owner = f"repos/{repository}/pulls", repository.partition("/")[0]
    there = _github("GET", f"{place}?state=open&head={owner}:{head}&base={base}")
    if there:
        _github("PATCH", f"{place}/{there[0]['number']}", {"title": title, "body": text})
    else:
        _github("POST", place, {"head": head, "base": base, "title": title, "body": text})


def _github(method: str, path: str, content: dict[str, str] | None = None) -> Any:
    url = f"{os.environ.get('GITHUB_API_URL', 'https://api.github.com')}/{path}"
    headers = {"Authorization": f"Bearer {os.environ.get('GH_TOKEN', '')}", "Accept": "application/vnd.github+json"}
    body = json.dumps(content).encode() if content else None
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310  (of GitHub's own settings)
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        return json.load(response)


def _reason(error: Exception) -> str:
    said = error.read().decode(errors="replace") if isinstance(error, urllib.error.HTTPError) else ""
    return " ".join(f"{error} {said}".split())
