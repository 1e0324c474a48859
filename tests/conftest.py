"""What holds for every test: nobody's own home, settings or keys, and the same examples in each run."""

import os
import tempfile

from hypothesis import settings

_OWN = ("_API_KEY", "_BASE_URL", "DYNAROUTE_")


def _leave_home() -> None:
    """Before anything of ours is imported: paths below the home folder are settled then."""
    os.environ["HOME"] = tempfile.mkdtemp(prefix="dynaroute-tests-")
    for name in [name for name in os.environ if any(mark in name for mark in _OWN)]:
        del os.environ[name]


_leave_home()
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
