"""The git commit that a file comes from."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

#: Ends the name of a commit from which a file, or another one in its clone, may differ.
DIRTY = "-dirty"


def commit_of(file: Path) -> str | None:
    """Returns the commit of the git clone in whose folders a file lies.

    Returns:
        Its 40 digits, and ``-dirty`` if a file that git tracks has been changed since, or if git
        does not track the file itself. None without git, outside of clones, and for a file that
        git has been told to ignore (as a virtual environment).
    """
    head = _git(file.parent, "rev-parse", "HEAD")
    if head is None or _git(file.parent, "check-ignore", "--quiet", "--", file.name) is not None:
        return None
    is_tracked = _git(file.parent, "ls-files", "--error-unmatch", "--", file.name) is not None
    changed = _git(file.parent, "status", "--porcelain", "--untracked-files=no")
    return head + DIRTY * (changed != "" or not is_tracked)


def _git(folder: Path, *words: str) -> str | None:
    """Returns what git says about a folder; None if it fails, or takes half a minute."""
    # Variables such as GIT_DIR, which git sets for its hooks, name another clone.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *words],
            capture_output=True, text=True, check=True, timeout=30, env=variables,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
