/* Sends prepared requests over and over, on some connections, for some seconds, and notes how long
 * each reply took.
 *
 * usage: tiny PORT FILE CONNECTIONS IN_FLIGHT SECONDS RATE REQUESTS
 * FILE holds requests, each with its length in front; every connection sends them in turn, from
 * another one on. With RATE 0 a connection sends the next when a reply came (closed loop). With
 * another RATE that many a second are due at even times, each on the next connection, whatever is
 * still unanswered (open loop): what a late one takes counts from when it was due. After SECONDS,
 * or after so many REQUESTS if that is not 0, it waits for the replies that are out. Replies are
 * counted and not read.
 * Prints JSON: replies, seconds, CPU seconds of this process, the longest wait, and how often waits
 * of [nanoseconds or longer, less than the next bucket] occurred; a bucket is 0.8 % wide.
 * In C, because on a machine with two cores whatever the sender takes the broker does not have.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    SCRATCH_BYTES = 1 << 18,
    UNANSWERED_MAX = 1 << 16, /* on one connection; a power of two */
    PARTS_MAX = 64,           /* requests in one write */
    FINE_BITS = 7,            /* of a wait, that its bucket tells apart */
    BUCKETS = 64 << FINE_BITS,
    PATIENCE_S = 60, /* for replies that are out at the end */
};

struct connection {
    int socket;
    int is_blocked;          /* the kernel takes no more now */
    size_t next;             /* request to send next, or the rest of it */
    size_t sent_bytes;       /* of that one */
    unsigned to_send;        /* requests that are due and not written */
    unsigned head, tail;     /* of `due`: replies come in order */
    uint64_t *due;
    unsigned char length[4]; /* of the reply that is being read */
    unsigned length_bytes;
    uint64_t left_bytes;
};

static struct iovec *requests;
static size_t requests_count;
static char scratch[SCRATCH_BYTES];
static uint64_t buckets[BUCKETS], longest_ns, answered, made, end_ns, most;
static double rate; /* 0: closed loop */

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* The first FINE_BITS + 1 bits of a wait and how many follow. */
static unsigned bucket_of(uint64_t ns) {
    if (ns < (1u << FINE_BITS))
        return (unsigned)ns;
    unsigned shift = 63u - FINE_BITS - (unsigned)__builtin_clzll(ns);
    return ((shift + 1) << FINE_BITS) + (unsigned)(ns >> shift) - (1u << FINE_BITS);
}

static uint64_t least_of(unsigned bucket) {
    unsigned shift = bucket >> FINE_BITS, rest = bucket & ((1u << FINE_BITS) - 1);
    return shift == 0 ? rest : (uint64_t)(rest + (1u << FINE_BITS)) << (shift - 1);
}

static void load(const char *path) {
    struct stat about;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &about) < 0)
        fail(path);
    size_t size = (size_t)about.st_size, at = 0;
    char *data = malloc(size);
    if (data == NULL)
        fail("memory");
    for (ssize_t got; at < size; at += (size_t)got)
        if ((got = read(file, data + at, size - at)) <= 0)
            fail(path);
    close(file);
    for (at = 0; at + 4 <= size; requests_count++) {
        uint32_t length;
        memcpy(&length, data + at, 4);
        if (requests_count % 1024 == 0)
            requests = realloc(requests, (requests_count + 1024) * sizeof *requests);
        if (requests == NULL)
            fail("memory");
        requests[requests_count] = (struct iovec){data + at, 4 + ntohl(length)};
        at += requests[requests_count].iov_len;
    }
    if (at != size || requests_count == 0) {
        fprintf(stderr, "%s holds no whole requests\n", path);
        exit(1);
    }
}

