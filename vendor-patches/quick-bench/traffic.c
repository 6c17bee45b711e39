// SPDX-License-Identifier: GPL-2.0
/*
 * Sends packets from one network namespace to another and checks what comes:
 * nothing may be lost, duplicated, reordered (within a flow) or changed.
 *
 *	traffic udp|bulk|rr --to ADDRESS [options]
 *
 *	--from-ns FILE, --to-ns FILE	namespaces; default: the current one
 *	--size N or N-M			length of the frames, 60 to 1514; N-M: any in between
 *	--count N			packets (udp), requests (rr), KiB (bulk)
 *	--window N			udp: at most so many packets are under way
 *	--gap US			udp: time between two packets
 *	--flows N			udp: so many sockets, in turn
 *
 * The window is what makes "nothing lost" a fair demand at any speed: sender
 * and receiver share memory, and the sender waits when N packets are out.
 *
 * Prints one line of `name=value`, and ends with 0 if all is well, 1 if not, 2
 * if it could not be tried.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HEADERS 42 /* Ethernet, IPv4, UDP */
#define MAX_FLOWS 64
#define PORT 5201
#define SILENCE_S 5 /* after this time without a packet the rest is lost */

struct shared {
	atomic_uint ready;
	atomic_uint received;
	atomic_uint over;
	uint64_t first_ns, last_ns;
	uint64_t bad, reordered, duplicated;
	uint64_t delay_sum_ns, delay_max_ns;
};

struct packet { /* the beginning of the payload; a pattern follows */
	uint64_t sent_ns;
	uint32_t seq;
	uint8_t flow;
	uint8_t salt;
} __attribute__((packed));

static struct {
	const char *mode, *to, *from_ns, *to_ns;
	unsigned int low, high, count, window, gap_us, flows;
} o = { .low = 60, .high = 60, .count = 1000, .window = 256, .flows = 1 };

static void die(const char *what)
{
	fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void enter(const char *file)
{
	int fd;

	if (!file)
		return;
	fd = open(file, O_RDONLY);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(file);
	close(fd);
}

static uint32_t mix(uint32_t x)
{
	x ^= x >> 16;
	x *= 0x7feb352dU;
	x ^= x >> 15;
	x *= 0x846ca68bU;
	return x ^ (x >> 16);
}

/* Length of the payload of packet @seq: both ends work it out. */
static unsigned int payload_of(uint32_t seq)
{
	return o.low - HEADERS + (o.high > o.low ? mix(seq) % (o.high - o.low + 1) : 0);
}

static void fill(uint8_t *data, unsigned int from, unsigned int to, uint32_t seed)
{
	for (unsigned int i = from; i < to; i++)
		data[i] = (uint8_t)(mix(seed + i / 4) >> (8 * (i % 4)));
}

static int open_socket(int type, struct sockaddr_in *address)
{
	int fd = socket(AF_INET, type, 0), big = 32 << 20, one = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (type == SOCK_DGRAM && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big)))
		die("SO_RCVBUFFORCE");
	*address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(PORT) };
	if (inet_pton(AF_INET, o.to, &address->sin_addr) != 1) {
		errno = EINVAL;
		die(o.to);
	}
	return fd;
}

