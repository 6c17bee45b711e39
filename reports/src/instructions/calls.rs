//! What is counted by how often a function is entered.

use std::collections::BTreeMap;

use super::Part;

/// Something that is counted so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// What a table calls it.
    pub name: &'static str,
    /// Where its functions are.
    within: Within,
    /// Functions that do not call each other. Versions name theirs differently, and a newer one may have an older one's name
    /// for what only calls it: the first set counts of which there is one.
    functions: &'static [&'static [&'static str]],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Xen,
    AnyKernel,
}

impl Call {
    pub(super) fn lies_in(&self, part: Part) -> bool {
        (part == Part::Hypervisor) == (self.within == Within::Xen)
    }

    /// How often, by how often each function was entered; none where there is none of its functions.
    pub(super) fn entries(&self, entered: &BTreeMap<&str, f64>) -> Option<f64> {
        let of = |set: &[&str]| {
            let there = set.iter().filter_map(|name| entered.get(name).copied());
            there.reduce(|one, other| one + other)
        };
        self.functions.iter().find_map(|set| of(set))
    }
}

/// Calls of the hypervisor by paravirtualised guests.
pub const HYPERCALLS: Call = Call {
    name: "hypercalls",
    within: Within::Xen,
    functions: &[&["pv_hypercall"]],
};

/// Of these, those that grant, map or copy memory; one may have many operations.
pub const GRANTS: Call = Call {
    name: "grant table operations",
    within: Within::Xen,
    functions: &[&["do_grant_table_op"]],
};

/// Of these, those of events.
pub const EVENTS: Call = Call {
    name: "event channel operations",
    within: Within::Xen,
    functions: &[&["do_event_channel_op"]],
};

/// Xen goes from one virtual CPU to another.
pub const SWITCHES: Call = Call {
    name: "virtual CPU switches",
    within: Within::Xen,
    functions: &[&["context_switch"]],
};

/// A kernel is told of events.
pub const UPCALLS: Call = Call {
    name: "event upcalls",
    within: Within::AnyKernel,
    functions: &[&["xen_pv_evtchn_do_upcall"], &["__xen_pv_evtchn_do_upcall"]],
};

/// A kernel goes from one thread to another.
pub const THREADS: Call = Call {
    name: "thread switches",
    within: Within::AnyKernel,
    functions: &[&["__switch_to"]],
};

/// A kernel asks for pages (`mm/page_alloc.c`).
pub const PAGES: Call = Call {
    name: "page allocations",
    within: Within::AnyKernel,
    functions: &[
        // Since Linux 6.14.
        &["__alloc_frozen_pages_noprof", "alloc_pages_bulk_noprof"],
        // Since Linux 6.10.
        &["__alloc_pages_noprof", "alloc_pages_bulk_noprof"],
        &["__alloc_pages", "__alloc_pages_bulk"],
    ],
};

/// A kernel asks for less than a page (`mm/slub.c`, `mm/slab_common.c`).
pub const SLABS: Call = Call {
    name: "slab allocations",
    within: Within::AnyKernel,
    functions: &[
        // Since Linux 6.10.
        &[
            "kmem_cache_alloc_noprof",
            "kmem_cache_alloc_lru_noprof",
            "kmem_cache_alloc_node_noprof",
            "kmem_cache_alloc_bulk_noprof",
            "__kmalloc_noprof",
            "__kmalloc_node_noprof",
            "__kmalloc_cache_noprof",
            "__kmalloc_cache_node_noprof",
            "__kmalloc_node_track_caller_noprof",
        ],
        &[
            "kmem_cache_alloc",
            "kmem_cache_alloc_lru",
            "kmem_cache_alloc_node",
            "kmem_cache_alloc_bulk",
            "__kmalloc",
            "__kmalloc_node",
            "kmalloc_trace",
            "kmalloc_node_trace",
            "__kmalloc_node_track_caller",
        ],
    ],
};

/// What a table tells.
pub const CALLS: [Call; 8] = [
    HYPERCALLS, GRANTS, EVENTS, SWITCHES, UPCALLS, THREADS, PAGES, SLABS,
];

/// What the paper calls memory calls: memory that a domain grants, maps or copies, and that a kernel asks for.
pub const MEMORY: [Call; 3] = [GRANTS, PAGES, SLABS];
