// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the core that both drivers share, xen_netagg.h, in user space: the
 * container byte for byte, every check of the validation, and every regulator
 * against values worked out by hand or against the same formula in long double.
 */
#include <stdio.h>
#include <stdlib.h>

#include "xen_netagg.h"

#define US	1000ULL
#define MS	1000000ULL

static unsigned int failures;

#define CHECK(cond)							\
	do {								\
		if (!(cond)) {						\
			printf("%s:%d: not true: %s\n", __FILE__,	\
			       __LINE__, #cond);			\
			failures++;					\
		}							\
	} while (0)

#define CHECK_EQ(a, b)							\
	do {								\
		unsigned long long a_ = (a), b_ = (b);			\
		if (a_ != b_) {						\
			printf("%s:%d: %s is %llu, not %llu\n",		\
			       __FILE__, __LINE__, #a, a_, b_);		\
			failures++;					\
		}							\
	} while (0)

/* xorshift64*: the same numbers on every machine. */
static u64 random_state = 88172645463325252ULL;

static u64 random64(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	/* Only the low half of the product counts; no overflow in 128 bits. */
	return (u64)((unsigned __int128)random_state * 2685821657736338717ULL);
}

static u64 random_below(u64 n)
{
	return random64() % n;
}

static u8 page[XEN_NETAGG_SIZE] __attribute__((aligned(8)));

static u32 pack_two(void)
{
	struct xen_netagg_packer p;
	u8 *data;

	memset(page, 0xee, sizeof(page));
	xen_netagg_pack_begin(&p, page);
	data = xen_netagg_pack_frame(&p, 14, XEN_NETAGG_CSUM_BLANK, 0x01020304);
	memset(data, 0xaa, 14);
	data = xen_netagg_pack_frame(&p, 16, 0, 0x1ffffffffULL);
	memset(data, 0xbb, 16);
	return xen_netagg_pack_end(&p, XEN_NETAGG_TIMEOUT, 7, 0x0a0b0c0d);
}

static void test_wire(void)
{
	static const u8 expected[] = {
		0x41, 0x47, 1, 1, 2, 0, 64, 0, 7, 0, 0, 0,
		0x0d, 0x0c, 0x0b, 0x0a,
		14, 0, 2, 0, 4, 3, 2, 1,
		0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
		0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0, 0,
		16, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
		0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
		0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
	};

	CHECK_EQ(pack_two(), sizeof(expected));
	CHECK(memcmp(page, expected, sizeof(expected)) == 0);
	CHECK_EQ(page[sizeof(expected)], 0xee);
	CHECK_EQ((u64)xen_netagg_validate(page, sizeof(expected)), 2);
	CHECK_EQ(XEN_NETAGG_MAX_LEN, 4072);
	CHECK_EQ(XEN_NETAGG_MAX_FRAMES, 170);
	CHECK_EQ(XEN_NETAGG_MIN_USED, 40);
}

/* Every single malformation is refused. */
static void test_malformed(void)
{
	static const struct {
		const char *what;
		u32 at;
		u8 value;
	} cases[] = {
		{ "magic", 0, 0x42 },		{ "magic", 1, 0 },
		{ "version", 2, 2 },		{ "version", 2, 0 },
		{ "reason", 3, 4 },		{ "reason", 3, 255 },
		{ "count 0", 4, 0 },		{ "count less", 4, 1 },
		{ "count more", 4, 3 },		{ "count 171", 4, 171 },
		{ "count high", 5, 1 },		{ "used less", 6, 60 },
		{ "used more", 6, 68 },		{ "used high", 7, 16 },
		{ "len 13", 16, 13 },		{ "len 0", 16, 0 },
		{ "len into next", 16, 17 },	{ "len far", 17, 0xff },
		{ "flags", 18, 4 },		{ "flags high", 19, 1 },
		{ "padding", 38, 1 },		{ "padding", 39, 0x80 },
		{ "last len less", 40, 12 },	{ "last len more", 40, 20 },
		{ "last len far", 41, 0x10 },	{ "last flags", 42, 0x80 },
	};
	u32 used = pack_two(), size;
	unsigned int i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		u8 old = page[cases[i].at];

		page[cases[i].at] = cases[i].value;
		if (xen_netagg_validate(page, used) != -EINVAL) {
			printf("accepted: %s\n", cases[i].what);
			failures++;
		}
		page[cases[i].at] = old;
	}
	for (size = 0; size < 2 * XEN_NETAGG_SIZE; size++)
		CHECK((xen_netagg_validate(page, size) == 2) == (size == used));
	/* A length within the container's, that leaves no room for a header. */
	page[4] = 1;
	page[16] = 40;
	CHECK(xen_netagg_validate(page, used) == 1 || page[38]);
	page[16] = 36;
	CHECK_EQ((u64)xen_netagg_validate(page, used), (u64)-EINVAL);
}

/* Random containers come out as they went in; the fill rule leaves no room. */
static void test_round_trip(void)
{
	static u8 sent[XEN_NETAGG_MAX_FRAMES][XEN_NETAGG_MAX_LEN];
	static u32 lens[XEN_NETAGG_MAX_FRAMES];
	unsigned int run, i;

	for (run = 0; run < 2000; run++) {
		u32 max = run % 3 ? (run % 3 == 1 ? 100 : 1514) :
			  XEN_NETAGG_MAX_LEN;
		const struct xen_netagg_frame *frame;
		struct xen_netagg_unpacker u;
		struct xen_netagg_packer p;
		u32 n = 0, used, j;
		int count;
		u8 *to;

		memset(page, 0xcc, sizeof(page));
		xen_netagg_pack_begin(&p, page);
		for (;;) {
			u32 len = XEN_NETAGG_MIN_LEN + (u32)
				random_below(max - XEN_NETAGG_MIN_LEN + 1);

			to = xen_netagg_pack_frame(&p, len, n & 3, n);
			if (!to)
				break;
			for (j = 0; j < len; j++)
				sent[n][j] = to[j] = (u8)random64();
			lens[n++] = len;
		}
		used = xen_netagg_pack_end(&p, run & 3, run, run);
		CHECK(used <= XEN_NETAGG_SIZE);
		count = xen_netagg_validate(page, used);
		CHECK_EQ((u64)count, n);
		xen_netagg_unpack_begin(&u, page, (u32)count);
		for (i = 0; i < n; i++) {
			frame = xen_netagg_unpack_frame(&u);
			CHECK_EQ(frame->len, lens[i]);
			CHECK_EQ(frame->flags, i & 3);
			CHECK_EQ(frame->age_ns, i);
			CHECK(!memcmp(frame + 1, sent[i], lens[i]));
		}
		CHECK(!xen_netagg_unpack_frame(&u));
	}
	CHECK(!xen_netagg_pack_frame(&(struct xen_netagg_packer){ page, 16, 0 },
				     13, 0, 0));
	CHECK(!xen_netagg_pack_frame(&(struct xen_netagg_packer){ page, 16, 0 },
				     4073, 0, 0));
	CHECK(xen_netagg_pack_frame(&(struct xen_netagg_packer){ page, 16, 0 },
				    4072, 0, 0) != NULL);
}

static struct xen_netagg_step step;

static void arrive(struct xen_netagg_regulator *r, u64 now, u32 len)
{
	xen_netagg_arrive(r, now, len, &step);
}

/* The order of operations, and each reason for a release. */
static void test_static(void)
{
	struct xen_netagg_release rel;
	struct xen_netagg_regulator r;
	unsigned int i;

	xen_netagg_init(&r, XEN_NETAGG_STATIC, MS, 0);
	arrive(&r, 100, 60);
	CHECK(step.packed && !step.before.c.frames && !step.after.c.frames);
	CHECK_EQ(r.c.deadline, 100 + MS);
	/* Exactly at the deadline: still goes along, and releases. */
	arrive(&r, 100 + MS, 60);
	CHECK_EQ(step.after.c.frames, 2);
	CHECK_EQ(step.after.c.used, 16 + 2 * 68);
	CHECK_EQ(step.after.reason, XEN_NETAGG_TIMEOUT);
	CHECK_EQ(step.after.c.seq, 0);
	/* After the deadline: the timer has released it before. */
	arrive(&r, 2 * MS, 60);
	arrive(&r, 3 * MS + 1, 60);
	CHECK_EQ(step.before.c.frames, 1);
	CHECK_EQ(step.before.when, 3 * MS);
	CHECK_EQ(step.before.reason, XEN_NETAGG_TIMEOUT);
	CHECK_EQ(r.c.frames, 1);
	/* What cannot be packed travels alone. */
	arrive(&r, 3 * MS + 2, 0);
	CHECK(!step.packed);
	CHECK_EQ(step.before.reason, XEN_NETAGG_BYPASS);
	CHECK_EQ(step.before.c.frames, 1);
	arrive(&r, 3 * MS + 3, 4073);
	CHECK(!step.packed && !step.before.c.frames);
	/* 60 frames of 60 bytes: (4096 - 16) / 68. */
	for (i = 1; i <= 60; i++) {
		arrive(&r, 4 * MS, 60);
		CHECK_EQ(step.after.c.frames, i == 60 ? 60 : 0);
	}
	CHECK_EQ(step.after.reason, XEN_NETAGG_FULL);
	/* One that does not fit opens the next. */
	arrive(&r, 5 * MS, 1000);
	CHECK(!step.after.c.frames);
	arrive(&r, 5 * MS, 3500);
	CHECK_EQ(step.before.c.frames, 1);
	CHECK_EQ(step.before.reason, XEN_NETAGG_FULL);
	CHECK_EQ(step.after.c.frames, 1);
	CHECK_EQ(step.after.reason, XEN_NETAGG_FULL);
	/* Time-outs of a timer. */
	arrive(&r, 6 * MS, 60);
	CHECK(!xen_netagg_expire(&r, 7 * MS - 1, &rel));
	CHECK(xen_netagg_expire(&r, 7 * MS, &rel));
	CHECK_EQ(rel.when, 7 * MS);
	CHECK(!xen_netagg_expire(&r, 9 * MS, &rel));
	/* No hold at all. */
	xen_netagg_init(&r, XEN_NETAGG_STATIC, 0, 0);
	arrive(&r, 5, 60);
	CHECK_EQ(step.after.c.frames, 1);
	CHECK_EQ(step.after.reason, XEN_NETAGG_TIMEOUT);
}

static void test_nowait(void)
{
	struct xen_netagg_release rel;
	struct xen_netagg_regulator r;
	unsigned int i;

	xen_netagg_init(&r, XEN_NETAGG_NOWAIT, MS, 0);
	for (i = 0; i < 70; i++) {
		arrive(&r, i * 10 * MS, 60);
		CHECK(!step.before.c.frames);
		CHECK_EQ(step.after.c.frames, i == 59 ? 60 : 0);
	}
	CHECK(!xen_netagg_expire(&r, ~0ULL, &rel) || r.c.deadline == ~0ULL);
	xen_netagg_init(&r, XEN_NETAGG_NOWAIT, MS, 0);
	arrive(&r, 1, 60);
	arrive(&r, 2, 60);
	CHECK(xen_netagg_drain(&r, 3, &rel));
	CHECK_EQ(rel.c.frames, 2);
	CHECK_EQ(rel.reason, XEN_NETAGG_BACKLOG);
	CHECK(!xen_netagg_drain(&r, 4, &rel));
}

/* P_k = 4 (1 - 0.99^k) units, whatever the traffic is. */
static void test_literal(void)
{
	struct xen_netagg_regulator r;
	long double power = 1;
	unsigned int k;

	xen_netagg_init(&r, XEN_NETAGG_LITERAL, 100 * MS, MS);
	for (k = 1; k <= 1000; k++) {
		long double p, diff;

		arrive(&r, k * 1000 * MS, 60);
		power *= 0.99L;
		p = 4 * (1 - power) * MS;
		diff = p - (long double)(r.c.deadline - k * 1000 * MS);
		CHECK(diff < 0.51L && diff > -0.51L);
	}
	/* 4 units are over the cap. */
	xen_netagg_init(&r, XEN_NETAGG_LITERAL, MS, MS);
	for (k = 1; k <= 1000; k++)
		arrive(&r, k * 1000 * MS, 60);
	CHECK_EQ(r.c.deadline, 1001 * 1000 * MS - 1000 * MS + MS);
}

/* Against the same filter in long double: kernel P is within 0.51 ns. */
static void test_paper_error(void)
{
	struct xen_netagg_regulator r;
	long double d = 0, v = 0, worst = 0;
	u64 now = 0;
	unsigned int i;

	xen_netagg_init(&r, XEN_NETAGG_PAPER, XEN_NETAGG_T0_MAX, 0);
	arrive(&r, now, 60);
	CHECK_EQ(xen_netagg_hold(&r, MS), MS * !r.sampled);
	for (i = 0; i < 200000; i++) {
		u64 gap = i % 7 ? random_below(1 + (1ULL << (i % 32))) :
				  random_below(1000);
		long double p, diff;

		if (d + 4 * v > 4e9L)
			gap = 0;
		now += gap;
		arrive(&r, now, 0);
		d = 0.99L * d + 0.01L * gap;
		v = 0.99L * v + 0.01L * (d > gap ? d - gap : gap - d);
		p = d + 4 * v;
		if (p > XEN_NETAGG_T0_MAX)
			continue;
		diff = p - xen_netagg_hold(&r, XEN_NETAGG_T0_MAX);
		if (diff < 0)
			diff = -diff;
		if (diff > worst)
			worst = diff;
	}
	printf("paper: P differs from long double by %.4Lf ns at most\n", worst);
	CHECK(worst < 0.51L && worst > 0);
}

/* Constant rate: V fades, P is one gap, and the mean gives two frames. */
static void test_paper_cbr(void)
{
	struct xen_netagg_regulator r;
	u64 now = 0, frames = 0, containers = 0;
	unsigned int i;

	xen_netagg_init(&r, XEN_NETAGG_PAPER, MS, 0);
	for (i = 0; i < 20000; i++) {
		now += 100 * US;
		arrive(&r, now, 60);
		if (i >= 10000 && step.before.c.frames) {
			frames += step.before.c.frames;
			containers++;
		}
		if (i >= 10000 && step.after.c.frames) {
			frames += step.after.c.frames;
			containers++;
		}
	}
	CHECK_EQ((r.d + 32768) >> 16, 100 * US);
	CHECK(r.v < 65536);
	printf("paper, constant rate: %.3f frames in a container\n",
	       (double)frames / (double)containers);
	CHECK(frames >= 3 * containers / 2 && frames <= 5 * containers / 2);
}

static void test_gated(void)
{
	struct xen_netagg_regulator r;
	u64 now = 0, held = 0, opened;
	unsigned int i;

	/* Gaps of 5 ms, T0 of 1 ms: never a second frame, the gate closes. */
	xen_netagg_init(&r, XEN_NETAGG_GATED, MS, 0);
	for (i = 0; i < 6400; i++) {
		now += 5 * MS;
		arrive(&r, now, 60);
		CHECK(!r.sampled);
		if (r.c.frames)
			held++;
		else
			CHECK_EQ(step.after.reason, XEN_NETAGG_TIMEOUT);
	}
	/*
	 * phi = 0.9^k is below 1/4 after 14 containers (0.9^13 = 0.254). One
	 * in 64 of the other 6386 is a probe.
	 */
	CHECK_EQ(held, 14 + 6386 / 64);
	CHECK(r.phi < 16384);

	/* Gaps of 50 us: every container gets more than one frame. */
	opened = r.closed;
	for (i = 0; i < 64 * 20; i++) {
		now += 50 * US;
		arrive(&r, now, 60);
	}
	CHECK(r.phi > 16384);
	CHECK(r.closed > opened);
	/* The floor of 20 us is what makes them wait for the second frame. */
	for (i = 0; i < 20000; i++) {
		now += 50 * US;
		arrive(&r, now, 60);
	}
	CHECK_EQ((r.d + 32768) >> 16, 50 * US);
	CHECK_EQ(xen_netagg_hold(&r, MS), 70 * US);
	CHECK(r.phi > 65000);
}

static void test_ramjee(void)
{
	struct xen_netagg_regulator r;
	u64 now = 0, q = 65536;
	unsigned int i;

	/* 1: two steps of the filter by hand. */
	xen_netagg_init(&r, XEN_NETAGG_RAMJEE1, 20 * MS, 0);
	arrive(&r, 0, 60);
	CHECK_EQ(r.c.deadline, 20 * MS);
	arrive(&r, MS, 0);
	CHECK_EQ(r.d, (1998 * MS * q + 500000) / 1000000);
	CHECK_EQ(r.v, (1998 * (MS * q - r.d) + 500000) / 1000000);
	arrive(&r, 2 * MS, 60);
	CHECK_EQ(r.c.deadline, 2 * MS + ((r.d + 4 * r.v + 32768) >> 16));
	/* What comes later in the same container does not change it. */
	now = r.c.deadline;
	arrive(&r, 2 * MS + 1, 60);
	CHECK_EQ(r.c.deadline, now);

	/* 2: up at once, slowly down. */
	xen_netagg_init(&r, XEN_NETAGG_RAMJEE2, 20 * MS, 0);
	arrive(&r, 0, 0);
	arrive(&r, 4 * MS, 0);
	CHECK_EQ(r.d, MS * q);
	arrive(&r, 4 * MS, 0);
	CHECK_EQ(r.d, (998002 * (MS * q) + 500000) / 1000000);

	/* 3: the shortest gap of the container before. */
	xen_netagg_init(&r, XEN_NETAGG_RAMJEE3, 20 * MS, 0);
	arrive(&r, 0, 60);
	arrive(&r, 7 * MS, 60);
	arrive(&r, 9 * MS, 60);
	CHECK(r.d != 2 * MS * q);
	arrive(&r, 14 * MS, 0);
	CHECK_EQ(r.d, 2 * MS * q);
	arrive(&r, 15 * MS, 60);
	CHECK_EQ(r.d, 2 * MS * q);
	arrive(&r, 15 * MS, 0);
	CHECK_EQ(r.d, MS * q);

	/* 4: a spike is followed, and its end noticed. */
	xen_netagg_init(&r, XEN_NETAGG_RAMJEE4, MS, 0);
	now = 0;
	arrive(&r, now, 0);
	for (i = 0; i < 200; i++)
		arrive(&r, now += 100 * US, 0);
	CHECK(!r.spike);
	CHECK((r.d + 32768) >> 16 >= 99 * US && (r.d + 32768) >> 16 <= 101 * US);
	arrive(&r, now += 5 * MS, 0);
	CHECK(r.spike);
	CHECK((r.d >> 16) >= 4900 * US);
	for (i = 0; i < 100 && r.spike; i++)
		arrive(&r, now += 100 * US, 0);
	CHECK(!r.spike && i > 3);
}

static void test_breakeven(void)
{
	struct xen_netagg_regulator r;
	struct xen_netagg_release rel;
	u64 now = 0, left = 0;
	unsigned int i, held;

	/* Classes: the end of each is the begin of the next. */
	CHECK_EQ(xen_netagg_class(0), 0);
	CHECK_EQ(xen_netagg_class(~0ULL), XEN_NETAGG_CLASSES);
	for (i = 0; i < XEN_NETAGG_CLASSES; i++) {
		CHECK_EQ(xen_netagg_class(xen_netagg_class_end(i) - 1), i);
		CHECK_EQ(xen_netagg_class(xen_netagg_class_end(i)), i + 1);
	}

	/* Too sparse for T0: nothing waits. */
	xen_netagg_init(&r, XEN_NETAGG_BREAKEVEN, MS, 0);
	for (i = 0; i < 3000; i++) {
		arrive(&r, now += 5 * MS, 60);
		CHECK_EQ(step.after.c.frames, 1);
		CHECK_EQ(step.after.when, now);
	}

	/* Ten frames in 90 us, then silence: they go together, and wait for no
	 * more than a gap and its class when they are complete.
	 */
	xen_netagg_init(&r, XEN_NETAGG_BREAKEVEN, MS, 0);
	for (i = 0; i < 20000; i++) {
		now += i % 10 ? 10 * US : 6 * MS;
		arrive(&r, now, 60);
		if (i < 10000)
			continue;
		if (i % 10) {
			CHECK(!step.before.c.frames);
		} else {
			CHECK_EQ(step.before.c.frames, 10);
			CHECK(step.before.when - step.before.c.opened <= 103 * US);
		}
	}

	/* A closed loop, whose next frame comes 200 us after the release of the
	 * one before: holding brings nothing, and is given up but for probes.
	 */
	xen_netagg_init(&r, XEN_NETAGG_BREAKEVEN, 10 * MS, 0);
	for (i = 0, held = 0; i < 20000; i++) {
		arrive(&r, now, 60);
		left = now;
		if (!step.after.c.frames) {
			left = r.c.deadline;
			CHECK(left <= now + 10 * MS);
			CHECK(xen_netagg_expire(&r, left, &rel));
			CHECK_EQ(rel.c.frames, 1);
			held++;
		}
		now = left + 200 * US;
	}
	CHECK(held > 0 && held < 60);

	/* A busy consumer keeps a container open whose time is up. */
	xen_netagg_init(&r, XEN_NETAGG_BREAKEVEN, MS, 0);
	xen_netagg_consumer(&r, true);
	for (i = 0; i < 20; i++) {
		arrive(&r, now += 5 * MS, 60);
		CHECK(!step.before.c.frames && !step.after.c.frames);
		CHECK(!xen_netagg_expire(&r, now + MS, &rel));
	}
	xen_netagg_consumer(&r, false);
	CHECK(xen_netagg_drain(&r, now, &rel));
	CHECK_EQ(rel.c.frames, 20);
	CHECK_EQ(rel.reason, XEN_NETAGG_BACKLOG);
}

static void test_playout(void)
{
	struct xen_netagg_playout p;
	unsigned int i;
	bool late;
	u64 due, last = 0;

	/* Frames of even age: delay settles at the age, none is late. */
	xen_netagg_playout_init(&p, 10 * MS);
	for (i = 0; i < 5000; i++)
		due = xen_netagg_playout(&p, i * MS, 500 * US, &late);
	CHECK(due - (i - 1) * MS <= 1);

	/* Ages 900, 600, 300, 0 us at once: delivered 300 us apart. */
	xen_netagg_playout_init(&p, 10 * MS);
	for (i = 0; i < 20000; i++) {
		u64 now = i / 4 * 2 * MS;

		due = xen_netagg_playout(&p, now, (3 - i % 4) * 300 * US,
					 &late);
		if (i > 10000) {
			CHECK(!late);
			if (i % 4)
				CHECK(due - last + 20 * US > 300 * US &&
				      due - last < 320 * US);
		}
		CHECK(due >= last && due >= now);
		last = due;
	}
	/* Never longer than the cap. */
	xen_netagg_playout_init(&p, 100 * US);
	for (i = 0; i < 1000; i++) {
		due = xen_netagg_playout(&p, i * MS, (i % 2) * 50 * MS, &late);
		CHECK(due <= i * MS + 100 * US);
		CHECK(late == (i % 2 == 1));
	}
}

/* What holds for all of them, on hostile input. */
static void test_properties(void)
{
	unsigned int kind, run, i;

	for (kind = 0; kind < XEN_NETAGG_KINDS; kind++) {
		CHECK(strcmp(xen_netagg_name(kind), "unknown") != 0);
		for (run = 0; run < 300; run++) {
			static const u64 t0s[] = { 0, 1, 50 * US, MS, 20 * MS,
						   ~0ULL };
			u64 t0 = t0s[run % 6], now = 0;
			u64 in = 0, out = 0, bypassed = 0, last = 0;
			struct xen_netagg_release rel;
			struct xen_netagg_regulator r;
			u32 seq = 0;

			xen_netagg_init(&r, kind, t0,
					run % 5 ? MS : ~0ULL);
			for (i = 0; i < 1000; i++) {
				struct xen_netagg_release *rels[2] = {
					&step.before, &step.after };
				u64 shift = random_below(run % 7 ? 26 : 64);
				u64 gap = random64() >> (63 - shift);
				u32 len = (u32)random_below(5000), k;

				/* Time may stand still, jump or run back. */
				if (run % 11 == 0 && i % 50 == 0)
					now = random64();
				else
					now = gap > ~0ULL - now ? ~0ULL :
					      now + gap;
				if (run % 2 && len > 4072)
					len = 60;
				arrive(&r, now, len);
				in++;
				bypassed += !step.packed;
				for (k = 0; k < 2; k++) {
					if (!rels[k]->c.frames)
						continue;
					out += rels[k]->c.frames;
					CHECK_EQ(rels[k]->c.seq, seq);
					seq++;
					CHECK(rels[k]->when >= last);
					last = rels[k]->when;
					CHECK(rels[k]->c.used <= 4096);
					CHECK(rels[k]->c.frames <= 170);
					if (kind != XEN_NETAGG_NOWAIT)
						CHECK(rels[k]->when -
						      rels[k]->c.opened <=
						      rels[k]->c.t0);
				}
			}
			if (xen_netagg_drain(&r, now, &rel))
				out += rel.c.frames;
			CHECK_EQ(in, out + bypassed);
		}
	}
}

/* Containers of all kinds of frames, to begin a corpus for the fuzzer with. */
static void write_seeds(const char *folder)
{
	static const u32 lens[] = { 14, 15, 60, 98, 1024, 1514, 4072, 0 };
	unsigned int i;

	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct xen_netagg_packer p;
		char name[4096];
		u32 used, n = 0;
		FILE *file;
		u8 *to;

		xen_netagg_pack_begin(&p, page);
		for (;;) {
			u32 len = lens[i] ? lens[i] : 14 + n * 7;

			to = xen_netagg_pack_frame(&p, len, n & 3, n);
			if (!to || (i & 1 && n == 2))
				break;
			memset(to, (int)n, len);
			n++;
		}
		used = xen_netagg_pack_end(&p, i & 3, i, i);
		snprintf(name, sizeof(name), "%s/seed-%u", folder, lens[i]);
		file = fopen(name, "wb");
		if (!file || fwrite(page, 1, used, file) != used ||
		    fclose(file)) {
			perror(name);
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--seeds")) {
		write_seeds(argv[2]);
		return 0;
	}

	test_wire();
	test_malformed();
	test_round_trip();
	test_static();
	test_nowait();
	test_literal();
	test_paper_error();
	test_paper_cbr();
	test_gated();
	test_ramjee();
	test_breakeven();
	test_playout();
	test_properties();
	printf(failures ? "%u checks failed\n" : "all checks passed\n", failures);
	return failures ? 1 : 0;
}
