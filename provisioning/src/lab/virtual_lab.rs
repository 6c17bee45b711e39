//! Bringing the virtual lab up and down, and what can be done with it while it runs.

mod rest;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use vifbench_instructions::counts::Counts;
use vifbench_scenarios::lab::{Controller, HostName, HostSpec, Identity, Lab, Role};
use vifbench_scenarios::progress::Progress;
use vifbench_wait::Cancel;

use super::console::{self, Follower};
use super::images::need_program;
use super::machine::{From, HOSTS, LOOK, Machine};
use super::patience::{Patience, step, stuck_after};
use super::rendezvous::Rendezvous;
use super::starts::hold_starts;
use super::watch::CrashWatch;
use super::{Combination, Images, LabError, files, images, machines, network};
pub use rest::InUse;

/// The state in which a machine is kept after its first boot.
const BASE: &str = "base";

/// How long a booted state that nothing loads stays in the cache; as long as the images (`build.sh`).
const KEPT_UNUSED: Duration = Duration::from_secs(14 * 86_400);

/// What the files of states in the cache end in.
const KEPT: &str = "machine";

/// So many of them a machine: each takes hundreds of megabytes.
const KEPT_STATES: usize = 8;

/// What the names of the labs' namespaces begin with.
const NETNS: &str = "vifbench-";

/// How to bring a lab up.
#[derive(Debug, Clone)]
pub struct UpOptions {
    /// The lab's name: of its namespace (`vifbench-NAME`) and of its folder.
    pub name: String,
    /// The kernel and the hypervisor that its images are built with.
    pub combination: Combination,
    /// Images that exist already, of whatever combination; otherwise they are built or taken from the cache.
    pub images: Option<PathBuf>,
    /// Boot from power-on even if a lab of that name runs or a booted state is in the cache.
    pub fresh: bool,
    /// What the kernels' random pools are seeded with: another draw of the same laboratory.
    pub seed: u64,
    /// The machine is never paused, although no command uses it: for programs other than vifbench.
    pub awake: bool,
}

impl UpOptions {
    /// The lab of that name, as every run of it starts.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            combination: Combination::of_lab(name).0,
            images: None,
            fresh: false,
            seed: 1,
            awake: false,
        }
    }
}

/// How long the start took, in seconds of wall time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct UpTimes {
    /// From power-on, or from the loading of the booted state, to dom0's SSH answering.
    pub dom0_s: f64,
    /// A cold boot: from `xl create` to SSH answering. Otherwise as for dom0.
    pub guests_s: BTreeMap<String, f64>,
    /// All of `up`, without image building.
    pub total_s: f64,
    /// Did it boot, or was a booted state loaded?
    pub cold: bool,
}

/// What a lab is doing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabStatus {
    /// Its name.
    pub name: String,
    /// `running`, `paused`, `in use` by a run, which is not disturbed, or `gone` when QEMU has ended.
    pub machine: &'static str,
    /// QEMU's process.
    pub pid: Option<i32>,
    /// Its network namespace.
    pub netns: String,
    /// Its folder: lab file, key, consoles.
    pub folder: PathBuf,
    /// The kernel release of dom0 and the guests.
    pub kernel: String,
    /// Is its cable pulled?
    pub sealed: bool,
    /// The names of its saved states.
    pub states: Vec<String>,
    /// Who has it, where a run or another command does.
    pub used_by: Option<String>,
    /// Its hosts.
    pub hosts: Vec<HostStatus>,
}

/// What one host of the lab is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostStatus {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Does SSH answer? Unknown while a run has the machine.
    pub ssh: Option<bool>,
    /// Its console's file.
    pub console: PathBuf,
}

/// What another process needs to take over a running lab; kept in the lab's folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    images: PathBuf,
    seed: u64,
    /// Names the machine and its images.
    machine: String,
    times: UpTimes,
    /// Is the cable pulled now?
    sealed: bool,
    /// Saved states. In each the cable is pulled and the machine's agent waits.
    states: BTreeSet<String>,
    /// Is it to run on while no command uses it?
    #[serde(default)]
    awake: bool,
    /// Is it paused, because no command uses it?
    #[serde(default)]
    paused: bool,
}

/// A lab whose machine was started.
#[derive(Debug)]
pub struct VirtualLab {
    name: String,
    netns: String,
    folder: PathBuf,
    lab_file: PathBuf,
    lab: Lab,
    machine: Machine,
    images: Images,
}

