#!/usr/bin/env bash
# One study, many workers: a SLURM array, or any other way to start this script several times.
#
#   sbatch --array=0-7 docs/tune_array.sh CONFIG STORAGE OUT [OPTIONS]
#
# Task 0 makes the study, takes trials, and in the end trains the winner and writes the results;
# the others only take trials. All must see the data and the storage: a database URL such as
# postgresql://user:password@host/graphrec, or on a shared file system the path of a journal file.
set -euo pipefail
config=$1 storage=$2 out=$3
shift 3
if [ "${SLURM_ARRAY_TASK_ID:-0}" = 0 ]; then
  exec graphrec tune "$config" --storage "$storage" --out "$out" "$@"
fi
exec graphrec tune "$config" --storage "$storage" --join "$@"
