"""What all tests have: a report that explains a failure, and the options of a whole run."""

from __future__ import annotations

pytest_plugins = ["tests.shared.failure_report", "tests.shared.run_options"]
