#!/bin/sh
# One SLURM task a run of the grid, without Dask:   sbatch data/cluster/slurm-array.sh
#SBATCH --job-name=hkt
#SBATCH --array=0-64
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=04:00:00
export HKT_RUNS=/shared/hkt/runs HKT_DATA=/shared/hkt/data OMP_NUM_THREADS=1
exec hkt grid data/grids/cifar10-cpu.yaml --index "$SLURM_ARRAY_TASK_ID"
