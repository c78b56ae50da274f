/* Kills the process it is loaded into at its N-th durable write, as a power cut would: no destructor, no flush. Or lets
 * its disk refuse every write from there on, as a full one would or one that was remounted read-only.
 *
 * Loaded by the dynamic linker (LD_PRELOAD) in front of the C library, so that the calls of the program and of SQLite
 * pass here, whichever thread makes them, and the program knows nothing of it. It is no part of what ships.
 *
 * One call does not pass: the crate tempfile renames by a system call of its own. Its rename lies between the fsync of
 * the file and that of the folder, which are both counted, so that a process is killed on either side of it.
 *
 *   CONSILIUM_KILL_AT      the number of the durable write, from 1; without it nobody is killed
 *   CONSILIUM_KILL_AFTER   whether the write is done first
 *   CONSILIUM_REFUSE       instead of killing, writes fail after that one: `ENOSPC` or `EROFS`
 *   CONSILIUM_WRITES       a file to which one line is appended for every durable write: its name and its path
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long writes;
static long kill_at;
static int kill_after;
static int list = -1;
/* What the disk will say, and whether it says so already. */
static int refusal;
static atomic_int refuses;

__attribute__((constructor)) static void begin(void) {
    const char *at = getenv("CONSILIUM_KILL_AT"), *path = getenv("CONSILIUM_WRITES");
    kill_at = at ? atol(at) : 0;
    kill_after = getenv("CONSILIUM_KILL_AFTER") != NULL;
    const char *words = getenv("CONSILIUM_REFUSE");
    if (words) refusal = strcmp(words, "EROFS") == 0 ? EROFS : ENOSPC;
    if (path) list = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void die(void) {
    if (refusal) {
        atomic_store(&refuses, 1);
        return;
    }
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

/* A full disk takes no bytes; one that is read-only takes nothing. What the process says to people is not on it. */
static int is_full(int file) {
    struct stat about;
    return atomic_load(&refuses) && file > 2 && file != list && fstat(file, &about) == 0 && S_ISREG(about.st_mode);
}
static int is_read_only(void) { return refusal == EROFS && atomic_load(&refuses); }
static int refuse(void) {
    errno = refusal;
    return -1;
}

/* Calls the C library, and kills afterwards where that was asked for. */
#define THEN(number, type, name, ...)                                                                                 \
    static type (*next)();                                                                                            \
    if (!next) next = (type(*)())dlsym(RTLD_NEXT, name);                                                              \
    type result = next(__VA_ARGS__);                                                                                  \
    if ((number) == kill_at && kill_after) die();                                                                     \
    return result

#define NEXT(type, name)                                                                                              \
    static type (*next)();                                                                                            \
    if (!next) next = (type(*)())dlsym(RTLD_NEXT, name)

ssize_t write(int file, const void *bytes, size_t count) {
    NEXT(ssize_t, "write");
    return is_full(file) ? refuse() : next(file, bytes, count);
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
    NEXT(ssize_t, "pwrite");
    return is_full(file) ? refuse() : next(file, bytes, count, at);
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    NEXT(ssize_t, "pwrite64");
    return is_full(file) ? refuse() : next(file, bytes, count, at);
}
int posix_fallocate(int file, off_t from, off_t bytes) {
    NEXT(int, "posix_fallocate");
    return is_full(file) ? refusal : next(file, from, bytes);
}

/* The mode is there where the flags ask for it, and harmless to read where they do not. */
#define OPENING(name, path, flags)                                                                                    \
    va_list rest;                                                                                                     \
    va_start(rest, flags);                                                                                            \
    mode_t mode = va_arg(rest, mode_t);                                                                               \
    va_end(rest);                                                                                                     \
    NEXT(int, name);                                                                                                  \
    if (is_read_only() && (flags & O_ACCMODE) != O_RDONLY && strncmp(path, "/dev/", 5) != 0) return refuse()

int open(const char *path, int flags, ...) {
    OPENING("open", path, flags);
    return next(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    OPENING("open64", path, flags);
    return next(path, flags, mode);
}
int openat(int at, const char *path, int flags, ...) {
    OPENING("openat", path, flags);
    return next(at, path, flags, mode);
}

int fsync(int file) { long n = count_file("fsync", file); THEN(n, int, "fsync", file); }
int fdatasync(int file) { long n = count_file("fdatasync", file); THEN(n, int, "fdatasync", file); }
int ftruncate(int file, off_t to) {
    long n = count_file("ftruncate", file);
    if (is_full(file)) return refuse();
    THEN(n, int, "ftruncate", file, to);
}
int ftruncate64(int file, off_t to) {
    long n = count_file("ftruncate", file);
    if (is_full(file)) return refuse();
    THEN(n, int, "ftruncate64", file, to);
}
int unlink(const char *path) {
    long n = count("unlink", path);
    if (is_read_only()) return refuse();
    THEN(n, int, "unlink", path);
}
int unlinkat(int at, const char *path, int flags) {
    long n = count("unlink", path);
    if (is_read_only()) return refuse();
    THEN(n, int, "unlinkat", at, path, flags);
}
int rename(const char *from, const char *to) {
    long n = count("rename", to);
    if (is_read_only()) return refuse();
    THEN(n, int, "rename", from, to);
}
int renameat(int a, const char *from, int b, const char *to) {
    long n = count("rename", to);
    if (is_read_only()) return refuse();
    THEN(n, int, "renameat", a, from, b, to);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    long n = count("rename", to);
    if (is_read_only()) return refuse();
    THEN(n, int, "renameat2", a, from, b, to, flags);
}
int link(const char *from, const char *to) {
    long n = count("link", to);
    if (is_read_only()) return refuse();
    THEN(n, int, "link", from, to);
}
