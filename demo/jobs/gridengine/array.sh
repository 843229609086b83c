#!/bin/sh
#$ -N sweep
#$ -q htc
#$ -t 1-40
#$ -l mem_free=256M
#$ -cwd
#$ -j y
#$ -o sweep-$JOB_ID.$TASK_ID.log

sleep 1
echo "task ${SGE_TASK_ID} on $(hostname)"
