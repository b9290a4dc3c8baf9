#!/usr/bin/env bash
# sbatch slurm.sh DATASET SEARCH: a chief on the first node, and a worker for each task but the first.
#SBATCH --job-name=seis-tf-tune
#SBATCH --ntasks=5
#SBATCH --cpus-per-task=2
#SBATCH --time=04:00:00
set -euo pipefail
dataset=$1 search=$2
chief=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export dataset search chief
srun bash -c '
  common=(tune cnn "$dataset" --out "$search" --trials 100 --oracle "$chief:9000")
  if [ "$SLURM_PROCID" -eq 0 ]; then exec seis-tf "${common[@]}" --role chief
  else exec seis-tf "${common[@]}" --role worker --worker-id "worker$SLURM_PROCID"; fi'
