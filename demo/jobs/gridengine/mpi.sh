#!/bin/sh
#$ -N mpi_test
#$ -q hpc
#$ -pe mpi* 240
#$ -cwd
#$ -j y
#$ -o mpi_test-$JOB_ID.log

mpirun --map-by ppr:8:node --bind-to none ./mpi_test "mpi_test-${JOB_ID}.out"
