//! The public tools that numbers are held against: which are there, of which version, and running them.

use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde::Serialize;

use super::error::BenchError;

/// A public tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tool {
    /// Its program.
    pub name: &'static str,
    /// Debian's package of it; none where Debian has none.
    pub package: Option<&'static str>,
    /// What it says of itself; none where it is not installed.
    pub version: Option<String>,
}

impl Tool {
    /// Looks for a tool.
    pub fn find(name: &'static str, package: Option<&'static str>) -> Result<Self, BenchError> {
        let version = match Command::new(name).arg("--version").output() {
            Ok(output) => Some(first_line(&output)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(BenchError::Program {
                    doing: "ask for the version",
                    command: name.to_owned(),
                    why: error.to_string(),
                });
            }
        };
        Ok(Self {
            name,
            package,
            version,
        })
    }

    /// Is it installed?
    pub fn is_there(&self) -> bool {
        self.version.is_some()
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.version, self.package) {
            (Some(version), _) => write!(f, "{}: {version}", self.name),
            (None, Some(package)) => write!(
                f,
                "{}: not installed, so it is missing here (apt-get install {package})",
                self.name
            ),
            (None, None) => write!(
                f,
                "{}: not installed, so it is missing here (Debian has no package of it)",
                self.name
            ),
        }
    }
}

fn first_line(output: &Output) -> String {
    let text = [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .concat();
    let line = text.lines().find(|line| !line.trim().is_empty());
    line.unwrap_or("of unknown version").trim().to_owned()
}

/// As it was called, for messages.
pub fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Runs a program that must succeed; its output.
pub fn run(doing: &'static str, command: &mut Command) -> Result<Output, BenchError> {
    let called = shown(command);
    let failed = |why| BenchError::Program {
        doing,
        command: called,
        why,
    };
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(output),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(failed(format!("{}: {said}", output.status)))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

/// A program that runs beside; killed when given up.
#[derive(Debug)]
pub struct Beside {
    doing: &'static str,
    command: String,
    child: Option<Child>,
}

impl Beside {
    /// Starts it, with what it says on stderr kept in `log`.
    pub fn start(
        doing: &'static str,
        command: &mut Command,
        log: &Path,
    ) -> Result<Self, BenchError> {
        let file = std::fs::File::create(log).map_err(|source| BenchError::File {
            doing: "create",
            path: log.to_owned(),
            source,
        })?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(|error| BenchError::Program {
                doing,
                command: shown(command),
                why: error.to_string(),
            })?;
        Ok(Self {
            doing,
            command: shown(command),
            child: Some(child),
        })
    }

    /// Gives its process away, to be waited for.
    pub fn into_child(mut self) -> Option<Child> {
        self.child.take()
    }

    /// What there is to say where it went wrong.
    pub fn error(&self, why: String) -> BenchError {
        BenchError::Program {
            doing: self.doing,
            command: self.command.clone(),
            why,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it runs still.
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            if let Err(error) = child.kill() {
                tracing::debug!(%error, "cannot kill {}", self.command);
            }
            if let Err(error) = child.wait() {
                tracing::warn!(%error, "cannot wait for {}", self.command);
            }
        }
    }
}

/// A file's text; what is not UTF-8 is shown as such.
pub fn text_of(path: &Path) -> Result<String, BenchError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|source| BenchError::File {
            doing: "read",
            path: path.to_owned(),
            source,
        })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_not_there_is_told_with_its_package() {
        let tool = Tool::find("vifbench-no-such-tool", Some("no-such")).expect("asked");
        assert!(!tool.is_there());
        assert_eq!(
            tool.to_string(),
            "vifbench-no-such-tool: not installed, so it is missing here (apt-get install no-such)"
        );
    }

    #[test]
    fn a_program_that_fails_is_told_with_what_it_said() {
        let error = run(
            "try it",
            Command::new("sh").args(["-c", "echo no >&2; exit 3"]),
        )
        .expect_err("it fails");
        assert_eq!(
            error.to_string(),
            "cannot try it: `sh -c echo no >&2; exit 3`: exit status: 3: no"
        );
    }
}
