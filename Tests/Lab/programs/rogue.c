// A probe that was taken over: it is started by the collector itself, has all that a probe has, and uses it against the others.
//
// usage: rogue ATTACK      bound over /probe of a unit that the collector starts; its standard input is the control channel
//        rogue --list      the attacks, one a line, with what each does
//
// What can be said only from inside is written to standard error, which is the journal, as lines 'rogue: ATTEMPT ANSWER'.
// Linked statically, as a probe is, and with none of a probe's own filter: what holds it is the unit's sandbox and the collector.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { CONTROL_SIZE = 4096, EVENTS_SIZE = 4096 + 64 * 1024, SLOTS = 1024 };

// The descriptors that come with 'start', and the lane.
static int x_socket, control_file, events_file, doorbell;
static volatile uint8_t *control;
static volatile uint8_t *events;
static uint64_t position, attempted;

static void say(const char *attempt, const char *answer) {
    char line[256];
    int length = snprintf(line, sizeof line, "rogue: %s %s\n", attempt, answer);
    if (write(2, line, (size_t)length) < 0) return;
}

// 'open' where the attempt worked, else the error's name.
static void tell(const char *attempt, long result) { say(attempt, result < 0 ? strerrorname_np(errno) : "open"); }

static void pause_milliseconds(int milliseconds) { poll(NULL, 0, milliseconds); }

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_BOOTTIME, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// Waits for 'start' and takes the four descriptors out of it.
static int take_start(void) {
    char bytes[64];
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(4 * sizeof(int))];
    } ancillary;
    struct iovec data = {bytes, sizeof bytes};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &ancillary, .msg_controllen = sizeof ancillary};
    struct pollfd channel = {0, POLLIN, 0};
    while (poll(&channel, 1, -1) < 1) {}
    if (recvmsg(0, &message, 0) < 1) return -1;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (!head || head->cmsg_len != CMSG_LEN(4 * sizeof(int))) return -1;
    int descriptors[4];
    memcpy(descriptors, CMSG_DATA(head), sizeof descriptors);
    x_socket = descriptors[0];
    control_file = descriptors[1];
    events_file = descriptors[2];
    doorbell = descriptors[3];
    return 0;
}

static int map_lane(void) {
    control = mmap(NULL, CONTROL_SIZE, PROT_READ, MAP_SHARED, control_file, 0);
    events = mmap(NULL, EVENTS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, events_file, 0);
    return control == MAP_FAILED || events == MAP_FAILED ? -1 : 0;
}