static void receive_udp(struct shared *s)
{
	struct timeval silence = { .tv_sec = SILENCE_S };
	static uint8_t data[65536], expected[65536];
	static uint32_t next[MAX_FLOWS];
	struct sockaddr_in address;
	uint8_t *seen = calloc(o.count, 1);
	int fd = open_socket(SOCK_DGRAM, &address);

	if (!seen || bind(fd, (void *)&address, sizeof(address)))
		die("bind");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
	atomic_store(&s->ready, 1);
	while (atomic_load(&s->received) < o.count) {
		ssize_t n = recv(fd, data, sizeof(data), 0);
		struct packet *p = (void *)data;
		uint64_t t = now_ns();

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		if (n < (ssize_t)sizeof(*p) || p->seq >= o.count || p->flow != p->seq % o.flows ||
		    n != payload_of(p->seq)) {
			s->bad++;
			continue;
		}
		fill(expected, sizeof(*p), (unsigned int)n, p->seq * 7919 + p->salt);
		if (memcmp(expected + sizeof(*p), data + sizeof(*p), (size_t)n - sizeof(*p)))
			s->bad++;
		if (seen[p->seq]) {
			s->duplicated++;
			continue;
		}
		seen[p->seq] = 1;
		if (p->seq < next[p->flow])
			s->reordered++;
		next[p->flow] = p->seq + 1;
		if (!s->first_ns)
			s->first_ns = t;
		s->last_ns = t;
		s->delay_sum_ns += t - p->sent_ns;
		if (t - p->sent_ns > s->delay_max_ns)
			s->delay_max_ns = t - p->sent_ns;
		atomic_fetch_add(&s->received, 1);
	}
	atomic_store(&s->over, 1);
}

static void pause_ns(uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };

	nanosleep(&t, NULL);
}

static void send_udp(struct shared *s)
{
	static uint8_t data[65536];
	struct sockaddr_in address;
	int fds[MAX_FLOWS];
	uint64_t due = now_ns();

	for (unsigned int i = 0; i < o.flows; i++) {
		fds[i] = open_socket(SOCK_DGRAM, &address);
		if (connect(fds[i], (void *)&address, sizeof(address)))
			die("connect");
	}
	for (uint32_t seq = 0; seq < o.count && !atomic_load(&s->over); seq++) {
		struct packet *p = (void *)data;
		unsigned int len = payload_of(seq);

		while (seq - atomic_load(&s->received) >= o.window && !atomic_load(&s->over))
			pause_ns(50000);
		if (o.gap_us) {
			due += o.gap_us * 1000ULL;
			uint64_t now = now_ns();

			if (due > now)
				pause_ns(due - now);
		}
		p->seq = seq;
		p->flow = (uint8_t)(seq % o.flows);
		p->salt = (uint8_t)mix(seq);
		fill(data, sizeof(*p), len, seq * 7919 + p->salt);
		p->sent_ns = now_ns();
		while (send(fds[p->flow], data, len, 0) < 0)
			if (errno != EINTR && errno != ENOBUFS)
				die("send");
	}
}

static void read_all(int fd, uint8_t *data, size_t n)
{
	while (n) {
		ssize_t got = read(fd, data, n);

		if (got <= 0)
			die("read");
		data += got;
		n -= (size_t)got;
	}
}

static void write_all(int fd, const uint8_t *data, size_t n)
{
	while (n) {
		ssize_t put = write(fd, data, n);

		if (put <= 0)
			die("write");
		data += put;
		n -= (size_t)put;
	}
}

static void receive_tcp(struct shared *s)
{
	static uint8_t data[1024], expected[1024];
	struct sockaddr_in address;
	int listener = open_socket(SOCK_STREAM, &address), fd, one = 1;

	if (bind(listener, (void *)&address, sizeof(address)) || listen(listener, 1))
		die("listen");
	atomic_store(&s->ready, 1);
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		die("accept");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->first_ns = now_ns();
	for (uint32_t i = 0; i < o.count; i++) {
		unsigned int n = o.mode[0] == 'b' ? sizeof(data) : 1 + mix(i) % 200;

		read_all(fd, data, n);
		fill(expected, 0, n, i * 7919);
		if (memcmp(data, expected, n))
			s->bad++;
		atomic_fetch_add(&s->received, 1);
		if (o.mode[0] == 'r')
			write_all(fd, data, n);
	}
	s->last_ns = now_ns();
	atomic_store(&s->over, 1);
}

