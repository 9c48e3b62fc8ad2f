"""What Ray reads from the environment once, when it is imported: must be imported before it."""

import os

# Of workers and nodes that are lost the user is told by `Progress`, not by the raylet on stdout.
os.environ.setdefault(
    "RAY_DEDUP_LOGS_SKIP_REGEX", "worker died|Workers|killed|marked dead|Raylet is"
)
