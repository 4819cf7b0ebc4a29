/* Reads a topic of one partition from the beginning to the end, over and over or so many times, with
 * one Fetch under way, as a consumer does that only counts.
 *
 * usage: reader PORT FILE OFFSET_AT RECORDS PASSES
 * FILE holds a Fetch request (version 11) with its length in front, and its fetch offset is at byte
 * OFFSET_AT. RECORDS are in the topic; with PASSES 0 it begins again until its input is closed.
 * Prints a line when the first records have come, then JSON: records, passes that came to the end,
 * seconds, CPU seconds of this process, requests, and the seconds of each pass.
 * In C, because on a machine with two cores whatever the reader takes those beside it do not have: of
 * a consumer in a library that is most of what they notice.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    PASSES_MAX = 100000,
    EMPTY_MAX = 10, /* replies without a record, each after the request's longest wait */
    BATCH_LENGTH_AT = 8,
    BATCH_HEAD_BYTES = 12,
    LAST_DELTA_AT = 23
};

static unsigned char *request, *reply;
static size_t request_bytes, offset_at, reply_room;
static int link_to;
static double passes_s[PASSES_MAX];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void refuse(const char *what) {
    fprintf(stderr, "reader: %s\n", what);
    exit(1);
}

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static uint64_t number(const unsigned char *at, int bytes_count) {
    uint64_t value = 0;
    for (int i = 0; i < bytes_count; i++)
        value = value << 8 | at[i];
    return value;
}

static void load(const char *path) {
    struct stat about;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &about) < 0)
        fail(path);
    request_bytes = (size_t)about.st_size;
    request = malloc(request_bytes);
    if (request == NULL || read(file, request, request_bytes) != (ssize_t)request_bytes)
        fail(path);
    close(file);
}

static void start(int port) {
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    link_to = socket(AF_INET, SOCK_STREAM, 0);
    if (link_to < 0 || connect(link_to, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect");
    setsockopt(link_to, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* So many bytes, with as few wake-ups as the system needs for them. */
static void receive(unsigned char *into, size_t size) {
    for (size_t at = 0; at < size;) {
        ssize_t got = recv(link_to, into + at, size - at, MSG_WAITALL);
        if (got == 0)
            refuse("the broker has closed the connection");
        if (got < 0 && errno != EINTR)
            fail("read");
        at += got > 0 ? (size_t)got : 0;
    }
}

static size_t fetch(uint64_t offset) {
    unsigned char length[4];
    for (int i = 0; i < 8; i++)
        request[offset_at + (size_t)i] = (unsigned char)(offset >> (56 - 8 * i));
    for (size_t at = 0; at < request_bytes;) {
        ssize_t sent = write(link_to, request + at, request_bytes - at);
        if (sent < 0)
            fail("write");
        at += (size_t)sent;
    }
    receive(length, 4);
    size_t size = (size_t)number(length, 4);
    if (size > reply_room && (reply = realloc(reply, reply_room = size)) == NULL)
        fail("memory");
    receive(reply, size);
    return size;
}

/* The offset after the last batch of a reply to a Fetch at `offset`. */
static uint64_t end_of(size_t size, uint64_t offset) {
    size_t at = 4 + 4 + 2 + 4 + 4; /* correlation, throttle, error, session, topics */
    at += 2 + (size_t)number(reply + at, 2) + 4 + 4; /* name, partitions, index */
    if (number(reply + 8, 2) != 0 || number(reply + at, 2) != 0)
        refuse("a fetch was refused");
    at += 2 + 8 + 8 + 8; /* error, high watermark, last stable offset, log start */
    uint64_t aborted = number(reply + at, 4);
    at += 4 + (aborted == 0xFFFFFFFF ? 0 : 16 * (size_t)aborted) + 4; /* preferred replica */
    size_t end = at + 4 + (size_t)number(reply + at, 4);
    if (end > size)
        refuse("a reply that is not what it says");
    for (at += 4; at + BATCH_HEAD_BYTES <= end;) {
        size_t next = at + BATCH_HEAD_BYTES + (size_t)number(reply + at + BATCH_LENGTH_AT, 4);
        if (next > end)
            break; /* a part of a batch, which Kafka may send */
        if (number(reply + at, 8) != offset)
            refuse("a gap between records");
        offset += 1 + number(reply + at + LAST_DELTA_AT, 4);
        at = next;
    }
    return offset;
}

static int is_stopped(void) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    return poll(&input, 1, 0) > 0;
}

int main(int count, char **words) {
    if (count != 6) {
        fprintf(stderr, "usage: reader PORT FILE OFFSET_AT RECORDS PASSES\n");
        return 2;
    }
    load(words[2]);
    offset_at = (size_t)atol(words[3]);
    uint64_t records = strtoull(words[4], NULL, 10), offset = 0, read_count = 0, requests = 0;
    int wanted = atoi(words[5]), passes = 0, is_begun = 0, empty_count = 0;
    int most = wanted == 0 || wanted > PASSES_MAX ? PASSES_MAX : wanted;
    start(atoi(words[1]));
    double used_s = cpu_s(), began_s = now_s(), pass_s = began_s;
    while (passes < most && (wanted > 0 || !is_stopped())) {
        uint64_t next = end_of(fetch(offset), offset);
        empty_count = next > offset ? 0 : empty_count + 1;
        if (empty_count == EMPTY_MAX)
            refuse("there are fewer records");
        requests++;
        read_count += next - offset;
        offset = next;
        if (!is_begun && read_count > 0) {
            printf("begun\n");
            fflush(stdout);
            is_begun = 1;
        }
        if (offset >= records) {
            double now = now_s();
            passes_s[passes++] = now - pass_s;
            pass_s = now;
            offset = 0;
        }
    }
    printf("{\"records\": %llu, \"seconds\": %.6f, \"cpu_s\": %.6f, \"requests\": %llu, \"passes_s\": [",
           (unsigned long long)read_count, now_s() - began_s, cpu_s() - used_s,
           (unsigned long long)requests);
    for (int i = 0; i < passes; i++)
        printf("%s%.6f", i ? ", " : "", passes_s[i]);
    printf("]}\n");
    return 0;
}
