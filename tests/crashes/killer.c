/* Kills the process it is loaded into at its N-th durable write, as a power cut would: no destructor, no flush.
 *
 * Loaded by the dynamic linker (LD_PRELOAD) in front of the C library, so that the calls of the program and of SQLite
 * pass here, whichever thread makes them, and the program knows nothing of it. It is no part of what ships.
 *
 * One call does not pass: the crate tempfile renames by a system call of its own. Its rename lies between the fsync of
 * the file and that of the folder, which are both counted, so that a process is killed on either side of it.
 *
 *   CONSILIUM_KILL_AT      the number of the durable write, from 1; without it nobody is killed
 *   CONSILIUM_KILL_AFTER   whether the write is done first
 *   CONSILIUM_WRITES       a file to which one line is appended for every durable write: its name and its path
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long writes;
static long kill_at;
static int kill_after;
static int list = -1;

__attribute__((constructor)) static void begin(void) {
    const char *at = getenv("CONSILIUM_KILL_AT"), *path = getenv("CONSILIUM_WRITES");
    kill_at = at ? atol(at) : 0;
    kill_after = getenv("CONSILIUM_KILL_AFTER") != NULL;
    if (path) list = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Counts a durable write that is about to happen; its number. */
static long count(const char *name, const char *path) {
    long number = atomic_fetch_add(&writes, 1) + 1;
    if (list >= 0) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%s %s\n", name, path);
        if (length > 0) (void)!write(list, line, (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
    }
    if (number == kill_at && !kill_after) die();
    return number;
}

static long count_file(const char *name, int file) {
    char link[64], path[PATH_MAX] = "?";
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length > 0) path[length] = 0;
    return count(name, path);
}

/* Calls the C library, and kills afterwards where that was asked for. */
#define THEN(number, type, name, ...)                                                                                 \
    static type (*next)();                                                                                            \
    if (!next) next = (type(*)())dlsym(RTLD_NEXT, name);                                                              \
    type result = next(__VA_ARGS__);                                                                                  \
    if ((number) == kill_at && kill_after) die();                                                                     \
    return result

int fsync(int file) { long n = count_file("fsync", file); THEN(n, int, "fsync", file); }
int fdatasync(int file) { long n = count_file("fdatasync", file); THEN(n, int, "fdatasync", file); }
int ftruncate(int file, off_t to) { long n = count_file("ftruncate", file); THEN(n, int, "ftruncate", file, to); }
int ftruncate64(int file, off_t to) { long n = count_file("ftruncate", file); THEN(n, int, "ftruncate64", file, to); }
int unlink(const char *path) { long n = count("unlink", path); THEN(n, int, "unlink", path); }
int unlinkat(int at, const char *path, int flags) {
    long n = count("unlink", path);
    THEN(n, int, "unlinkat", at, path, flags);
}
int rename(const char *from, const char *to) { long n = count("rename", to); THEN(n, int, "rename", from, to); }
int renameat(int a, const char *from, int b, const char *to) {
    long n = count("rename", to);
    THEN(n, int, "renameat", a, from, b, to);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    long n = count("rename", to);
    THEN(n, int, "renameat2", a, from, b, to, flags);
}
int link(const char *from, const char *to) { long n = count("link", to); THEN(n, int, "link", from, to); }
