#!/usr/bin/env bash
# Trains on all hosts of a TPU pod slice on Google Cloud.
#
#   TPU=my-v5e-64 ZONE=us-west4-a tools/launch/tpu_pod.sh install
#   TPU=my-v5e-64 ZONE=us-west4-a tools/launch/tpu_pod.sh \
#       configs/train/sa1b_vit_b.py --out /mnt/shared/run
#
# `install` copies this repository to ~/samjax on every host and installs it there, with
# jax for TPUs. Then the same command starts the same program on every host; they find
# each other by the TPU metadata of the host and resume from the newest checkpoint if there
# is one. Repeat it after a preemption or a failure.
#
# --out and the data must be on a file system shared by all hosts: Filestore (NFS), or a
# bucket mounted with Cloud Storage FUSE. Paths that begin with gs:// are not supported.
#
# Not tested: no TPU was available. The commands are those of Google's documentation for
# `gcloud compute tpus tpu-vm`; the program for a pod was compiled, not run.
set -euo pipefail

: "${TPU:?name the TPU: TPU=... ZONE=... tools/launch/tpu_pod.sh CONFIG ...}"
: "${ZONE:?name its zone: ZONE=...}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

on_all_hosts() {
  gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="$1"
}

if [[ ${1:?name a config, or install} == install ]]; then
  archive=$(mktemp --suffix=.tar.gz)
  trap 'rm -f "$archive"' EXIT
  git -C "$here" archive --format=tar.gz --output="$archive" HEAD
  gcloud compute tpus tpu-vm scp "$archive" "$TPU:samjax.tar.gz" --zone="$ZONE" --worker=all
  on_all_hosts "mkdir -p samjax && tar -xzf samjax.tar.gz -C samjax && cd samjax &&
    python3 -m venv .venv && .venv/bin/pip install -q -e '.[train,tfds,tpu]'"
  exit
fi

on_all_hosts "cd samjax && .venv/bin/samjax train$(printf ' %q' "$@") --resume --distributed tpu"
