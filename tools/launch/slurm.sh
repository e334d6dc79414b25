#!/usr/bin/env bash
# Trains as a SLURM job, one process per GPU (or per node, on CPUs), and puts itself back
# into the queue when a node is lost or the time is up, from the newest checkpoint.
#
#   sbatch --nodes=2 --gpus-per-node=8 --ntasks-per-node=8 --time=24:00:00 \
#       tools/launch/slurm.sh configs/train/sa1b_vit_b.py --out /shared/run
#
# Submit it from the repository, with its environment in .venv; the data and --out have to
# be on file systems that all nodes see. Two minutes before the end SLURM sends SIGTERM to
# every process: they agree on a step, save it and leave.
#
# Not run so far: there was no SLURM cluster. What samjax does in one (the address of
# process 0, ranks, GPUs of a task) is JAX's own detection of SLURM.
#SBATCH --job-name=samjax
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
set -uo pipefail

cd "${SLURM_SUBMIT_DIR:?submit this script with sbatch}"
srun --kill-on-bad-exit=1 .venv/bin/samjax train "$@" --resume --distributed slurm
status=$?

# 130: the run was asked to end before it was done. Anything else but 0 is a process that
# was lost or failed; ten restarts are enough for the first and too many for the second.
if ((status != 0 && ${SLURM_RESTART_COUNT:-0} < 10)); then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
