/* Every rank says where it runs; rank 0 checks that all ranks were heard, and writes one file to the shared file system. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    int rank, size, length, sum = 0;
    char host[MPI_MAX_PROCESSOR_NAME] = "";

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Get_processor_name(host, &length);
    MPI_Reduce(&rank, &sum, 1, MPI_INT, MPI_SUM, 0, MPI_COMM_WORLD);

    char *hosts = rank == 0 ? calloc(size, sizeof host) : NULL;
    MPI_Gather(host, sizeof host, MPI_CHAR, hosts, sizeof host, MPI_CHAR, 0, MPI_COMM_WORLD);
    if (rank == 0) {
        FILE *out = fopen(argc > 1 ? argv[1] : "mpi_test.out", "w");
        if (out == NULL || sum != size * (size - 1) / 2)
            MPI_Abort(MPI_COMM_WORLD, 1);
        fprintf(out, "ranks %d sum %d\n", size, sum);
        for (int i = 0; i < size; i++)
            fprintf(out, "rank %d on %s\n", i, hosts + i * sizeof host);
        fclose(out);
        free(hosts);
    }
    MPI_Finalize();
    return 0;
}
