// Changes what paths lead to as fast as it goes, as an ordinary user may, until SIGTERM or for so many rounds.
//
// usage: swapper ROUNDS (DEED PATH OTHER)...      0 rounds: without end; OTHER is - where a deed has none
//   exchange   the one and the other take each other's place (renameat2(2), RENAME_EXCHANGE)
//   remake     PATH is a folder, nothing, a link to OTHER, nothing, and so on
//   link       PATH becomes a hard link to OTHER, which is another's
//   plant      PATH is a link to OTHER, a pipe, a file, nothing, and so on
//   read       opens all that is in the folder PATH and not its own
// At the end it prints how often each deed was tried and done, as JSON.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t is_over;

static void end(int number) {
    (void)number;
    is_over = 1;
}

static void clear(const char *path) {
    if (unlink(path) != 0) rmdir(path);
}

static int exchange(const char *path, const char *other, unsigned long round) {
    (void)round;
    return renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE) == 0;
}

static int remake(const char *path, const char *other, unsigned long round) {
    clear(path);
    if (round % 2) return symlink(other, path) == 0;
    return mkdir(path, 0777) == 0 && chmod(path, 0777) == 0;
}

static int hard_link(const char *path, const char *other, unsigned long round) {
    (void)round;
    unlink(path);
    return linkat(AT_FDCWD, other, AT_FDCWD, path, 0) == 0;
}

static int plant(const char *path, const char *other, unsigned long round) {
    clear(path);
    if (round % 4 == 0) return symlink(other, path) == 0;
    if (round % 4 == 1) return mkfifo(path, 0666) == 0;
    int file = round % 4 == 2 ? open(path, O_WRONLY | O_CREAT | O_EXCL, 0666) : -1;
    if (file >= 0) close(file);
    return 1;
}

static int read_all(const char *path, const char *other, unsigned long round) {
    (void)other, (void)round;
    int done = 0;
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    DIR *entries = folder < 0 ? NULL : fdopendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        struct stat status;
        if (fstatat(folder, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 || status.st_uid == getuid() || !S_ISREG(status.st_mode)) continue;
        int file = openat(folder, entry->d_name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
        if (file >= 0) done++, close(file);
    }
    if (entries) closedir(entries);
    return done;
}

static const struct {
    const char *name;
    int (*act)(const char *path, const char *other, unsigned long round);
} deeds[] = {{"exchange", exchange}, {"remake", remake}, {"link", hard_link}, {"plant", plant}, {"read", read_all}};
enum { count = sizeof deeds / sizeof deeds[0] };

int main(int argc, char **argv) {
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 0, tried[count] = {0}, done[count] = {0};
    signal(SIGTERM, end);
    for (unsigned long round = 0; !is_over && (rounds == 0 || round < rounds); round++)
        for (int index = 2; index + 2 < argc; index += 3)
            for (int deed = 0; deed < count; deed++) {
                if (strcmp(argv[index], deeds[deed].name) != 0) continue;
                tried[deed]++;
                done[deed] += (unsigned long)deeds[deed].act(argv[index + 1], argv[index + 2], round);
            }
    printf("{");
    for (int deed = 0; deed < count; deed++) printf("%s\"%s\": [%lu, %lu]", deed ? ", " : "", deeds[deed].name, tried[deed], done[deed]);
    printf("}\n");
    return 0;
}
