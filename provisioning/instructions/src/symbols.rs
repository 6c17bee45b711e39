//! Which function an address belongs to, by the machine's own tables: `/proc/kallsyms` of a kernel, `/proc/xen/xensyms` of
//! the hypervisor. They tell of what is loaded, so no file on the controller has to match it.

/// How far behind its last symbol a function may reach.
const REACH: u64 = 64 << 10;

/// A function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// Where it begins.
    pub address: u64,
    /// Its name.
    pub name: String,
    /// The module that it came with; none where it is built in.
    pub module: Option<String>,
}

/// All functions of a kernel or of the hypervisor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Symbols {
    /// By address, one an address.
    sorted: Vec<Symbol>,
}

impl Symbols {
    /// Reads lines of the form `ADDRESS TYPE NAME [MODULE]`. Lines that are no functions (data, or a table that hides its
    /// addresses) are left out.
    pub fn parse(text: &str) -> Self {
        let mut sorted: Vec<Symbol> = text.lines().filter_map(symbol).collect();
        // Where several names begin at one place, that of the function is the one with the fewest underscores in front.
        let rank = |symbol: &Symbol| {
            let plain = symbol.name.trim_start_matches('_').len();
            symbol.name.len() - plain
        };
        sorted.sort_by(|one, other| {
            (one.address, rank(one), &one.name).cmp(&(other.address, rank(other), &other.name))
        });
        sorted.dedup_by_key(|symbol| symbol.address);
        Self { sorted }
    }

    /// These, and the modules' functions of another table of the same kernel instead of its own.
    #[must_use]
    pub fn with_modules_of(&self, other: &Self) -> Self {
        let built_in = self.sorted.iter().filter(|symbol| symbol.module.is_none());
        let modules = other.sorted.iter().filter(|symbol| symbol.module.is_some());
        let mut sorted: Vec<Symbol> = built_in.chain(modules).cloned().collect();
        sorted.sort_by_key(|symbol| symbol.address);
        Self { sorted }
    }

    /// The function that an address lies in.
    pub fn find(&self, address: u64) -> Option<&Symbol> {
        let after = self
            .sorted
            .partition_point(|symbol| symbol.address <= address);
        let symbol = self.sorted.get(after.checked_sub(1)?)?;
        (address - symbol.address < REACH).then_some(symbol)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}

fn symbol(line: &str) -> Option<Symbol> {
    let mut fields = line.split_whitespace();
    let address = u64::from_str_radix(fields.next()?, 16).ok()?;
    let kind = fields.next()?;
    // Xen tells a local function with its file: `common/event_fifo.c#evtchn_fifo_set_pending`.
    let name = fields.next()?;
    let name = name.rsplit_once('#').map_or(name, |(_, name)| name);
    let module = fields.next().map(|module| {
        let module = module.trim_start_matches('[').trim_end_matches(']');
        module.to_owned()
    });
    // `t` and `T` are text, `w` and `W` functions that another may stand in for. Zero hides an address.
    (address != 0 && matches!(kind, "t" | "T" | "w" | "W")).then(|| Symbol {
        address,
        name: name.to_owned(),
        module,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &str = "ffffffff81000000 T startup_64\n\
        ffffffff81000000 T _stext\n\
        ffffffff81000040 t secondary\n\
        ffffffff82000000 D some_data\n\
        ffffffffc0100000 t xenvif_poll\t[xen_netback]\n\
        ffff82d040200000 t common/timer.c#set_timer\n\
        0000000000000000 T hidden\n\
        nonsense\n";

    #[test]
    fn an_address_belongs_to_the_function_before_it() {
        let symbols = Symbols::parse(TABLE);
        let name = |address| symbols.find(address).map(|symbol| symbol.name.as_str());
        assert_eq!(symbols.len(), 4);
        assert_eq!(name(0xffff_82d0_4020_0000), Some("set_timer"));
        assert_eq!(name(0xffff_ffff_8100_0000), Some("startup_64"));
        assert_eq!(name(0xffff_ffff_8100_003f), Some("startup_64"));
        assert_eq!(name(0xffff_ffff_8100_0040), Some("secondary"));
        assert_eq!(name(0xffff_ffff_8200_0000), None, "data is no function");
        assert_eq!(name(0x1000), None);
        let driver = symbols.find(0xffff_ffff_c010_0123).expect("in the module");
        assert_eq!(driver.module.as_deref(), Some("xen_netback"));
    }

    #[test]
    fn a_guest_has_modules_of_its_own() {
        let dom0 = Symbols::parse(TABLE);
        let guest = Symbols::parse("ffffffffc0200000 t xennet_poll\t[xen_netfront]\n");
        let both = dom0.with_modules_of(&guest);
        assert_eq!(both.len(), 4);
        assert!(both.find(0xffff_ffff_c020_0010).is_some());
        assert!(both.find(0xffff_ffff_c010_0010).is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_answers_lie_before_what_is_asked(text in "(?s).{0,300}", at: u64) {
            let symbols = Symbols::parse(&text);
            if let Some(found) = symbols.find(at) {
                prop_assert!(found.address <= at && at - found.address < REACH);
            }
        }
    }
}
