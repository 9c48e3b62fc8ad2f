#!/usr/bin/env bash
# Runs a sweep as an array of jobs: each computes its share of the streams, and all that stands on
# them, on its own node and without the others. No Ray cluster is needed, and no job waits for
# another one. All write to the same storage.
#
#   sbatch --array=1-16 sweeps/cluster/slurm_array.sh --storage /shared/results/study [OPTION ...]
#   SHARES=16 sbatch --array=3,7 sweeps/cluster/slurm_array.sh --storage ... # these two again
#
# Options of sbatch stand before the script, options of the sweep behind it. Submit it in raylot's
# folder, on a file system that all nodes see, with the environment's bin folder on PATH.
#SBATCH --job-name=raylot
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --time=24:00:00
# A job that lost its node or made way for another starts again, and continues.
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

if [[ -z ${SLURM_ARRAY_TASK_ID:-} ]]; then
    echo "usage: sbatch --array=1-N $0 --storage FOLDER-OR-URI [OPTION ...]" >&2
    exit 2
fi
share=$SLURM_ARRAY_TASK_ID/${SHARES:-$SLURM_ARRAY_TASK_COUNT}
cpus=${SLURM_CPUS_PER_TASK:-1}
# Ray needs seconds to start, and two cores to be faster than none.
where=(--local)
if ((cpus > 1)); then
    where=(--address local --max-concurrent "$cpus")
fi
# As a job step, it is told by Slurm when its time is over.
exec srun --ntasks=1 --cpus-per-task="$cpus" \
    python "${SWEEP:-sweeps/ticket_count_vs_plasticity.py}" "${where[@]}" --share "$share" "$@"
