#!/usr/bin/env bash
# Trains on a plain list of hosts, one process on each. When a process is lost, restarts all
# of them from the newest checkpoint.
#
#   HOSTS="gpu-1 gpu-2" tools/launch/hosts.sh configs/train/sa1b_vit_b.py --out /shared/run
#
# Every host needs this repository at the same path with its environment in .venv, the
# data, and --out on a file system that all of them see; this one reaches them by ssh
# without a password. Process 0 is on the first host, where the others find it at PORT.
# A host named `local` is this machine, without ssh: HOSTS="local local" is two processes.
#
#   PORT      where process 0 listens                        (default: 8476)
#   ATTEMPTS  how often all are started before giving up     (default: 10)
#   SAMJAX    the command there                              (default: .venv/bin/samjax)
#
# On SIGTERM or Ctrl-C it sends SIGTERM to all processes; they save a checkpoint and exit.
#
# Tested over ssh with two addresses of one machine as hosts: a complete run, a run in which
# one process was killed (it continued from the newest checkpoint without intervention), and
# a run that received SIGTERM. Not tested on several machines.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
port=${PORT:-8476}
read -ra hosts <<<"${HOSTS:?name the hosts: HOSTS=\"a b\" tools/launch/hosts.sh CONFIG ...}"
read -ra samjax <<<"${SAMJAX:-.venv/bin/samjax}"
first=${hosts[0]}
[[ $first == local ]] && first=127.0.0.1

start_all() {
  local failed=0
  pids=()
  for rank in "${!hosts[@]}"; do
    local words=("${samjax[@]}" train "$@" --resume --distributed
      "$first:$port,$rank,${#hosts[@]}")
    if [[ ${hosts[rank]} == local ]]; then
      (cd "$here" && exec "${words[@]}") &
    else
      # A terminal (-tt), so that the process ends with the connection.
      ssh -tt "${hosts[rank]}" "cd $(printf %q "$here") && exec$(printf ' %q' "${words[@]}")" &
    fi
    pids+=($!)
  done
  trap ask_to_end TERM INT
  for pid in "${pids[@]}"; do
    # A wait that a signal cuts short is taken up again.
    while kill -0 "$pid" 2>/dev/null; do wait "$pid"; done
    wait "$pid" || failed=1
  done
  return $failed
}

# The signal is sent on the hosts: ending ssh would hang up on the processes before they save.
ask_to_end() {
  stopped=1
  for rank in "${!hosts[@]}"; do
    if [[ ${hosts[rank]} == local ]]; then
      kill -TERM "${pids[rank]}" 2>/dev/null
    else
      ssh "${hosts[rank]}" "pkill -TERM -f $(printf %q \
        "^[^ ]*python.* --distributed $first:$port,$rank,${#hosts[@]}( |\$)")" &
    fi
  done
}

stopped=0
for attempt in $(seq "${ATTEMPTS:-10}"); do
  start_all "$@" && exit 0
  ((stopped)) && exit 130
  echo "$0: attempt $attempt ended early" >&2
  sleep 5
done
echo "$0: gave up after ${ATTEMPTS:-10} attempts" >&2
exit 1
