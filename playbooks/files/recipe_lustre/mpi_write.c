/* Every rank writes its own MiB of one file by MPI-IO and reads its neighbour's back; rank 0 says how much was right. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK (1 << 20)

static char own[BLOCK], other[BLOCK], expected[BLOCK];

static void check(int status, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;

    if (status == MPI_SUCCESS)
        return;
    MPI_Error_string(status, text, &length);
    fprintf(stderr, "%s: %s\n", what, text);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

int main(int argc, char **argv)
{
    int rank, size, good, right = 0;
    MPI_File file;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE\n", argv[0]);
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    int neighbour = (rank + 1) % size;
    memset(own, 'a' + rank % 26, BLOCK);
    memset(expected, 'a' + neighbour % 26, BLOCK);
    check(MPI_File_open(MPI_COMM_WORLD, argv[1], MPI_MODE_CREATE | MPI_MODE_RDWR, MPI_INFO_NULL, &file), "open");
    check(MPI_File_write_at_all(file, (MPI_Offset)rank * BLOCK, own, BLOCK, MPI_CHAR, MPI_STATUS_IGNORE), "write");
    check(MPI_File_sync(file), "sync");
    MPI_Barrier(MPI_COMM_WORLD);
    check(MPI_File_sync(file), "sync");
    check(MPI_File_read_at_all(file, (MPI_Offset)neighbour * BLOCK, other, BLOCK, MPI_CHAR, MPI_STATUS_IGNORE), "read");
    check(MPI_File_close(&file), "close");
    good = memcmp(other, expected, BLOCK) == 0;
    MPI_Reduce(&good, &right, 1, MPI_INT, MPI_SUM, 0, MPI_COMM_WORLD);
    if (rank == 0)
        printf("%d of %d ranks read what their neighbour wrote, %d MiB in %s\n", right, size, size, argv[1]);
    MPI_Finalize();
    return rank == 0 && right != size;
}
