/*
 * Drives the C core by lines on stdin, so that the model can be compared with it:
 *
 *   init NAME T0 UNIT      a regulator               -> ok, or unknown
 *   arrive NOW LEN         a frame; 0: not packable  -> before, after and whether it was packed
 *   expire NOW             a timer                   -> a release, or -
 *   drain NOW              the consumer              -> a release, or -
 *   busy 0|1               whether the consumer is   -> ok
 *   playout T0             a receiver                -> ok
 *   deliver NOW AGE        a frame                   -> time of delivery, whether late
 *   unpack HEX             a container               -> its fields and frames, or bad
 *   pack REASON SEQ HOLD [FLAGS AGE HEX]...          -> HEX; frames that do not fit are left out
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <xen_netagg.h>

static struct xen_netagg_regulator regulator;
static struct xen_netagg_playout receiver;

static void print_release(const struct xen_netagg_release *r)
{
	if (r->c.frames)
		printf("%llu/%llu/%u/%u/%u", (unsigned long long)r->when,
		       (unsigned long long)r->c.opened, r->c.frames, r->c.used,
		       (unsigned int)r->reason);
	else
		printf("-");
}

static void init(const char *name, u64 t0, u64 unit)
{
	unsigned int kind;

	for (kind = 0; kind < XEN_NETAGG_KINDS; kind++) {
		if (!strcmp(name, xen_netagg_name(kind))) {
			xen_netagg_init(&regulator, kind, t0, unit);
			printf("ok\n");
			return;
		}
	}
	printf("unknown\n");
}

static size_t from_hex(const char *hex, u8 *bytes)
{
	size_t n;

	for (n = 0; hex[2 * n] && hex[2 * n + 1]; n++) {
		unsigned int byte;

		sscanf(hex + 2 * n, "%2x", &byte);
		bytes[n] = (u8)byte;
	}
	return n;
}

static void print_hex(const u8 *bytes, size_t n)
{
	while (n--)
		printf("%02x", *bytes++);
}

static void unpack(const char *hex)
{
	size_t size = strlen(hex) / 2;
	/* Exactly as long as it says, so that a read beyond its end is seen. */
	u8 *bytes = malloc(size ? size : 1);
	const struct xen_netagg_hdr *hdr = (const void *)bytes;
	const struct xen_netagg_frame *frame;
	struct xen_netagg_unpacker u;
	int count;

	from_hex(hex, bytes);
	count = xen_netagg_validate(bytes, (u32)size);
	if (count < 0) {
		printf("bad\n");
	} else {
		printf("%u %u %u", hdr->reason, hdr->seq, hdr->hold_ns);
		xen_netagg_unpack_begin(&u, bytes, (u32)count);
		while ((frame = xen_netagg_unpack_frame(&u))) {
			printf(" %u/%u/", frame->flags, frame->age_ns);
			print_hex((const u8 *)(frame + 1), frame->len);
		}
		printf("\n");
	}
	free(bytes);
}

static void pack(char *args)
{
	u8 *page = malloc(XEN_NETAGG_SIZE);
	u8 frame[8192];
	struct xen_netagg_packer packer;
	unsigned int reason = strtoul(strtok(args, " "), NULL, 10);
	u32 seq = (u32)strtoul(strtok(NULL, " "), NULL, 10);
	u64 hold = strtoull(strtok(NULL, " "), NULL, 10);
	char *flags;

	memset(page, 0xaa, XEN_NETAGG_SIZE);
	xen_netagg_pack_begin(&packer, page);
	while ((flags = strtok(NULL, " "))) {
		u64 age = strtoull(strtok(NULL, " "), NULL, 10);
		u32 len = (u32)from_hex(strtok(NULL, " "), frame);
		void *data = xen_netagg_pack_frame(&packer, len,
						   (u16)strtoul(flags, NULL, 10), age);

		if (data)
			memcpy(data, frame, len);
	}
	print_hex(page, xen_netagg_pack_end(&packer, (u8)reason, seq, hold));
	printf("\n");
	free(page);
}

int main(void)
{
	char *line = NULL;
	size_t room = 0;

	while (getline(&line, &room, stdin) > 0) {
		struct xen_netagg_release release = {};
		struct xen_netagg_step step;
		unsigned long long a = 0, b = 0;
		char name[32];
		bool late;

		line[strcspn(line, "\n")] = 0;
		if (sscanf(line, "init %31s %llu %llu", name, &a, &b) == 3) {
			init(name, a, b);
		} else if (sscanf(line, "arrive %llu %llu", &a, &b) == 2) {
			xen_netagg_arrive(&regulator, a, (u32)b, &step);
			print_release(&step.before);
			printf(" ");
			print_release(&step.after);
			printf(" %d\n", step.packed);
		} else if (sscanf(line, "expire %llu", &a) == 1) {
			if (!xen_netagg_expire(&regulator, a, &release))
				release.c.frames = 0;
			print_release(&release);
			printf("\n");
		} else if (sscanf(line, "drain %llu", &a) == 1) {
			if (!xen_netagg_drain(&regulator, a, &release))
				release.c.frames = 0;
			print_release(&release);
			printf("\n");
		} else if (sscanf(line, "busy %llu", &a) == 1) {
			xen_netagg_consumer(&regulator, a != 0);
			printf("ok\n");
		} else if (sscanf(line, "playout %llu", &a) == 1) {
			xen_netagg_playout_init(&receiver, a);
			printf("ok\n");
		} else if (sscanf(line, "deliver %llu %llu", &a, &b) == 2) {
			a = xen_netagg_playout(&receiver, a, (u32)b, &late);
			printf("%llu %d\n", a, late);
		} else if (!strncmp(line, "unpack ", 7)) {
			unpack(line + 7);
		} else if (!strncmp(line, "pack ", 5)) {
			pack(line + 5);
		} else {
			fprintf(stderr, "not understood: %s\n", line);
			return 1;
		}
	}
	free(line);
	return 0;
}
