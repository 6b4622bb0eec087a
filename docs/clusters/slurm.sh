#!/usr/bin/env bash
# A search on Slurm: Ray on all nodes of the allocation, and one driver on the first. Submitted again, or requeued, it goes on.
#   sbatch docs/clusters/slurm.sh SETTINGS.toml /shared/runs/first
#SBATCH --job-name=daa
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# Two minutes before the time is over, this script is told, and not the steps.
#SBATCH --signal=B:TERM@120
set -euo pipefail

settings=${1:?give a settings file}
run=${2:?give a directory on a file system that all nodes share}

# Everyone in the cluster's network can reach Ray's ports: the token, in a file that only you can read, keeps strangers out.
export RAY_AUTH_MODE=${RAY_AUTH_MODE:-token}
if [ "$RAY_AUTH_MODE" = token ] && [ ! -f ~/.ray/auth_token ]; then
  (umask 077 && ray get-auth-token --generate > /dev/null)
fi

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
head_ip=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
# Jobs that share a node must not share a port.
port=$((20000 + SLURM_JOB_ID % 20000))
export RAY_ADDRESS=$head_ip:$port

# The driver needs its own address to be the head's, and not to stop Ray of others: no `ray stop` here, the steps end with the job.
srun --nodes=1 --ntasks=1 --nodelist="$head" --overlap \
  ray start --head --node-ip-address="$head_ip" --port="$port" --dashboard-host=127.0.0.1 --block &
for node in "${nodes[@]:1}"; do
  srun --nodes=1 --ntasks=1 --nodelist="$node" --overlap ray start --address="$RAY_ADDRESS" --block &
done

# The driver waits for no node: a search would refuse a cluster that is still too small.
python - "${#nodes[@]}" <<'WAIT'
import sys
import time

import ray

end = time.monotonic() + 600
while True:
    try:
        ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
        there = sum(node["Alive"] for node in ray.nodes())
        ray.shutdown()
    except (ConnectionError, RuntimeError, ValueError):
        there = 0
    if there >= int(sys.argv[1]):
        break
    if time.monotonic() > end:
        sys.exit(f"only {there} of {sys.argv[1]} nodes joined Ray in ten minutes: read the steps' output above")
    time.sleep(2)
WAIT

if [ -f "$run/settings.json" ]; then
  daa search --resume "$run" &
else
  daa search "$settings" --dir "$run" &
fi
driver=$!

requeue=
trap 'requeue=yes; kill -TERM "$driver"' TERM
code=0
wait "$driver" || code=$?
if [ -n "$requeue" ]; then
  # The first wait ended with the signal; the driver writes its reports before it leaves.
  wait "$driver" || true
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
