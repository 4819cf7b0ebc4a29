/* Sends one prepared request over and over on one connection, so many in flight, for some seconds.
 *
 * usage: tiny PORT FILE IN_FLIGHT SECONDS
 * FILE holds the request with its length in front; replies are counted, not read. Prints the replies
 * a second and the CPU seconds of this process a second. In C, because on a machine with two cores
 * whatever the sender takes the broker does not have.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_BYTES_MAX = 1 << 16, REPLY_BYTES_MAX = 1 << 20 };

static char request[REQUEST_BYTES_MAX];
static char replies[REPLY_BYTES_MAX];

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

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int connected(int port) {
    int one = 1;
    int link = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (link < 0 || connect(link, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect");
    setsockopt(link, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return link;
}

static void send_all(int link, const char *data, size_t size) {
    while (size > 0) {
        ssize_t sent = write(link, data, size);
        if (sent <= 0)
            fail("write");
        data += sent;
        size -= (size_t)sent;
    }
}

/* How many whole replies are in the buffer; what is left of the next one moves to its front. */
static size_t taken(size_t *have) {
    size_t at = 0, count = 0;
    while (*have - at >= 4) {
        uint32_t length;
        memcpy(&length, replies + at, 4);
        length = ntohl(length);
        if (*have - at < 4 + (size_t)length)
            break;
        at += 4 + (size_t)length;
        count++;
    }
    memmove(replies, replies + at, *have - at);
    *have -= at;
    return count;
}

int main(int count, char **words) {
    if (count != 5) {
        fprintf(stderr, "usage: tiny PORT FILE IN_FLIGHT SECONDS\n");
        return 2;
    }
    FILE *file = fopen(words[2], "rb");
    if (file == NULL)
        fail(words[2]);
    size_t size = fread(request, 1, sizeof request, file);
    size_t in_flight = (size_t)atoi(words[3]);
    double seconds = atof(words[4]);
    char *many = malloc(size * in_flight);
    if (size == 0 || many == NULL)
        fail("request");
    for (size_t i = 0; i < in_flight; i++)
        memcpy(many + i * size, request, size);
    int link = connected(atoi(words[1]));
    double began_s = now_s(), began_cpu_s = cpu_s();
    size_t have = 0, answered = 0;
    send_all(link, many, size * in_flight);
    while (now_s() - began_s < seconds) {
        ssize_t got = read(link, replies + have, sizeof replies - have);
        if (got <= 0)
            fail("read");
        have += (size_t)got;
        size_t done = taken(&have);
        answered += done;
        send_all(link, many, size * done);
    }
    double took_s = now_s() - began_s;
    printf("%.0f %.4f\n", (double)answered / took_s, (cpu_s() - began_cpu_s) / took_s);
    return 0;
}