static void send_tcp(struct shared *s)
{
	static uint8_t data[1024], answer[1024];
	struct sockaddr_in address;
	int fd = open_socket(SOCK_STREAM, &address), one = 1;

	if (connect(fd, (void *)&address, sizeof(address)))
		die("connect");
	if (o.mode[0] == 'r')
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (uint32_t i = 0; i < o.count; i++) {
		unsigned int n = o.mode[0] == 'b' ? sizeof(data) : 1 + mix(i) % 200;
		uint64_t t = now_ns();

		fill(data, 0, n, i * 7919);
		write_all(fd, data, n);
		if (o.mode[0] == 'r') {
			read_all(fd, answer, n);
			if (memcmp(data, answer, n))
				s->bad++;
			t = now_ns() - t;
			s->delay_sum_ns += t;
			if (t > s->delay_max_ns)
				s->delay_max_ns = t;
		}
	}
	shutdown(fd, SHUT_WR);
	while (!atomic_load(&s->over))
		pause_ns(1000000);
}

static unsigned int number(const char *text, const char **end)
{
	char *rest;
	unsigned long n = strtoul(text, &rest, 10);

	if (rest == text || (*rest && *rest != '-') || n > 100000000) {
		fprintf(stderr, "traffic: `%s` is no number\n", text);
		exit(2);
	}
	*end = rest;
	return (unsigned int)n;
}

int main(int argc, char **argv)
{
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const char *end;
	int status = 0, ok;
	pid_t child;

	if (argc < 2)
		return 2;
	o.mode = argv[1];
	for (int i = 2; i + 1 < argc; i += 2) {
		const char *name = argv[i], *value = argv[i + 1];

		if (!strcmp(name, "--to"))
			o.to = value;
		else if (!strcmp(name, "--from-ns"))
			o.from_ns = value;
		else if (!strcmp(name, "--to-ns"))
			o.to_ns = value;
		else if (!strcmp(name, "--size")) {
			o.low = o.high = number(value, &end);
			if (*end == '-')
				o.high = number(end + 1, &end);
		} else if (!strcmp(name, "--count"))
			o.count = number(value, &end);
		else if (!strcmp(name, "--window"))
			o.window = number(value, &end);
		else if (!strcmp(name, "--gap"))
			o.gap_us = number(value, &end);
		else if (!strcmp(name, "--flows"))
			o.flows = number(value, &end);
		else {
			fprintf(stderr, "traffic: unknown option %s\n", name);
			return 2;
		}
	}
	if (!o.to || s == MAP_FAILED || o.low < HEADERS + sizeof(struct packet) || o.high < o.low ||
	    o.flows < 1 || o.flows > MAX_FLOWS || !o.count) {
		fprintf(stderr, "traffic: --to is missing, or a number is out of range\n");
		return 2;
	}

	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		enter(o.to_ns);
		if (o.mode[0] == 'u')
			receive_udp(s);
		else
			receive_tcp(s);
		_exit(0);
	}
	enter(o.from_ns);
	while (!atomic_load(&s->ready)) {
		if (waitpid(child, &status, WNOHANG) == child)
			return 2;
		pause_ns(1000000);
	}
	if (o.mode[0] == 'u')
		send_udp(s);
	else
		send_tcp(s);
	waitpid(child, &status, 0);

	uint64_t received = atomic_load(&s->received);

	ok = !status && received == o.count && !s->bad && !s->reordered && !s->duplicated;
	printf("received=%llu lost=%llu reordered=%llu duplicated=%llu bad=%llu us=%llu mean_us=%llu max_us=%llu\n",
	       (unsigned long long)received, (unsigned long long)(o.count - received),
	       (unsigned long long)s->reordered, (unsigned long long)s->duplicated, (unsigned long long)s->bad,
	       (unsigned long long)(s->last_ns - s->first_ns) / 1000,
	       (unsigned long long)(received ? s->delay_sum_ns / received / 1000 : 0),
	       (unsigned long long)s->delay_max_ns / 1000);
	return ok ? 0 : 1;
}
