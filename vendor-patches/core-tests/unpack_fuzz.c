// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target of the receiving side: whatever bytes come, xen_netagg_validate()
 * and the unpacker read nothing outside of them, and what is accepted is
 * exactly what the packer writes.
 */
#include <stdint.h>
#include <stdlib.h>

#include "xen_netagg.h"

static void require(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static u8 again[XEN_NETAGG_SIZE] __attribute__((aligned(8)));
	const struct xen_netagg_frame *frame;
	struct xen_netagg_unpacker u;
	struct xen_netagg_packer p;
	const struct xen_netagg_hdr *hdr;
	u8 *page;
	int count;
	u32 n = 0;

	if (size > XEN_NETAGG_SIZE + 64)
		return 0;
	/* On the heap and of this size, for AddressSanitizer to see overruns. */
	page = malloc(size ? size : 1);
	require(page);
	memcpy(page, data, size);

	count = xen_netagg_validate(page, (u32)size);
	if (count < 0) {
		require(count == -EINVAL);
		free(page);
		return 0;
	}
	require(count >= 1 && (u32)count <= XEN_NETAGG_MAX_FRAMES);

	hdr = (const struct xen_netagg_hdr *)page;
	xen_netagg_pack_begin(&p, again);
	xen_netagg_unpack_begin(&u, page, (u32)count);
	while ((frame = xen_netagg_unpack_frame(&u))) {
		void *to = xen_netagg_pack_frame(&p, frame->len, frame->flags,
						 frame->age_ns);

		require(to);
		memcpy(to, frame + 1, frame->len);
		n++;
	}
	require(n == (u32)count);
	require(xen_netagg_pack_end(&p, hdr->reason, hdr->seq, hdr->hold_ns) ==
		size);
	require(memcmp(again, page, size) == 0);

	free(page);
	return 0;
}