static void start(struct connection *link, int port, size_t first) {
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *link = (struct connection){.socket = socket(AF_INET, SOCK_STREAM, 0), .next = first};
    link->due = malloc(UNANSWERED_MAX * sizeof *link->due);
    if (link->socket < 0 || link->due == NULL)
        fail("connection");
    if (connect(link->socket, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect");
    setsockopt(link->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(link->socket, F_SETFL, O_NONBLOCK);
}

static void add(struct connection *link, uint64_t due_ns) {
    if (link->tail - link->head == UNANSWERED_MAX) {
        fprintf(stderr, "%d requests of one connection are unanswered\n", UNANSWERED_MAX);
        exit(1);
    }
    link->due[link->tail++ % UNANSWERED_MAX] = due_ns;
    link->to_send++;
    made++;
}

static void send_due(struct connection *link) {
    while (link->to_send > 0) {
        struct iovec parts[PARTS_MAX];
        int count = 0;
        for (; count < PARTS_MAX && (unsigned)count < link->to_send; count++)
            parts[count] = requests[(link->next + (size_t)count) % requests_count];
        parts[0].iov_base = (char *)parts[0].iov_base + link->sent_bytes;
        parts[0].iov_len -= link->sent_bytes;
        ssize_t sent = writev(link->socket, parts, count);
        if (sent < 0 && errno == EAGAIN) {
            link->is_blocked = 1;
            return;
        }
        if (sent < 0)
            fail("write");
        size_t done = (size_t)sent;
        for (int i = 0; i < count && done >= parts[i].iov_len; i++) {
            done -= parts[i].iov_len;
            link->next = (link->next + 1) % requests_count;
            link->sent_bytes = 0;
            link->to_send--;
        }
        link->sent_bytes += done;
    }
    link->is_blocked = 0;
}

static void note(struct connection *link, uint64_t now) {
    if (link->head == link->tail) {
        fprintf(stderr, "a reply that nobody waits for\n");
        exit(1);
    }
    uint64_t took = now - link->due[link->head++ % UNANSWERED_MAX];
    buckets[bucket_of(took)]++;
    longest_ns = took > longest_ns ? took : longest_ns;
    answered++;
    if (rate == 0 && now < end_ns && made < most)
        add(link, now);
}

/* All there is to read; what a reply gives leave to send is due after it. */
static void receive(struct connection *link) {
    ssize_t got = sizeof scratch;
    while (got == sizeof scratch) {
        got = read(link->socket, scratch, sizeof scratch);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0)
            fail("read");
        uint64_t now = now_ns();
        for (size_t at = 0, size = (size_t)got; at < size;) {
            if (link->length_bytes < 4) {
                link->length[link->length_bytes++] = (unsigned char)scratch[at++];
                uint32_t length;
                memcpy(&length, link->length, 4);
                link->left_bytes = ntohl(length);
                continue;
            }
            size_t some = size - at < link->left_bytes ? size - at : link->left_bytes;
            at += some;
            link->left_bytes -= some;
            if (link->left_bytes == 0) {
                link->length_bytes = 0;
                note(link, now);
            }
        }
    }
}

static void print(double seconds, double used_s) {
    printf("{\"replies\": %llu, \"seconds\": %.6f, \"cpu_s\": %.6f, \"longest_ns\": %llu, \"buckets\": [",
           (unsigned long long)answered, seconds, used_s, (unsigned long long)longest_ns);
    const char *comma = "";
    for (unsigned i = 0; i < BUCKETS; i++)
        if (buckets[i] > 0) {
            printf("%s[%llu, %llu]", comma, (unsigned long long)least_of(i),
                   (unsigned long long)buckets[i]);
            comma = ", ";
        }
    printf("]}\n");
}

/* Sends what is due by now; returns when something will be. */
static uint64_t send_scheduled(struct connection *links, size_t count, uint64_t began, uint64_t now) {
    uint64_t next;
    while ((next = began + (uint64_t)((double)made * 1e9 / rate)) <= now && next < end_ns && made < most) {
        struct connection *link = &links[made % count];
        add(link, next);
        if (!link->is_blocked)
            send_due(link);
    }
    return next < end_ns ? next : end_ns;
}

static void run(struct connection *links, size_t count, int poll, uint64_t began) {
    struct epoll_event events[64];
    for (uint64_t now = began; (now < end_ns && made < most) || answered < made;) {
        uint64_t next = now + 1000000000u;
        if (rate > 0 && now < end_ns)
            next = send_scheduled(links, count, began, now);
        now = now_ns();
        uint64_t wait = next > now ? next - now : 0;
        struct timespec patience = {(time_t)(wait / 1000000000u), (long)(wait % 1000000000u)};
        int ready = epoll_pwait2(poll, events, 64, &patience, NULL);
        if (ready < 0 && errno != EINTR)
            fail("epoll");
        for (int i = 0; i < ready; i++) {
            struct connection *link = &links[events[i].data.u64];
            if (events[i].events & EPOLLIN)
                receive(link);
            send_due(link);
        }
        now = now_ns();
    }
}

int main(int count, char **words) {
    if (count != 8) {
        fprintf(stderr, "usage: tiny PORT FILE CONNECTIONS IN_FLIGHT SECONDS RATE REQUESTS\n");
        return 2;
    }
    load(words[2]);
    size_t links_count = (size_t)atoi(words[3]);
    int in_flight = atoi(words[4]);
    double seconds = atof(words[5]);
    rate = atof(words[6]);
    most = strtoull(words[7], NULL, 10);
    most = most == 0 ? UINT64_MAX : most;
    struct connection *links = calloc(links_count, sizeof *links);
    int poll = epoll_create1(0);
    if (links == NULL || poll < 0 || links_count == 0)
        fail("connections");
    prctl(PR_SET_TIMERSLACK, 1ul);
    alarm((unsigned)seconds + PATIENCE_S);
    for (size_t i = 0; i < links_count; i++) {
        start(&links[i], atoi(words[1]), i * requests_count / links_count);
        struct epoll_event all = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u64 = i};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, links[i].socket, &all) < 0)
            fail("epoll");
    }
    double began_cpu_s = cpu_s();
    uint64_t began = now_ns();
    end_ns = began + (uint64_t)(seconds * 1e9);
    for (size_t i = 0; rate == 0 && i < links_count; i++) {
        for (int n = 0; n < in_flight && made < most; n++)
            add(&links[i], now_ns());
        send_due(&links[i]);
    }
    run(links, links_count, poll, began);
    print((double)(now_ns() - began) / 1e9, cpu_s() - began_cpu_s);
    return 0;
}
