#!/usr/bin/env bash
# Two nodes with two processes each: sbatch examples/ddp_slurm.sh
#SBATCH --job-name=lrsched
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --time=00:10:00
set -euo pipefail

# One torchrun a node; the first node is where they meet.
MEETING_POINT=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

srun torchrun \
  --nnodes "$SLURM_JOB_NUM_NODES" \
  --nproc-per-node "$SLURM_CPUS_PER_TASK" \
  --rdzv-id "$SLURM_JOB_ID" \
  --rdzv-backend c10d \
  --rdzv-endpoint "$MEETING_POINT:29500" \
  -m examples.ddp_torchrun
