// Calls services on the system bus: as many calls as it can, or one after another with the time that each took.
//
// usage: bus-flood flood  [OPTION VALUE]...   calls over many connections and prints as JSON what became of the calls
//        bus-flood probe  [OPTION VALUE]...   prints one line a call: when it was made and its duration, in microseconds, and a word
//
//   bus PATH             the bus's socket                     (/run/dbus/system_bus_socket)
//   to NAME              whom to call                         (org.termspan1)
//   kind KIND            what to send; see `kinds` below      (mix; enumerate)
//   seconds N            for how long                         (5)
//   rate N               flood: calls a second, in all        (50000)
//   connections N        flood: over how many connections     (16)
//   churn N              flood: a connection is given up for a new one after so many calls; 0 is never (0)
//   bytes N              flood: how long the text in a call of kind `large` is                         (1000000)
//   pause N              probe: milliseconds between two calls                                         (5)
//   fresh 1              probe: a connection for each call, which is part of what is timed
//
// It speaks the protocol itself (D-Bus specification, 'Message Protocol' and 'Authentication Protocol'): a library would keep some of it
// back, and take more of the processor than the bus does.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CALL = 1, RETURN = 2, ERROR = 3, SIGNAL = 4 };
enum { NO_REPLY = 1 };

struct kind {
    const char *name;
    uint8_t type, flags;
    const char *path, *interface, *member, *signature;
};

