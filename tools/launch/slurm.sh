#!/usr/bin/env bash
# Trains as a SLURM job, one process per GPU (or per node, on CPUs). When a node is lost or
# the time limit is reached, the job requeues itself and resumes from the newest checkpoint.
#
#   sbatch --nodes=2 --gpus-per-node=8 --ntasks-per-node=8 --time=24:00:00 \
#       tools/launch/slurm.sh configs/train/sa1b_vit_b.py --out /shared/run
#
# Submit it from the repository, with its environment in .venv; the data and --out have to
# be on file systems that all nodes see. Two minutes before the end SLURM sends SIGTERM to
# every process: they agree on a step, save a checkpoint of it and exit.
#
# Not tested: no SLURM cluster was available. The address of process 0, the ranks and the
# GPUs of a task come from JAX's own detection of SLURM.
#SBATCH --job-name=samjax
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
set -uo pipefail

cd "${SLURM_SUBMIT_DIR:?submit this script with sbatch}"
srun --kill-on-bad-exit=1 .venv/bin/samjax train "$@" --resume --distributed slurm
status=$?

# 130: the run was signalled to stop before its last step. Any other nonzero code means that
# a process was lost or failed; ten restarts suffice for lost nodes and bound a run that
# always fails.
if ((status != 0 && ${SLURM_RESTART_COUNT:-0} < 10)); then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
