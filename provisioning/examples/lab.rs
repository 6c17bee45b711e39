//! Drives the virtual lab by hand: `lab up|fresh|down|status|save TAG|restore TAG|revive TAG|forget TAG|seal|unseal|pause|cont [NAME]`.
//! `revive` kills QEMU and restores the state in a new one.

use std::process::ExitCode;

use vifbench_provisioning::lab::{LabError, UpOptions, VirtualLab};
use vifbench_scenarios::progress::{Progress, Task};

/// Prints each step as a line.
struct Plain;
struct Step(String);

impl Progress for Plain {
    fn start(&self, label: &str, _length: Option<u64>) -> Box<dyn Task> {
        eprintln!("{label} ...");
        Box::new(Step(label.to_owned()))
    }
    fn note(&self, line: &str) {
        eprintln!("{line}");
    }
}

impl Task for Step {
    fn set(&self, _done: u64) {}
    fn message(&self, text: &str) {
        eprintln!("{}: {text}", self.0);
    }
    fn finish(self: Box<Self>, summary: &str) {
        eprintln!("{}: {summary}", self.0);
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match drive(&arguments) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn drive(arguments: &[String]) -> Result<String, LabError> {
    let word = |n: usize| arguments.get(n).map(String::as_str);
    let verb = word(0).unwrap_or("status");
    let takes_tag = matches!(verb, "save" | "restore" | "revive" | "forget");
    let tag = if takes_tag {
        word(1).unwrap_or("manual")
    } else {
        ""
    };
    let name = word(if takes_tag { 2 } else { 1 }).unwrap_or("lab");
    match verb {
        "up" | "fresh" => {
            let mut options = UpOptions::named(name);
            options.fresh = verb == "fresh";
            let lab = VirtualLab::up(&options, &Plain)?;
            return Ok(format!("{:#?}\n{}", lab.times()?, lab.lab_file().display()));
        }
        "down" => {
            VirtualLab::take_down(name)?;
            return Ok(format!("{name} is down"));
        }
        _ => {}
    }
    let Some(lab) = VirtualLab::attach(name)? else {
        return Ok(format!("{name} is not running"));
    };
    match verb {
        "save" => lab.save(tag)?,
        "restore" => lab.restore(tag)?,
        "revive" => {
            lab.kill()?;
            lab.restore(tag)?;
        }
        "forget" => lab.forget(tag)?,
        "seal" => lab.seal()?,
        "unseal" => lab.unseal()?,
        "pause" => lab.pause()?,
        "cont" => lab.cont()?,
        _ => {}
    }
    Ok(format!("{:#?}", lab.status()?))
}
