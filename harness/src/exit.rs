//! Exit codes: documented, stable, one meaning each. Scripts and nightly jobs rely on them.

use std::process::ExitCode;

/// How `vifbench` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done; for a run: PASS or IMPROVEMENT.
    Pass,
    /// A fault of vifbench itself.
    Internal,
    /// Bad usage; a bad, missing or unreadable input file; a place where nothing can be written.
    Usage,
    /// Results could not be written to standard output.
    Output,
    /// A variant is worse than the baseline.
    Regression,
    /// The evidence does not decide.
    Inconclusive,
    /// The lab, or this machine, failed, not the patch.
    Infra,
    /// A variant could not be built, loaded or brought up.
    Setup,
    /// The device under test died.
    DutCrash,
    /// Interrupted by the user; everything was undone.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Output => 3,
            Self::Regression => 10,
            Self::Inconclusive => 11,
            Self::Infra => 12,
            Self::Setup => 13,
            Self::DutCrash => 14,
            Self::Interrupted => 130,
        }
    }

    /// What a number that the shell saw means.
    pub fn of_code(code: i32) -> Option<Self> {
        ALL.into_iter().find(|exit| i32::from(exit.code()) == code)
    }

    /// For summaries.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Internal => "INTERNAL ERROR",
            Self::Usage => "USAGE",
            Self::Output => "OUTPUT",
            Self::Regression => "REGRESSION",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Infra => "INFRA",
            Self::Setup => "SETUP",
            Self::DutCrash => "DUT-CRASH",
            Self::Interrupted => "INTERRUPTED",
        }
    }
}

const ALL: [Exit; 10] = [
    Exit::Pass,
    Exit::Internal,
    Exit::Usage,
    Exit::Output,
    Exit::Regression,
    Exit::Inconclusive,
    Exit::Infra,
    Exit::Setup,
    Exit::DutCrash,
    Exit::Interrupted,
];

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table for `--help` and the man page.
pub const TABLE: &str = "\
Exit codes:
    0  done; for a run: PASS or IMPROVEMENT
    1  a fault of vifbench itself: please report it
    2  bad usage; a bad, missing or unreadable input file; a place where no file can be written
    3  the results could not be written to standard output
   10  REGRESSION
   11  INCONCLUSIVE
   12  INFRA: the lab, or this machine, failed, not the patch
   13  SETUP: a variant could not be built, loaded or brought up
   14  DUT-CRASH: the device under test died
  130  interrupted, and everything undone
A reader that closes the pipe early (as `head` does) ends the printing only: the exit code stays that of the command.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_code() {
        for exit in ALL {
            assert_eq!(Exit::of_code(exit.code().into()), Some(exit));
            let code = format!("{:>5}  ", exit.code());
            assert!(TABLE.contains(&code), "{exit:?} is missing");
        }
    }
}
