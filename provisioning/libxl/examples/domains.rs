//! Shows every domain, and exercises the rest on request; for trying the crate on a real Xen host.
//!
//! ```text
//! domains [--xl] list
//! domains [--xl] sample DOMID COUNT
//! domains [--xl] pin DOMID VCPU CPU...
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use vifbench_libxl::{Domains, Toolstack, XlTool};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("domains: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let forced = arguments.first().is_some_and(|word| word == "--xl");
    let xen = if forced {
        arguments.remove(0);
        Toolstack::XlTool(XlTool::open("asked for by --xl")?)
    } else {
        Toolstack::open()?
    };
    println!(
        "Xen {} through {}, CPU time in steps of {} ns",
        xen.version()?,
        xen.describe(),
        xen.resolution_ns()
    );
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["list"] => {
            for domain in xen.list()? {
                println!("{domain:?}");
            }
        }
        ["sample", domid, count] => {
            let domid = domid.parse()?;
            for _ in 0..count.parse::<u32>()? {
                let started = Instant::now();
                let time = xen.cpu_time(domid)?;
                println!("{time} ns, asked in {:?}", started.elapsed());
            }
        }
        ["pin", domid, vcpu, cpus @ ..] => {
            let cpus = cpus
                .iter()
                .map(|cpu| cpu.parse())
                .collect::<Result<Vec<u32>, _>>()?;
            xen.pin(domid.parse()?, vcpu.parse()?, &cpus)?;
        }
        _ => return Err("see the head of examples/domains.rs for what can be asked".into()),
    }
    Ok(())
}
