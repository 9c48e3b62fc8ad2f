#!/usr/bin/env bash
# Runs a sweep on several nodes of a Slurm cluster: Ray starts on all of them, the sweep on the
# first, and everything ends with it. The same command continues what was interrupted.
#
#   sbatch --nodes 4 sweeps/cluster/slurm.sh --storage /shared/results/study [OPTION ...]
#
# Options of sbatch stand before the script, options of the sweep behind it. Submit it in raylot's
# folder, on a file system that all nodes see, with the environment's bin folder on PATH.
#SBATCH --job-name=raylot
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
# Ray takes whole nodes: it refuses to start beside another Ray, and ends by stopping all there is.
#SBATCH --exclusive
#SBATCH --time=24:00:00
# A job that lost a node or made way for another starts again, and continues.
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH=${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}
if [[ ! -s $RAY_AUTH_TOKEN_PATH ]]; then
    mkdir -p "$(dirname "$RAY_AUTH_TOKEN_PATH")"
    (umask 077 && python -c 'import secrets; print(secrets.token_hex(32), end="")' \
        > "$RAY_AUTH_TOKEN_PATH")
elif [[ -O $RAY_AUTH_TOKEN_PATH ]]; then
    chmod 600 "$RAY_AUTH_TOKEN_PATH" # Ray itself lets everybody read what it makes
fi
# Nodes may take their time; Ray alone would wait half a minute for the others, and for the first.
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=${RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT:-300}
export RAY_py_gcs_connect_timeout_s=${RAY_py_gcs_connect_timeout_s:-300}

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
address=${nodes[0]}:${RAY_PORT:-6379}
# Each trial takes one CPU if the sweep is not told otherwise: as many as Slurm granted.
cpus=${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-$(nproc)}}

# The status of `ray symmetric-run` says little: it is 0 if Ray did not start, and may be 1 if all went
# well, because it stops the Ray that it is connected to. So the sweep leaves its own status here.
ended=$PWD/.raylot-ended-$SLURM_JOB_ID
trap 'rm -f "$ended"' EXIT
rm -f "$ended"

# shellcheck disable=SC2016  # expanded by the bash that it starts
srun --nodes="${#nodes[@]}" --ntasks="${#nodes[@]}" --ntasks-per-node=1 --cpus-per-task="$cpus" \
    ray symmetric-run --address "$address" --min-nodes "${#nodes[@]}" \
    --num-cpus="$cpus" --disable-usage-stats -- \
    bash -c '"${@:2}"; echo $? > "$1"' bash "$ended" \
    python "${SWEEP:-sweeps/ticket_count_vs_plasticity.py}" --address "$address" "$@" || true
if [[ ! -s $ended ]]; then
    echo "error: Ray did not start, or the sweep was killed; see above" >&2
    exit 1
fi
exit "$(< "$ended")"