impl VirtualLab {
    /// Brings a lab up, or takes over the one that runs under that name. Every host answers on SSH when this returns.
    ///
    /// # Errors
    /// Each with one sentence that says what is missing; see [`LabError`].
    pub fn up(options: &UpOptions, progress: &dyn Progress) -> Result<Self, LabError> {
        preconditions(&options.name)?;
        let _starting = lock(&options.name)?;
        let images = match &options.images {
            Some(path) => Images::open(path)?,
            None => images::build(&options.combination, progress)?,
        };
        let begun = Instant::now();
        let identity = Machine::identity(&images, options.seed)?;
        let machine_hash = hash_of(&identity);

        if let Some(running) = Self::attach(&options.name)?
            && !options.fresh
            && running.record()?.machine == machine_hash
        {
            progress.note(&format!("the lab {} is up already", options.name));
            if options.awake {
                running.change(|record| record.awake = true)?;
            }
            return Ok(running);
        }
        Self::clear(&options.name)?;
        let folder = folder(&options.name);
        files::need_space(&folder, 2048, "VIFBENCH_STATE")?;

        let table = machines::read(images.path())?;
        let netns = netns(&options.name);
        let lab_file = folder.join("lab.yaml");
        let key = folder.join("controller");
        fs::copy(images.path().join("ssh/controller"), &key)
            .map_err(files::failed("write", &key))?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600))
            .map_err(files::failed("set the mode of", &key))?;
        let lab = describe(&options.name, &table, images.path(), &key, |host| {
            host_key(&images, host)
        })?;
        files::write(&lab_file, &to_yaml(&lab)?)?;
        let controller = machines::named(&table, "controller", images.path())?;
        let others: Vec<_> = table
            .iter()
            .filter(|m| m.name != "controller")
            .cloned()
            .collect();
        let starting = hold_starts();
        network::create(&netns, controller, &others)?;
        drop(starting);

        let this = Self {
            name: options.name.clone(),
            netns,
            machine: Machine::in_folder(&folder),
            folder,
            lab_file,
            lab,
            images,
        };
        let booted = files::cache_root()
            .join("machines")
            .join(&machine_hash)
            .join("state.qcow2");
        let mut times = match this.power_on(&booted, options, progress) {
            Ok(times) => times,
            Err(error) => {
                // The consoles stay, to be read; a machine that nobody can use does not.
                Self::clear(&options.name)?;
                return Err(error);
            }
        };
        times.total_s = begun.elapsed().as_secs_f64();
        this.write_record(&Record {
            images: this.images.path().to_owned(),
            seed: options.seed,
            machine: machine_hash,
            times,
            sealed: false,
            states: BTreeSet::from([BASE.to_owned()]),
            awake: options.awake,
            paused: false,
        })?;
        Ok(this)
    }

    /// Starts the machine in its booted state, which is made where the cache lacks it.
    fn power_on(
        &self,
        booted: &Path,
        options: &UpOptions,
        progress: &dyn Progress,
    ) -> Result<UpTimes, LabError> {
        if !options.fresh && booted.is_file() {
            let loaded = match files::check_sum(booted)? {
                None => self.load_booted(booted, options.seed, progress),
                // A byte of its memory that changed on the disk would go unnoticed by QEMU.
                Some(why) => Err(LabError::Command {
                    doing: "load the booted state".to_owned(),
                    why,
                }),
            };
            match loaded {
                // It is damaged, or QEMU does not take it, and a boot mends it.
                Err(LabError::Command { why, .. }) => {
                    progress.note(&format!(
                        "the booted state {} cannot be loaded and is made again: {why}",
                        booted.display()
                    ));
                }
                other => return other,
            }
        }
        let times = self.boot(options.seed, progress)?;
        self.keep(booted)?;
        self.load_booted(booted, options.seed, progress)?;
        Ok(times)
    }

    /// The name of the virtual lab whose network is in this namespace.
    pub fn name_of(netns: &str) -> Option<&str> {
        let name = netns.strip_prefix(NETNS)?;
        valid_name(name).is_ok().then_some(name)
    }

    /// Checks that this machine can run a lab of that name: the user is root, and the programs and devices that it takes are
    /// there.
    ///
    /// # Errors
    /// The first thing that is missing.
    pub fn check_machine(name: &str) -> Result<(), LabError> {
        preconditions(name)
    }

    /// The lab that [`Self::up`] would bring up under that name, without its keys: whether a scenario fits it shows before
    /// anything is built or booted.
    ///
    /// # Errors
    /// When the name cannot be a lab's.
    pub fn outline(name: &str) -> Result<Lab, LabError> {
        valid_name(name)?;
        let table = machines::own()?;
        let key = folder(name).join("controller");
        describe(name, &table, Path::new("images"), &key, |_| {
            Ok(String::new())
        })
    }

    /// The lab that an earlier command left running, if its machine still lives.
    pub fn attach(name: &str) -> Result<Option<Self>, LabError> {
        valid_name(name)?;
        let folder = folder(name);
        let machine = Machine::in_folder(&folder);
        let record = folder.join("lab.json");
        if machine.pid().is_none() || !record.is_file() {
            return Ok(None);
        }
        let lab_file = folder.join("lab.yaml");
        let lab = Lab::load(&lab_file)?;
        let record = read_record(&record)?;
        Ok(Some(Self {
            name: name.to_owned(),
            netns: netns(name),
            folder,
            lab_file,
            lab,
            machine,
            images: Images::open(&record.images)?,
        }))
    }

    /// Ends the machine and removes the namespace and the saved states. The consoles stay.
    pub fn down(self) -> Result<(), LabError> {
        Self::take_down(&self.name)
    }

    /// Is a process just bringing a lab of that name up, or down?
    ///
    /// # Errors
    /// When the name cannot be a lab's, or its lock cannot be read.
    pub fn is_changing(name: &str) -> Result<bool, LabError> {
        valid_name(name)?;
        let path = folder(name).join("lock");
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(files::failed("read", &path)(error)),
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(files::failed("lock", &path)(error)),
            },
        }
    }

    /// As [`Self::down`], for a lab of which perhaps only pieces are left.
    pub fn take_down(name: &str) -> Result<(), LabError> {
        preconditions(name)?;
        let _stopping = lock(name)?;
        Self::clear(name)
    }

    /// Takes away a lab that this very process is still bringing up, in another thread (Ctrl-C during a boot). The process
    /// can start no machine after that.
    pub fn abandon(name: &str) -> Result<(), LabError> {
        let starts = hold_starts();
        images::end_builds()?;
        Self::clear(name)?;
        // Until the process ends: the other thread would go on and start what nobody takes away.
        std::mem::forget(starts);
        Ok(())
    }

    fn clear(name: &str) -> Result<(), LabError> {
        let folder = folder(name);
        let machine = Machine::in_folder(&folder);
        machine.kill()?;
        network::remove(&netns(name))?;
        for file in [
            machine.state_file(),
            folder.join("lab.json"),
            folder.join("lab.yaml"),
            folder.join("controller"),
            folder.join("qmp"),
            machine.mailbox(),
            machine.counts(),
        ] {
            files::remove(&file)?;
        }
        Ok(())
    }

    /// Boots from power-on and saves the state in which every host answers.
    fn boot(&self, seed: u64, progress: &dyn Progress) -> Result<UpTimes, LabError> {
        let task = progress.start("boot of the virtual host", Some(HOSTS.len() as u64));
        task.message("power-on");
        let booting = step("the boot of the virtual host");
        self.empty_consoles()?;
        self.machine.create_state_file()?;
        let power_on = Instant::now();
        self.machine
            .start(&self.netns, &self.images, seed, &From::PowerOn)?;

        let mut times = UpTimes {
            cold: true,
            ..UpTimes::default()
        };
        // Only looked at: a question over the network would make each boot another one.
        self.await_line("dom0", "dom0", "vifbench: dom0 is up")?;
        times.dom0_s = power_on.elapsed().as_secs_f64();
        for (done, guest) in HOSTS.iter().skip(1).enumerate() {
            task.set(done as u64 + 1);
            task.message(&format!("creating {guest}"));
            self.await_line("dom0", guest, &format!("vifbench: creating {guest}"))?;
            let created = Instant::now();
            self.await_creation(guest)?;
            self.await_line(guest, guest, &format!("vifbench: {guest} is up"))?;
            times
                .guests_s
                .insert((*guest).to_owned(), created.elapsed().as_secs_f64());
        }
        self.await_line("dom0", "dom0", "vifbench: the lab is up")?;
        self.await_agent()?;
        booting.done();
        task.message("saving the booted state");
        self.machine.save(BASE)?;
        self.machine.quit()?;
        let guests: Vec<String> = times
            .guests_s
            .iter()
            .map(|(guest, s)| format!("{guest} {s:.1} s after its creation"))
            .collect();
        task.finish(&format!(
            "dom0 is up {:.1} s after power-on, {}",
            times.dom0_s,
            guests.join(", ")
        ));
        Ok(times)
    }

    /// Moves the booted state into the cache, whole or not at all.
    fn keep(&self, booted: &Path) -> Result<(), LabError> {
        let state = self.machine.state_file();
        let entry = booted.parent().unwrap_or(booted);
        files::need_space(entry, 1024, "VIFBENCH_CACHE")?;
        files::make(booted, |new| {
            copy(&state, new)?;
            // What the hosts printed while they booted belongs to the state.
            for host in HOSTS {
                copy(&self.machine.console(host), &kept_console(booted, host))?;
            }
            Ok(())
        })?;
        forget_unused(entry.parent().unwrap_or(entry))
    }

    /// Starts the machine in its booted state.
    fn load_booted(
        &self,
        booted: &Path,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<UpTimes, LabError> {
        let task = progress.start("start of the virtual host", Some(HOSTS.len() as u64));
        let starting = step("the start of the virtual host");
        let begun = Instant::now();
        let state = self.machine.state_file();
        copy(booted, &state)?;
        files::touch(booted)?;
        for host in HOSTS {
            copy(&kept_console(booted, host), &self.machine.console(host))?;
        }
        self.machine
            .start(&self.netns, &self.images, seed, &From::State(BASE))?;
        self.send_agent_away()?;
        self.machine.set_link(true)?;
        self.machine.resume()?;
        let mut times = UpTimes::default();
        for (done, host) in HOSTS.iter().enumerate() {
            task.set(done as u64);
            task.message(host);
            self.await_ssh(host, stuck_after())?;
            let elapsed = begun.elapsed().as_secs_f64();
            if *host == "dom0" {
                times.dom0_s = elapsed;
            } else {
                times.guests_s.insert((*host).to_owned(), elapsed);
            }
        }
        starting.done();
        task.finish(&format!(
            "every host answers after {:.1} s",
            begun.elapsed().as_secs_f64()
        ));
        Ok(times)
    }

    /// QEMU appends, so that a restart keeps what was printed before.
    fn empty_consoles(&self) -> Result<(), LabError> {
        for host in HOSTS {
            let path = self.machine.console(host);
            File::create(&path).map_err(files::failed("write", &path))?;
        }
        Ok(())
    }

    /// Waits in the boot for a line on `on`'s console; `host` is who is late if it does not come.
    fn await_line(&self, on: &str, host: &str, line: &str) -> Result<(), LabError> {
        match self.wait_console(on, &|l| l.contains(line), 0, stuck_after()) {
            Err(LabError::ConsoleDeadline { deadline, .. }) => Err(self.not_up(host, deadline)?),
            other => other.map(drop),
        }
    }

    /// Waits for the machine to stand still because dom0's agent asks for a request.
    fn await_agent(&self) -> Result<(), LabError> {
        let mut patience = Patience::new(stuck_after());
        while !self.machine.is_waiting()? {
            if !patience.look("dom0's agent") {
                return Err(self.not_up("dom0", patience.waited())?);
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Waits in the boot for dom0 to have created a guest.
    fn await_creation(&self, guest: &str) -> Result<(), LabError> {
        let (failed, created) = (
            format!("vifbench: creating {guest} failed"),
            format!("vifbench: created {guest}"),
        );
        let told = |line: &str| line.contains(&failed) || line.contains(&created);
        match self.wait_console("dom0", &told, 0, stuck_after()) {
            Ok(line) if line.contains(&created) => Ok(()),
            Ok(why) => Err(LabError::NotCreated {
                lab: self.name.clone(),
                guest: guest.to_owned(),
                why,
                tail: self.console_tail("dom0", 15)?,
            }),
            Err(LabError::ConsoleDeadline { deadline, .. }) => Err(self.not_up(guest, deadline)?),
            Err(error) => Err(error),
        }
    }

    fn not_up(&self, host: &str, deadline: Duration) -> Result<LabError, LabError> {
        Ok(LabError::NotUp {
            lab: self.name.clone(),
            host: host.to_owned(),
            deadline,
            console: self.machine.console(host),
            tail: self.console_tail(host, 15)?,
        })
    }

    /// Waits until a host answers on SSH.
    pub fn await_ssh(&self, host: &str, deadline: Duration) -> Result<(), LabError> {
        let address = self.address(host)?;
        let mut patience = Patience::new(deadline);
        while !self.answers(address)? {
            if self.machine.pid().is_none() {
                return Err(self.crashed("dom0", "QEMU has ended".to_owned())?);
            }
            if !patience.look(&format!("SSH of {host}")) {
                return Err(self.not_up(host, deadline)?);
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Does a connection from inside the namespace get SSH's greeting?
    fn answers(&self, address: SocketAddr) -> Result<bool, LabError> {
        crate::netns::inside(&self.netns, || {
            let greeted = || -> std::io::Result<bool> {
                let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
                stream.set_read_timeout(Some(Duration::from_secs(3)))?;
                let mut greeting = [0; 4];
                stream.read_exact(&mut greeting)?;
                Ok(&greeting == b"SSH-")
            };
            // Whatever the reason, it does not answer now; the caller looks again.
            greeted().unwrap_or(false)
        })
        .map_err(|error| LabError::Command {
            doing: format!("enter the network namespace {}", self.netns),
            why: error.to_string(),
        })
    }

    fn address(&self, host: &str) -> Result<SocketAddr, LabError> {
        self.lab
            .host(&HostName(host.to_owned()))
            .map(|spec| SocketAddr::new(spec.address, spec.port))
            .ok_or_else(|| LabError::NoSuchHost {
                lab: self.name.clone(),
                host: host.to_owned(),
                known: HOSTS.join(", "),
            })
    }

    /// The lab as scenarios see it.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The generated lab file.
    pub fn lab_file(&self) -> &Path {
        &self.lab_file
    }

    /// The images it runs.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// The namespace that holds its network.
    pub fn netns(&self) -> &str {
        &self.netns
    }

    /// The folder of its lab file, key and consoles.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Is what the lab would be started as now what it was started as? A machine that goes on after QEMU was upgraded is the
    /// old one until it is started again, and what it gave must not be kept under a name that both have.
    ///
    /// # Errors
    /// [`LabError::OtherMachine`].
    pub fn check_unchanged(&self) -> Result<(), LabError> {
        let record = self.record()?;
        let now = Machine::identity(&self.images, record.seed)?;
        if hash_of(&now) == record.machine {
            return Ok(());
        }
        Err(LabError::OtherMachine {
            lab: self.name.clone(),
        })
    }

    /// What names this machine: its images, QEMU's version and command line, the seed.
    /// Results of sealed trials depend on it and on nothing else of the lab.
    pub fn machine_id(&self) -> Result<String, LabError> {
        Ok(self.record()?.machine)
    }

    /// How long its start took.
    pub fn times(&self) -> Result<UpTimes, LabError> {
        Ok(self.record()?.times)
    }

    /// Does QEMU run?
    pub fn alive(&self) -> bool {
        self.machine.pid().is_some()
    }

    /// The names of its saved states.
    pub fn states(&self) -> Result<BTreeSet<String>, LabError> {
        Ok(self.record()?.states)
    }

    /// What it is doing. Where somebody has the machine, nothing is asked of it: QEMU's control socket serves one at a time,
    /// and a packet would disturb a trial.
    pub fn status(&self, used_by: Option<String>) -> Result<LabStatus, LabError> {
        let has_run = used_by.is_some();
        let pid = self.machine.pid();
        let running = match pid {
            Some(_) if !has_run => self.machine.is_running()?,
            _ => false,
        };
        let record = self.record()?;
        let mut hosts = Vec::new();
        for host in HOSTS {
            let address = self.address(host)?;
            hosts.push(HostStatus {
                name: host.to_owned(),
                address: address.ip(),
                ssh: match (pid, running && !record.sealed) {
                    (Some(_), _) if has_run => None,
                    (_, reachable) => Some(reachable && self.answers(address)?),
                },
                console: self.console_path(host),
            });
        }
        Ok(LabStatus {
            name: self.name.clone(),
            machine: match (pid, running) {
                (None, _) => "gone",
                _ if has_run => "in use",
                (_, true) => "running",
                (_, false) => "paused",
            },
            pid: pid.map(|pid| pid.as_raw_nonzero().get()),
            netns: self.netns.clone(),
            folder: self.folder.clone(),
            kernel: self.images.kernel()?,
            sealed: record.sealed,
            states: record.states.into_iter().collect(),
            used_by,
            hosts,
        })
    }

    /// Ends QEMU at once, whatever it is doing or not doing; [`Self::restore`] starts it again.
    pub fn kill(&self) -> Result<(), LabError> {
        self.machine.kill()
    }

    /// Makes a machine that may be sealed, or stand still, one that is reached over its network. dom0's NIC takes its
    /// time to see the link; [`Self::await_ssh`] waits for it.
    pub fn unseal(&self) -> Result<(), LabError> {
        self.send_agent_away()?;
        self.machine.set_link(true)?;
        self.change(|record| (record.sealed, record.paused) = (false, false))?;
        self.machine.resume()
    }

    /// In every saved state dom0's agent waits for a request. Untold that none will come, it would stay on the processor for
    /// two seconds of virtual time.
    fn send_agent_away(&self) -> Result<(), LabError> {
        Rendezvous::open(&self.machine, None)?.leave()
    }

    /// Saves the machine as it is now, under a name: sealed, while its agent waits.
    pub fn save(&self, tag: &str) -> Result<(), LabError> {
        files::need_space(&self.folder, 1024, "VIFBENCH_STATE")?;
        self.machine.save(tag)?;
        self.change(|record| {
            record.states.insert(tag.to_owned());
        })
    }

    /// Puts the machine into a saved state and lets virtual time run, with the cable plugged in. SSH connections from
    /// before are dead. Starts QEMU again if it has ended.
    pub fn restore(&self, tag: &str) -> Result<(), LabError> {
        self.load(tag)?;
        self.unseal()
    }

    /// Puts the machine into a saved state in which its agent waits. Time stands still but while a request is served,
    /// and nothing else ever comes in.
    pub fn restore_sealed(
        &self,
        tag: &str,
        cancel: Option<Cancel>,
    ) -> Result<Rendezvous, LabError> {
        let began = Instant::now();
        self.load(tag)?;
        tracing::debug!(wall_ms = began.elapsed().as_millis(), tag, "loaded");
        // The NIC's end is part of the state, the tap's is not.
        self.machine.pull_tap()?;
        self.change(|record| record.sealed = true)?;
        Rendezvous::open(&self.machine, cancel)
    }

    /// From the next state that is loaded on, the plugin counts every instruction; without one, nothing does. QEMU is
    /// ended, since it takes plugins only at its start; saved states stay.
    pub fn count_with(&mut self, plugin: Option<&Path>) -> Result<(), LabError> {
        if let Some(plugin) = plugin
            && !plugin.is_file()
        {
            return Err(LabError::Command {
                doing: format!("load QEMU's plugin {}", plugin.display()),
                why: "it is not there: build it with `cargo build --release --workspace`"
                    .to_owned(),
            });
        }
        self.machine.quit()?;
        self.machine.set_plugin(plugin.map(Path::to_owned));
        Ok(())
    }

    /// The counts of the machine that runs, and where QEMU maps its memory.
    pub fn counts(&self) -> Result<(Counts, u64), LabError> {
        let path = self.machine.counts();
        let counts = Counts::open(&path).map_err(files::failed("read", &path))?;
        Ok((counts, self.machine.memory()?))
    }

    /// The machine stands still in the saved state.
    fn load(&self, tag: &str) -> Result<(), LabError> {
        let record = self.record()?;
        if !record.states.contains(tag) {
            return self.load_kept(tag, &record);
        }
        if self.machine.pid().is_none() {
            self.machine
                .start(&self.netns, &self.images, record.seed, &From::State(tag))
        } else {
            self.machine.pause()?;
            self.machine.load(tag)
        }
    }

    /// As [`Self::load`], from the cache: the machine starts anew in that state and saves it beside the others.
    fn load_kept(&self, tag: &str, record: &Record) -> Result<(), LabError> {
        let file = kept_state(&record.machine, tag);
        if !file.is_file() {
            return Err(LabError::NoSuchState {
                lab: self.name.clone(),
                tag: tag.to_owned(),
            });
        }
        files::touch(&file)?;
        // A byte of its memory that changed on the disk would go unnoticed by QEMU.
        if let Some(why) = files::check_sum(&file)? {
            files::remove_with_sum(&file)?;
            return Err(LabError::DamagedState { path: file, why });
        }
        self.machine.quit()?;
        let started =
            self.machine
                .start(&self.netns, &self.images, record.seed, &From::File(&file));
        if let Err(error) = started {
            // Whatever is left of it would not serve the next run either.
            self.machine.kill()?;
            files::remove_with_sum(&file)?;
            return Err(LabError::DamagedState {
                path: file,
                why: error.to_string(),
            });
        }
        self.machine.save(tag)?;
        self.change(|record| {
            record.states.insert(tag.to_owned());
        })?;
        // Every trial begins with the same step. From the file, one in eight came out 100 us of virtual time apart.
        self.machine.load(tag)
    }

    /// Keeps the machine as it is now in the cache, under a name that tells its content, for every lab of the same
    /// machine; then it goes on. The cable must be plugged in.
    pub fn keep_state(&self, tag: &str) -> Result<(), LabError> {
        let file = kept_state(&self.record()?.machine, tag);
        let folder = file.parent().unwrap_or(&file);
        files::need_space(folder, 1024, "VIFBENCH_CACHE")?;
        files::make(&file, |new| self.machine.export(new))?;
        forget_oldest(folder)
    }

    /// Is there a saved state of that name, beside the machine or in the cache?
    pub fn has(&self, tag: &str) -> Result<bool, LabError> {
        let record = self.record()?;
        Ok(record.states.contains(tag) || kept_state(&record.machine, tag).is_file())
    }

    /// Deletes a saved state.
    pub fn forget(&self, tag: &str) -> Result<(), LabError> {
        if !self.record()?.states.contains(tag) {
            return Err(LabError::NoSuchState {
                lab: self.name.clone(),
                tag: tag.to_owned(),
            });
        }
        self.machine.forget(tag)?;
        self.change(|record| {
            record.states.remove(tag);
        })
    }

    /// The file that holds a host's console.
    pub fn console_path(&self, host: &str) -> PathBuf {
        self.machine.console(host)
    }

    /// How long a host's console is now, in bytes: where to wait from.
    pub fn console_len(&self, host: &str) -> Result<u64, LabError> {
        let path = self.machine.console(host);
        Ok(fs::metadata(&path)
            .map_err(files::failed("read", &path))?
            .len())
    }

    /// The last lines of a host's console.
    pub fn console_tail(&self, host: &str, n: usize) -> Result<Vec<String>, LabError> {
        console::tail(&self.machine.console(host), n)
    }

    /// Waits for a line of a host's console from a place on.
    ///
    /// # Errors
    /// [`LabError::Crashed`] when this console or dom0's tells of a crash, or QEMU has ended;
    /// [`LabError::ConsoleDeadline`] when the line did not come in time.
    pub fn wait_console(
        &self,
        host: &str,
        wanted: &dyn Fn(&str) -> bool,
        from_offset: u64,
        deadline: Duration,
    ) -> Result<String, LabError> {
        let mut patience = Patience::new(deadline);
        let path = self.machine.console(host);
        let mut follower = Follower::open(&path, from_offset)?;
        // Whatever console is watched, the host's own tells when all is lost.
        let mut dom0 = match host {
            "dom0" => None,
            _ => Some(Follower::open(
                &self.machine.console("dom0"),
                self.console_len("dom0")?,
            )?),
        };
        loop {
            // Asked first: what it printed before its end is read below.
            let alive = self.alive();
            for line in follower.lines().map_err(files::failed("read", &path))? {
                if wanted(&line) {
                    return Ok(line);
                }
                if console::is_crash(&line) {
                    return Err(self.crashed(host, line)?);
                }
            }
            if let Some(dom0) = &mut dom0 {
                let lines = dom0.lines().map_err(files::failed("read", &path))?;
                if let Some(line) = lines.into_iter().find(|line| console::is_crash(line)) {
                    return Err(self.crashed("dom0", line)?);
                }
            }
            if !alive {
                return Err(self.crashed("dom0", "QEMU has ended".to_owned())?);
            }
            if !patience.look(&format!("a line of {host}'s console")) {
                return Err(LabError::ConsoleDeadline {
                    lab: self.name.clone(),
                    host: host.to_owned(),
                    deadline,
                    tail: self.console_tail(host, 15)?,
                });
            }
            thread::sleep(LOOK);
        }
    }

    /// Watches every console from now on; a crash cancels the token at once.
    pub fn watch(&self, cancel: Cancel) -> Result<CrashWatch, LabError> {
        CrashWatch::begin(&self.machine, cancel)
    }

    fn crashed(&self, host: &str, why: String) -> Result<LabError, LabError> {
        Ok(LabError::Crashed {
            lab: self.name.clone(),
            host: host.to_owned(),
            why,
            console: self.machine.console(host),
            tail: self.console_tail(host, 25)?,
        })
    }

    fn record(&self) -> Result<Record, LabError> {
        read_record(&self.folder.join("lab.json"))
    }

    fn change(&self, how: impl FnOnce(&mut Record)) -> Result<(), LabError> {
        let mut record = self.record()?;
        how(&mut record);
        self.write_record(&record)
    }

    fn write_record(&self, record: &Record) -> Result<(), LabError> {
        let path = self.folder.join("lab.json");
        let text = serde_json::to_string_pretty(record)
            .map_err(|error| files::failed("write", &path)(error.into()))?;
        files::write(&path, &text)
    }
}

/// The name of a machine by its identity.
fn hash_of(identity: &str) -> String {
    blake3::hash(identity.as_bytes()).to_hex()[..16].to_owned()
}

/// Deletes the booted states that nothing has loaded for two weeks: each takes hundreds of megabytes.
fn forget_unused(machines: &Path) -> Result<(), LabError> {
    let entries = fs::read_dir(machines).map_err(files::failed("list", machines))?;
    for entry in entries {
        let path = entry.map_err(files::failed("list", machines))?.path();
        let state = path.join("state.qcow2");
        // One that has no state yet is being made by another process.
        let Ok(used) = fs::metadata(&state).and_then(|data| data.modified()) else {
            continue;
        };
        if used.elapsed().is_ok_and(|age| age > KEPT_UNUSED) {
            fs::remove_dir_all(&path).map_err(files::failed("remove", &path))?;
        }
    }
    Ok(())
}

/// A state in the cache beside the booted state of its machine.
fn kept_state(machine: &str, tag: &str) -> PathBuf {
    files::cache_root()
        .join("machines")
        .join(machine)
        .join(format!("{tag}.{KEPT}"))
}

/// Deletes the states of a machine that were not used for longest, but for [`KEPT_STATES`].
fn forget_oldest(folder: &Path) -> Result<(), LabError> {
    let mut states = Vec::new();
    for entry in fs::read_dir(folder).map_err(files::failed("list", folder))? {
        let path = entry.map_err(files::failed("list", folder))?.path();
        if path.extension().is_some_and(|end| end == KEPT) {
            let used = fs::metadata(&path)
                .and_then(|data| data.modified())
                .map_err(files::failed("read", &path))?;
            states.push((used, path));
        }
    }
    states.sort();
    let surplus = states.len().saturating_sub(KEPT_STATES);
    for (_, path) in states.drain(..surplus) {
        files::remove_with_sum(&path)?;
    }
    Ok(())
}

/// Where a booted state keeps what a host printed during the boot.
fn kept_console(booted: &Path, host: &str) -> PathBuf {
    booted.with_file_name(format!("console-{host}.log"))
}

fn copy(from: &Path, to: &Path) -> Result<(), LabError> {
    fs::copy(from, to)
        .map(drop)
        .map_err(files::failed("write", to))
}

fn read_record(path: &Path) -> Result<Record, LabError> {
    serde_json::from_str(&files::read(path)?)
        .map_err(|error| files::failed("understand", path)(error.into()))
}

fn folder(name: &str) -> PathBuf {
    files::state_root().join("labs").join(name)
}

fn netns(name: &str) -> String {
    format!("{NETNS}{name}")
}

fn valid_name(name: &str) -> Result<(), LabError> {
    let right = (1..=40).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if right {
        Ok(())
    } else {
        Err(LabError::BadName {
            name: name.to_owned(),
        })
    }
}

fn preconditions(name: &str) -> Result<(), LabError> {
    valid_name(name)?;
    if !rustix::process::geteuid().is_root() {
        return Err(LabError::NotRoot);
    }
    if !Path::new("/dev/net/tun").exists() {
        return Err(LabError::NoTun);
    }
    need_program("qemu-system-x86_64", "qemu-system-x86")?;
    need_program("qemu-img", "qemu-utils")?;
    need_program("ip", "iproute2")
}

/// Held while a lab is started or stopped; the kernel frees it if this process dies.
fn lock(name: &str) -> Result<File, LabError> {
    let folder = folder(name);
    files::create_dir(&folder)?;
    let path = folder.join("lock");
    let file = File::create(&path).map_err(files::failed("write", &path))?;
    if crate::lock::take(&file).map_err(files::failed("lock", &path))? {
        Ok(file)
    } else {
        Err(LabError::Busy {
            name: name.to_owned(),
        })
    }
}

/// The host key of a machine, as the images have it: type and key, without the comment.
fn host_key(images: &Images, host: &str) -> Result<String, LabError> {
    let public = images.path().join(format!("ssh/{host}.pub"));
    let text = files::read(&public)?;
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    Ok(words.join(" "))
}

/// The lab file's content. The table is read from `images`.
fn describe(
    name: &str,
    table: &[machines::Machine],
    images: &Path,
    key: &Path,
    host_key: impl Fn(&str) -> Result<String, LabError>,
) -> Result<Lab, LabError> {
    let netns = netns(name);
    let named = |name: &str| machines::named(table, name, images);
    let controller = named("controller")?;
    let dom0 = HostName("dom0".to_owned());
    let hosts = HOSTS
        .iter()
        .map(|host| {
            let machine = named(host)?;
            let is_dom0 = *host == "dom0";
            Ok(HostSpec {
                name: HostName((*host).to_owned()),
                role: match *host {
                    "dom0" => Role::Dom0,
                    "gen" => Role::Generator,
                    _ => Role::Guest,
                },
                on: (!is_dom0).then(|| dom0.clone()),
                address: machine.address.into(),
                address6: Some(machine.address6.into()),
                port: 22,
                user: "root".to_owned(),
                key: key.to_owned(),
                host_key: host_key(host)?,
                identity: Identity::Mac(machine.mac.clone()),
                interface: "eth0".to_owned(),
                mac: machine.mac.clone(),
                bridge: is_dom0.then(|| "xenbr0".to_owned()),
            })
        })
        .collect::<Result<_, LabError>>()?;
    Ok(Lab {
        name: name.to_owned(),
        is_virtual: true,
        controller: Some(Controller {
            interface: network::TAP.to_owned(),
            address: controller.address.into(),
            address6: Some(controller.address6.into()),
            mac: controller.mac.clone(),
            netns: Some(netns),
        }),
        hosts,
    })
}

fn to_yaml(lab: &Lab) -> Result<String, LabError> {
    let text = lab.to_yaml()?;
    Ok(format!(
        "# Written by `vifbench lab up`; it describes the lab while it runs.\n{text}"
    ))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn only_states_out_of_use_are_forgotten() {
        let machines = tempfile::tempdir().expect("tempdir");
        let old = SystemTime::now() - KEPT_UNUSED - Duration::from_secs(60);
        for (name, used) in [("new", SystemTime::now()), ("old", old)] {
            let folder = machines.path().join(name);
            fs::create_dir(&folder).expect("create");
            let state = File::create(folder.join("state.qcow2")).expect("create");
            state.set_modified(used).expect("touch");
        }
        fs::create_dir(machines.path().join("unfinished")).expect("create");
        forget_unused(machines.path()).expect("forgets");
        assert!(machines.path().join("new").exists());
        assert!(!machines.path().join("old").exists());
        assert!(machines.path().join("unfinished").exists());
    }

    #[test]
    fn the_states_unused_for_longest_are_forgotten() {
        let folder = tempfile::tempdir().expect("tempdir");
        for age in 0..=KEPT_STATES as u64 {
            let file = File::create(folder.path().join(format!("s{age}.{KEPT}"))).expect("create");
            file.set_modified(SystemTime::now() - Duration::from_secs(60 * age))
                .expect("touch");
        }
        fs::write(folder.path().join("state.qcow2"), "").expect("write");
        forget_oldest(folder.path()).expect("forgets");
        let left = |age: usize| folder.path().join(format!("s{age}.{KEPT}")).exists();
        assert!((0..KEPT_STATES).all(left) && !left(KEPT_STATES));
        assert!(folder.path().join("state.qcow2").exists());
    }

    #[test]
    fn the_outline_has_the_machines_that_run() {
        let lab = VirtualLab::outline("virtual").expect("a good name");
        assert!(lab.is_virtual);
        let names: Vec<&str> = lab.hosts.iter().map(|host| host.name.0.as_str()).collect();
        assert_eq!(names, HOSTS);
        assert!(lab.hosts.iter().all(|host| host.address6.is_some()));
        assert_eq!(
            lab.controller.and_then(|controller| controller.netns),
            Some("vifbench-virtual".to_owned())
        );
        assert!(VirtualLab::outline("../x").is_err());
    }

    #[test]
    fn names_that_would_escape_are_refused() {
        for name in ["", "../x", "a b", "UP", "x/y"] {
            assert!(
                matches!(valid_name(name), Err(LabError::BadName { .. })),
                "{name}"
            );
        }
        valid_name("night-2").expect("a good name");
    }
}