static ssize_t send_bytes(const void *bytes, size_t length, const int *descriptors, int count) {
    if (count == 0) return send(0, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(64 * sizeof(int))];
    } ancillary;
    struct iovec data = {(void *)bytes, length};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    message.msg_control = &ancillary;
    message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(head), descriptors, (size_t)count * sizeof(int));
    return sendmsg(0, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void ready(void) {
    const uint8_t bytes[5] = {65, 0xFF, 0, 0, 0};
    send_bytes(bytes, sizeof bytes, NULL, 0);
}

static _Atomic uint64_t *word(volatile uint8_t *base, size_t offset) { return (_Atomic uint64_t *)(base + offset); }

static void ring(void) {
    uint64_t one = 1;
    if (write(doorbell, &one, sizeof one) < 0) return;
}

// One event that is in order: FocusChanged with a claim on a process and a class. 0 where the lane is full.
static int focus_changed(uint32_t pid, uint64_t time, const char *class) {
    uint8_t payload[40] = {0};
    size_t length = strlen(class);
    memcpy(payload, &pid, 4);
    uint32_t window = (uint32_t)attempted + 1;
    memcpy(payload + 4, &window, 4);
    payload[8] = 1;
    payload[9] = (uint8_t)length;
    memcpy(payload + 12, class, length);
    attempted++;
    atomic_store_explicit(word(events, 0), attempted, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(word(control, 128), memory_order_acquire);
    if (position + 1 - head > SLOTS) return 0;
    volatile uint8_t *slot = events + 4096 + 64 * (position % SLOTS);
    atomic_store_explicit(word(slot, 8), time, memory_order_relaxed);
    atomic_store_explicit(word(slot, 16), attempted, memory_order_relaxed);
    for (size_t index = 0; index < 5; index++) {
        uint64_t part;
        memcpy(&part, payload + 8 * index, 8);
        atomic_store_explicit(word(slot, 24 + 8 * index), part, memory_order_relaxed);
    }
    uint64_t header = (uint32_t)(position + 1) | (uint64_t)1 << 32 | (uint64_t)1 << 40 | (uint64_t)(12 + length) << 48;
    atomic_store(word(slot, 0), header);
    position++;
    return 1;
}

// The lane as a probe leaves it at its start, so that the collector begins to measure.
static void begin(void) {
    memcpy(&position, (const void *)(control + 32), 8);
    focus_changed(1, now(), "Rogue");
    ring();
    ready();
}

// Whether the collector has hung up: then it is time to go, as a probe that is stopped does.
static int is_over(void) {
    struct pollfd channel = {0, 0, 0};
    return poll(&channel, 1, 0) > 0 && channel.revents & (POLLHUP | POLLERR);
}

static uint64_t next_random(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

// The attacks; each goes on until the collector hangs up.

static void rubbish(void) {
    begin();
    pause_milliseconds(1000);
    while (!is_over()) {
        for (size_t offset = 0; offset < EVENTS_SIZE; offset += 8) atomic_store_explicit(word(events, offset), next_random(), memory_order_relaxed);
        ring();
    }
}

static void lies(void) {
    begin();
    static const char *classes[] = {"Rogue", "Liar", "\x1b[31m", "=1+1"};
    for (uint64_t count = 0; count % 1024 || !is_over(); count++) {
        // Of a process that is not the user's, at times before the last, after now, and such as none.
        uint64_t moment = count % 5 == 0 ? 0 : count % 5 == 1 ? UINT64_MAX : count % 5 == 2 ? now() + 3600000000000u : now();
        // No ring without an event: that is another attack.
        if (!focus_changed((uint32_t)(1 + count % 4000), moment, classes[count % 4]) || count % 64) continue;
        ring();
        // It reads what is asked of it, as one that is deaf does not.
        char asked[64];
        while (recv(0, asked, sizeof asked, MSG_DONTWAIT) > 0) {}
    }
}

static void ring_without_end(void) {
    begin();
    while (!is_over()) {
        for (int count = 0; count < 4096; count++) ring();
    }
}

static void flood(void) {
    begin();
    pause_milliseconds(1000);
    uint8_t bytes[64];
    memset(bytes, 0xEE, sizeof bytes);
    while (!is_over()) send_bytes(bytes, 1 + next_random() % sizeof bytes, NULL, 0);
}

static void ready_without_end(void) {
    begin();
    while (!is_over()) {
        for (int count = 0; count < 1024; count++) ready();
    }
}

static void screens_without_end(void) {
    begin();
    while (!is_over()) {
        for (int count = 0; count < 1024; count++) {
            const uint8_t bytes[6] = {67, (uint8_t)(1 + count % 255), 0, 1, 0, 24};
            send_bytes(bytes, sizeof bytes, NULL, 0);
        }
    }
}

static void deaf(void) {
    begin();
    // Losses make the collector ask for a snapshot, again and again; nobody reads.
    while (!is_over()) {
        for (int count = 0; count < 2048; count++) focus_changed(1, now(), "Deaf");
        ring();
        pause_milliseconds(5);
    }
}

static void send_descriptors(void) {
    begin();
    pause_milliseconds(1000);
    int many[64];
    for (int index = 0; index < 64; index++) many[index] = events_file;
    const uint8_t bytes[5] = {65, 0, 0, 0, 0};
    while (!is_over()) send_bytes(bytes, sizeof bytes, many, (int)(1 + next_random() % 64));
}

static void claim(void) {
    begin();
    pause_milliseconds(1000);
    // More than were ever attempted, then fewer: what is lost is counted from this.
    atomic_store(word(events, 0), (uint64_t)1 << 62);
    focus_changed(1, now(), "Claim");
    ring();
    pause_milliseconds(200);
    attempted = ((uint64_t)1 << 62) + 5;
    focus_changed(1, now(), "Claim");
    ring();
    pause_milliseconds(200);
    attempted = 3;
    while (!is_over()) {
        focus_changed(1, now(), "Claim");
        ring();
        pause_milliseconds(100);
    }
}

static void leave(void) {
    begin();
}

static void leave_before(void) {}

static void seal(void) {
    // So that the collector can't: only at `ready` it seals.
    tell("seal", fcntl(events_file, F_ADD_SEALS, F_SEAL_SEAL));
    begin();
    while (!is_over()) pause_milliseconds(100);
}

static void reach(void) {
    begin();
    pause_milliseconds(1000);
    char path[64];
    // A file may not grow at all, which would end the process.
    signal(SIGXFSZ, SIG_IGN);
    tell("map-control-writable", mmap(NULL, CONTROL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, control_file, 0) == MAP_FAILED ? -1 : 0);
    tell("protect-control-writable", mprotect((void *)control, CONTROL_SIZE, PROT_READ | PROT_WRITE));
    tell("write-control", write(control_file, "rogue", 5));
    tell("map-events-again", mmap(NULL, EVENTS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, events_file, 0) == MAP_FAILED ? -1 : 0);
    tell("write-events", write(events_file, "rogue", 5));
    tell("seal-events", fcntl(events_file, F_ADD_SEALS, F_SEAL_WRITE));
    tell("seal-control", fcntl(control_file, F_ADD_SEALS, F_SEAL_WRITE));
    tell("map-events-executable", mmap(NULL, EVENTS_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, events_file, 0) == MAP_FAILED ? -1 : 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", control_file);
    tell("reopen-control", open(path, O_RDWR));
    snprintf(path, sizeof path, "/proc/self/fd/%d", events_file);
    tell("reopen-events", open(path, O_RDWR));
    // Beyond the file's end there is no neighbour: each lane is a file of its own. Reading there would be SIGBUS.
    void *grown = mremap((void *)events, EVENTS_SIZE, EVENTS_SIZE * 2, MREMAP_MAYMOVE);
    if (grown != MAP_FAILED) events = grown;
    struct iovec there = {(void *)(events + EVENTS_SIZE), 8};
    ssize_t read_there = grown == MAP_FAILED ? -1 : write(doorbell, there.iov_base, there.iov_len);
    tell("read-beyond-the-lane", read_there);
    say("done", "");
    while (!is_over()) pause_milliseconds(100);
}

static void memory(void) {
    begin();
    size_t total = 0;
    for (;;) {
        char *part = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (part == MAP_FAILED) break;
        memset(part, 1, 1 << 20);
        total++;
        // What the machine lets it have without a memory controller is enough to see.
        if (total == 1024) break;
    }
    char answer[32];
    snprintf(answer, sizeof answer, "%zu", total);
    say("megabytes", answer);
    while (!is_over()) pause_milliseconds(100);
}

static void spin(void) {
    begin();
    while (!is_over()) {
        for (volatile int count = 0; count < 100000000; count++) {}
    }
}

static const struct {
    const char *name;
    void (*run)(void);
    const char *what;
} attacks[] = {
    {"rubbish", rubbish, "random words all over its lane, without end"},
    {"lies", lies, "events in order, as fast as the lane takes them, with false times, processes and classes"},
    {"ring", ring_without_end, "its doorbell without end"},
    {"flood", flood, "rubbish on the control channel without end"},
    {"ready", ready_without_end, "that it is ready, without end"},
    {"screens", screens_without_end, "another screen, without end"},
    {"deaf", deaf, "events, with losses, and never reads what is asked of it"},
    {"descriptors", send_descriptors, "descriptors on the control channel"},
    {"claim", claim, "counts of attempted events that can't be"},
    {"leave", leave, "ends as soon as it is ready, again and again"},
    {"leave-before", leave_before, "ends before it is ready, again and again"},
    {"seal", seal, "seals its lane so that the collector can't"},
    {"reach", reach, "tries to change what is not its to change"},
    {"memory", memory, "takes all memory that it gets"},
    {"spin", spin, "burns the processor"},
};

int main(int count, char **arguments) {
    const char *wanted = count > 1 ? arguments[1] : "--list";
    for (size_t index = 0; index < sizeof attacks / sizeof attacks[0]; index++) {
        if (strcmp(wanted, "--list") == 0) printf("%s: %s\n", attacks[index].name, attacks[index].what);
        if (strcmp(wanted, attacks[index].name) != 0) continue;
        if (take_start() < 0 || map_lane() < 0) return 3;
        attacks[index].run();
        return 0;
    }
    return strcmp(wanted, "--list") == 0 ? 0 : 2;
}
