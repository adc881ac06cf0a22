/* Runs one kernel on another kind of processor: arguments from standard input, arrays back to standard output.

   Input: the number of arguments, then for each its kind (0: a number, 1: an array) and its value or size in bytes, and
   the bytes of an array. Then the number of further arrays that a table has the addresses of; the table's place among
   the arguments; and for each further array its address in the table, its size and its bytes. Each array lies between
   pages that nobody may touch, at the end (at_end) or the beginning. */

#define _DEFAULT_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE 4096L
#define MAX_ARGUMENTS 12

extern int64_t KERNEL(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                      int64_t);

static int64_t number(void) {
    int64_t value;
    if (fread(&value, sizeof value, 1, stdin) != 1) exit(2);
    return value;
}

static int64_t array(int64_t size, int at_end) {
    int64_t room = (size + PAGE - 1) / PAGE * PAGE;
    char *memory = mmap(0, room + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + PAGE, room, PROT_READ | PROT_WRITE)) exit(3);
    char *start = memory + PAGE + (at_end ? room - size : 0);
    if (size && fread(start, size, 1, stdin) != 1) exit(2);
    return (int64_t)start;
}

int main(int count, char **arguments) {
    int at_end = count > 1 && arguments[1][0] == '1';
    int64_t values[MAX_ARGUMENTS] = {0}, sizes[MAX_ARGUMENTS] = {0};
    int64_t parameters = number();
    for (int64_t i = 0; i < parameters; i++) {
        int64_t is_array = number(), value = number();
        values[i] = is_array ? array(value, at_end) : value;
        sizes[i] = is_array ? value : 0;
    }
    int64_t further = number(), table = number();
    for (int64_t i = 0; i < further; i++) {
        int64_t address = number(), size = number(), here = array(size, at_end);
        int64_t *entries = (int64_t *)values[table];
        for (int64_t j = 0; j < sizes[table] / 8; j++)
            if (entries[j] == address) entries[j] = here;
    }
    int64_t *v = values;
    KERNEL(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11]);
    for (int64_t i = 0; i < parameters; i++)
        if (sizes[i] && fwrite((void *)values[i], sizes[i], 1, stdout) != 1) exit(4);
    return 0;
}
