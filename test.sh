#!/usr/bin/env bash
# The environment, then every check. Arguments go to pytest: bash test.sh -k thresholds
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source environment.sh
make_environment requirements.txt requirements-dev.txt
export PATH="$PWD/.venv/bin:$PATH" HF_HUB_OFFLINE=1
ruff format --check .
ruff check .
mypy
lint-imports
codespell
nbstripout --verify notebooks/*.ipynb
pytest "$@"
