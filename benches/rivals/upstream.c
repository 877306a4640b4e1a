/* upstream.c - what nginx proxies to: echoes streams on a Unix socket and datagrams on 127.0.0.1. For each flow of
 * polyport-load it counts how often the address that nginx sends from changes: to a server behind it, each change looks
 * like another client. SIGTERM ends it; then it prints the counts.
 *     cc -O2 -o upstream upstream.c; ./upstream SOCKET PORT */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FLOWS = 65536, TEXT = 2048 };

static unsigned short last[FLOWS];
static unsigned long datagrams, flips, flows;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

/* The number of the flow in a message of polyport-load: WORD.fFLOW.NUMBER. */
static void note(const char *text, unsigned short port) {
  const char *found = strstr(text, ".f");
  if (found == NULL) return;
  unsigned long flow = strtoul(found + 2, NULL, 10) % FLOWS;
  datagrams++;
  flows += last[flow] == 0;
  flips += last[flow] != 0 && last[flow] != port;
  last[flow] = port;
}

static void echo_datagrams(int udp) {
  char text[TEXT + 1];
  struct sockaddr_in from;
  for (;;) {
    socklen_t size = sizeof from;
    ssize_t n = recvfrom(udp, text, TEXT, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
    if (n < 0) return;
    text[n] = 0;
    note(text, ntohs(from.sin_port));
    sendto(udp, text, (size_t)n, 0, (struct sockaddr *)&from, size);
  }
}

static void echo_stream(int fd) {
  char text[TEXT];
  ssize_t n = recv(fd, text, sizeof text, 0);
  if (n <= 0 || send(fd, text, (size_t)n, MSG_NOSIGNAL) != n) close(fd);
}

static void watch(int epoll, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
}

int main(int argc, char **argv) {
  if (argc != 3) return fprintf(stderr, "usage: upstream SOCKET PORT\n"), 2;
  struct sockaddr_un path = {.sun_family = AF_UNIX};
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2]))};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  snprintf(path.sun_path, sizeof path.sun_path, "%s", argv[1]);
  int streams = socket(AF_UNIX, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0), room = 8 << 20;
  setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  if (bind(streams, (struct sockaddr *)&path, sizeof path) < 0 || listen(streams, 4096) < 0) fail(argv[1]);
  if (bind(udp, (struct sockaddr *)&at, sizeof at) < 0) fail(argv[2]);
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigprocmask(SIG_BLOCK, &ends, NULL);
  int over = signalfd(-1, &ends, 0), epoll = epoll_create1(0);
  watch(epoll, streams), watch(epoll, udp), watch(epoll, over);
  for (;;) {
    struct epoll_event events[64];
    int n = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd == streams) {
        int peer = accept(streams, NULL, NULL);
        if (peer >= 0) watch(epoll, peer);
      } else if (fd == udp) {
        echo_datagrams(udp);
      } else if (fd == over) {
        printf("upstream: %lu datagrams of %lu flows, the sender of a flow changed %lu times\n", datagrams, flows, flips);
        return 0;
      } else {
        echo_stream(fd);
      }
    }
  }
}
