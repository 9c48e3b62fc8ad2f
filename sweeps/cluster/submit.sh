#!/usr/bin/env bash
# Submits a sweep to a Ray cluster that is running, as a job, and shows what it prints.
#
#   sweeps/cluster/submit.sh [--install] ADDRESS --storage FOLDER-OR-URI [OPTION OF THE SWEEP ...]
#
# ADDRESS is the cluster's dashboard, such as http://127.0.0.1:8265. --install makes the nodes
# install raylot's dependencies first. SWEEP names another script than the main study's.
# The cluster's token is read from RAY_AUTH_TOKEN_PATH (default: ~/.ray/auth_token).
set -euo pipefail
cd "$(dirname "$0")/../.."

environment=sweeps/cluster/job.yaml
if [[ ${1:-} == --install ]]; then
    environment=sweeps/cluster/job_installs.yaml
    shift
fi
if [[ ${1:-} != *://* ]]; then
    echo "usage: $0 [--install] http://HOST:PORT --storage FOLDER-OR-URI [OPTION ...]" >&2
    exit 2
fi
address=$1
shift

export RAY_AUTH_MODE=${RAY_AUTH_MODE:-token}
# Without --address: in a job, RAY_ADDRESS says which cluster it is.
exec ray job submit --address "$address" --working-dir . --runtime-env "$environment" -- \
    python "${SWEEP:-sweeps/ticket_count_vs_plasticity.py}" "$@"