static const struct kind kinds[] = {
    {"enumerate", CALL, 0, "/org/termspan1", "org.termspan1.Manager", "EnumerateSessions", ""},
    {"oneway", CALL, NO_REPLY, "/org/termspan1", "org.termspan1.Manager", "EnumerateSessions", ""},
    {"list", CALL, 0, "/org/termspan1", "org.termspan1.Manager", "ListSessions", ""},
    {"status", CALL, 0, "/org/termspan1", "org.termspan1.Manager", "Status", ""},
    {"unknown", CALL, 0, "/org/termspan1", "org.termspan1.Manager", "Nothing", ""},
    {"wrong", CALL, 0, "/org/termspan1", "org.termspan1.Manager", "GetSession", "s"},
    {"getall", CALL, 0, "/org/termspan1/session/_1", "org.freedesktop.DBus.Properties", "GetAll", "s"},
    {"managed", CALL, 0, "/org/termspan1", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", ""},
    {"track", CALL, 0, "/org/termspan1", "org.termspan1.Manager", "SetTracking", "asbss"},
    {"ping", CALL, 0, "/org/termspan1", "org.freedesktop.DBus.Peer", "Ping", ""},
    {"large", CALL, NO_REPLY, "/org/termspan1", "org.termspan1.Manager", "GetSession", "s"},
    {"signal", SIGNAL, NO_REPLY, "/org/termspan1", "org.termspan1.Manager", "SessionNew", ""},
    {"spans", CALL, 0, "/org/termspan1/reports", "org.termspan1.Reports", "Spans", "a{sv}"},
    {"reportsping", CALL, 0, "/org/termspan1/reports", "org.freedesktop.DBus.Peer", "Ping", ""},
    {"logind", CALL, 0, "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "ListSessions", ""},
    {"bus", CALL, 0, "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId", ""},
};
// What `mix` takes in turn: with and without an answer, right and wrong.
static const char *const mix[] = {"enumerate", "oneway", "unknown", "getall", "ping", "wrong", "track", "signal"};

static const char *bus = "/run/dbus/system_bus_socket", *to = "org.termspan1", *kind_name;
static long seconds = 5, rate = 50000, connections = 16, churn, bytes = 1000000, pause_ms = 5, fresh;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

// ---- Messages

struct message {
    uint8_t *data;
    size_t length;
};

static void put(struct message *message, const void *data, size_t length) {
    message->data = realloc(message->data, message->length + length + 8);
    if (!message->data) die("realloc");
    memcpy(message->data + message->length, data, length);
    message->length += length;
}

static void put32(struct message *message, uint32_t value) { put(message, &value, 4); }

static void align(struct message *message, size_t to_multiple) {
    while (message->length % to_multiple) put(message, "", 1);
}

static void put_text(struct message *message, const char *text) {
    put32(message, (uint32_t)strlen(text));
    put(message, text, strlen(text) + 1);
}

static void put_field(struct message *message, uint8_t code, char type, const char *text) {
    align(message, 8);
    put(message, (uint8_t[]){code, 1, (uint8_t)type, 0}, 4);
    if (type == 'g') {
        uint8_t length = (uint8_t)strlen(text);
        put(message, &length, 1);
        put(message, text, length + 1u);
    } else {
        put_text(message, text);
    }
}

static struct message make(const struct kind *kind, const char *destination) {
    struct message body = {0}, message = {0};
    if (strcmp(kind->signature, "s") == 0 && strcmp(kind->name, "large") == 0) {
        char *text = malloc((size_t)bytes + 1);
        memset(text, 'x', (size_t)bytes);
        text[bytes] = 0;
        put_text(&body, text);
        free(text);
    } else if (strcmp(kind->signature, "s") == 0) {
        put_text(&body, "org.termspan1.Session");
    } else if (strcmp(kind->signature, "a{sv}") == 0) {
        put32(&body, 0);
        put32(&body, 0);
    } else if (strcmp(kind->signature, "asbss") == 0) {
        put32(&body, 9);
        put_text(&body, "root");
        align(&body, 4);
        put32(&body, 1);
        put_text(&body, "flood");
        align(&body, 4);
        put_text(&body, "flood");
    }
    put(&message, (uint8_t[]){'l', kind->type, kind->flags, 1}, 4);
    put32(&message, (uint32_t)body.length);
    put32(&message, 1);  // the serial, at offset 8
    put32(&message, 0);  // the length of the fields, at offset 12
    put_field(&message, 1, 'o', kind->path);
    put_field(&message, 2, 's', kind->interface);
    put_field(&message, 3, 's', kind->member);
    put_field(&message, 6, 's', destination);
    if (*kind->signature) put_field(&message, 8, 'g', kind->signature);
    uint32_t fields = (uint32_t)message.length - 16;
    memcpy(message.data + 12, &fields, 4);
    align(&message, 8);
    if (body.length) put(&message, body.data, body.length);
    free(body.data);
    return message;
}

static const struct kind *kind_named(const char *name) {
    for (size_t index = 0; index < sizeof kinds / sizeof *kinds; index++)
        if (strcmp(kinds[index].name, name) == 0) return &kinds[index];
    fprintf(stderr, "bus-flood: no kind '%s'\n", name);
    exit(2);
}

// ---- Connections

struct connection {
    int descriptor;
    uint32_t serial;
    long calls;
    struct message out;  // what the socket has not taken yet, from `sent` on
    size_t sent;
    uint8_t *in;
    size_t have, room;
};

static void write_all(int descriptor, const void *data, size_t length) {
    for (const uint8_t *at = data; length;) {
        ssize_t count = send(descriptor, at, length, MSG_NOSIGNAL);
        if (count < 0) die("send");
        at += count;
        length -= (size_t)count;
    }
}

static struct connection connect_to_bus(void) {
    struct connection connection = {.descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), .serial = 1};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", bus);
    // Little waits in the kernel, so that what was sent is about what the bus has carried.
    setsockopt(connection.descriptor, SOL_SOCKET, SO_SNDBUF, &(int){16384}, sizeof(int));
    if (connect(connection.descriptor, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
    char uid[16], hello[128] = "AUTH EXTERNAL ";
    snprintf(uid, sizeof uid, "%u", geteuid());
    for (char *digit = uid; *digit; digit++) sprintf(hello + strlen(hello), "%02x", *digit);
    strcat(hello, "\r\n");
    write_all(connection.descriptor, "", 1);
    write_all(connection.descriptor, hello, strlen(hello));
    char answer[256];
    ssize_t count = read(connection.descriptor, answer, sizeof answer - 1);
    if (count < 3 || memcmp(answer, "OK ", 3) != 0) die("authentication");
    write_all(connection.descriptor, "BEGIN\r\n", 7);
    struct message message = make(&(struct kind){"hello", CALL, 0, "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", ""},
                                  "org.freedesktop.DBus");
    write_all(connection.descriptor, message.data, message.length);
    free(message.data);
    return connection;
}

static void give_up(struct connection *connection) {
    close(connection->descriptor);
    free(connection->out.data);
    free(connection->in);
}

static uint32_t get32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, 4);
    return value;
}

// Reads what is there, without waiting, and calls `take` with each message.
static void receive(struct connection *connection, void (*take)(const uint8_t *message, size_t length)) {
    for (;;) {
        if (connection->room - connection->have < 65536) {
            connection->room = connection->room * 2 + 65536;
            connection->in = realloc(connection->in, connection->room);
        }
        ssize_t count = recv(connection->descriptor, connection->in + connection->have, connection->room - connection->have, MSG_DONTWAIT);
        if (count == 0) {
            fprintf(stderr, "bus-flood: the bus closed the connection\n");
            exit(1);
        }
        if (count < 0 && errno == EAGAIN) return;
        if (count < 0) die("recv");
        connection->have += (size_t)count;
        size_t at = 0;
        while (connection->have - at >= 16) {
            const uint8_t *message = connection->in + at;
            size_t length = ((16 + get32(message + 12) + 7) & ~7ul) + get32(message + 4);
            if (connection->have - at < length) break;
            take(message, length);
            at += length;
        }
        memmove(connection->in, connection->in + at, connection->have - at);
        connection->have -= at;
    }
}

// ---- The flood

static struct {
    long sent, held, returns, refused, refused_by_bus, other_errors, connections;
} count;

static void tally(const uint8_t *message, size_t length) {
    static const char limit[] = "org.freedesktop.DBus.Error.LimitsExceeded", driver[] = "\0\0\0org.freedesktop.DBus\0";
    size_t header = 16 + get32(message + 12);
    if (message[1] == RETURN) count.returns++;
    if (message[1] != ERROR || length < header) return;
    if (!memmem(message, header, limit, sizeof limit)) count.other_errors++;
    else if (memmem(message, header, driver, sizeof driver - 1)) count.refused_by_bus++;
    else count.refused++;
}

static void flood(void) {
    struct message messages[sizeof mix / sizeof *mix];
    size_t number = 0;
    if (strcmp(kind_name, "mix") == 0)
        while (number < sizeof mix / sizeof *mix) messages[number] = make(kind_named(mix[number]), to), number++;
    else
        messages[number++] = make(kind_named(kind_name), to);
    struct connection *all = calloc((size_t)connections, sizeof *all);
    for (long index = 0; index < connections; index++) all[index] = connect_to_bus();
    uint64_t begin = microseconds(), end = begin + (uint64_t)seconds * 1000000, now;
    long offered = 0, turn = 0;
    while ((now = microseconds()) < end) {
        // What is due by now; a bus that takes less is offered no more than what fits into the sockets and 8 kB each.
        long due = (long)((double)(now - begin) * (double)rate / 1e6);
        for (; offered < due; offered++) {
            struct connection *connection = &all[turn++ % connections];
            if (churn && connection->calls >= churn && connection->sent == connection->out.length) {
                give_up(connection);
                *connection = connect_to_bus();
                count.connections++;
            }
            if (connection->out.length - connection->sent > 8192) {
                count.held++;
                continue;
            }
            const struct message *message = &messages[(turn / connections + turn) % (long)number];
            size_t at = connection->out.length;
            put(&connection->out, message->data, message->length);
            connection->serial++;
            memcpy(connection->out.data + at + 8, &connection->serial, 4);
            connection->calls++;
            count.sent++;
        }
        for (long index = 0; index < connections; index++) {
            struct connection *connection = &all[index];
            receive(connection, tally);
            while (connection->sent < connection->out.length) {
                ssize_t done = send(connection->descriptor, connection->out.data + connection->sent, connection->out.length - connection->sent,
                                    MSG_DONTWAIT | MSG_NOSIGNAL);
                if (done < 0 && errno == EAGAIN) break;
                if (done < 0) die("send");
                connection->sent += (size_t)done;
            }
            if (connection->sent == connection->out.length) connection->sent = connection->out.length = 0;
        }
        usleep(1000);
    }
    // What was taken still gets its answers.
    for (int round = 0; round < 50; round++) {
        for (long index = 0; index < connections; index++) receive(&all[index], tally);
        usleep(10000);
    }
    printf("{\"sent\": %ld, \"held\": %ld, \"returns\": %ld, \"refused\": %ld, \"refused_by_bus\": %ld, \"other_errors\": %ld, \"reconnects\": %ld}\n",
           count.sent, count.held, count.returns, count.refused, count.refused_by_bus, count.other_errors, count.connections);
}

// ---- The probe

static uint32_t awaited;
static const char *answer;

static void await(const uint8_t *message, size_t length) {
    // The field of the reply's serial is where libdbus and libsystemd put it: anywhere; so it is looked for.
    size_t header = 16 + get32(message + 12);
    if (length < header || (message[1] != RETURN && message[1] != ERROR)) return;
    for (size_t at = 16; at + 8 <= header; at += 4)
        if (message[at] == 5 && message[at + 1] == 1 && message[at + 2] == 'u' && get32(message + at + 4) == awaited)
            answer = message[1] == RETURN ? "return" : memmem(message, header, "LimitsExceeded", 14) ? "limit" : "error";
}

static void probe(void) {
    struct message message = make(kind_named(kind_name), to);
    struct connection connection = connect_to_bus();
    uint64_t end = microseconds() + (uint64_t)seconds * 1000000, now;
    while ((now = microseconds()) < end) {
        if (fresh) {
            give_up(&connection);
            connection = connect_to_bus();
        }
        awaited = ++connection.serial;
        memcpy(message.data + 8, &awaited, 4);
        write_all(connection.descriptor, message.data, message.length);
        answer = NULL;
        while (!answer && microseconds() - now < 30000000) {
            poll(&(struct pollfd){.fd = connection.descriptor, .events = POLLIN}, 1, 1000);
            receive(&connection, await);
        }
        printf("%llu %llu %s\n", (unsigned long long)now, (unsigned long long)(microseconds() - now), answer ? answer : "nothing");
        fflush(stdout);
        usleep((useconds_t)pause_ms * 1000);
    }
}

int main(int number, char **arguments) {
    if (number < 2 || number % 2) return 2;
    struct {
        const char *name;
        const char **text;
        long *value;
    } options[] = {{"bus", &bus, 0}, {"to", &to, 0}, {"kind", &kind_name, 0}, {"seconds", 0, &seconds}, {"rate", 0, &rate}, {"bytes", 0, &bytes},
                   {"connections", 0, &connections}, {"churn", 0, &churn}, {"pause", 0, &pause_ms}, {"fresh", 0, &fresh}};
    for (int index = 2; index < number; index += 2) {
        size_t option = 0;
        while (option < sizeof options / sizeof *options && strcmp(options[option].name, arguments[index]) != 0) option++;
        if (option == sizeof options / sizeof *options) return 2;
        if (options[option].text) *options[option].text = arguments[index + 1];
        else *options[option].value = atol(arguments[index + 1]);
    }
    if (strcmp(arguments[1], "flood") == 0) {
        if (!kind_name) kind_name = "mix";
        flood();
    } else {
        if (!kind_name) kind_name = "enumerate";
        probe();
    }
    return 0;
}
