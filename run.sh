#!/usr/bin/env bash
# The environment, then the whole workflow.
#
#   bash run.sh [configs/x.yaml] [key=value …] [-- engine options]
#   bash run.sh --setup        make the environment and stop
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source environment.sh
make_environment requirements.txt
if [ "${1:-}" = --setup ]; then exit 0; fi
exec .venv/bin/polydx run "$@"
