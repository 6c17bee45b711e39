//! What analysis writes: tables beside the trials, and the report. It can all be made again from the rest of the run.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::files;
use crate::reader::RunReader;

/// Writes the tables and the report of one run. It needs no lock: what it writes is never read by the harness.
#[derive(Debug, Clone)]
pub struct AnalysisWriter(RunReader);

impl AnalysisWriter {
    /// For the run that `run` reads. Nothing is touched yet.
    pub fn new(run: &RunReader) -> Self {
        Self(run.clone())
    }

    /// `packets/<n>.parquet`, to be written.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn packets(&self, number: u32) -> Result<NewFile, StoreError> {
        NewFile::create(self.0.packets(number))
    }

    /// `trials.parquet`, to be written.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn trials(&self) -> Result<NewFile, StoreError> {
        NewFile::create(self.0.trials_parquet())
    }

    /// Copies known regressions into the run. From now on it is judged under them.
    ///
    /// # Errors
    /// `file` cannot be read, or the copy cannot be written.
    pub fn acknowledge(&self, file: &Path) -> Result<(), StoreError> {
        files::copy_whole(file, &self.0.acknowledged_yaml())
    }

    /// `report/`.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn report(&self) -> Result<ReportFolder, StoreError> {
        ReportFolder::create(self.0.report())
    }
}

/// A folder for pages, figures and tables: a run's `report/`, or that of a matrix, a simulation or the history.
#[derive(Debug, Clone)]
pub struct ReportFolder(PathBuf);

impl ReportFolder {
    /// Creates the folder if there is none.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        files::create_folder(&path)?;
        Ok(Self(path))
    }

    /// A folder inside this one; created if there is none.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn folder(&self, name: &str) -> Result<Self, StoreError> {
        Self::create(self.0.join(name))
    }

    /// A folder inside this one, empty: files of an earlier version must not stay beside those of this one.
    ///
    /// # Errors
    /// The folder cannot be emptied or created.
    pub fn emptied(&self, name: &str) -> Result<Self, StoreError> {
        let path = self.0.join(name);
        if files::exists(&path)? {
            fs::remove_dir_all(&path).map_err(StoreError::write("remove the folder", &path))?;
        }
        Self::create(path)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path that a file of this name has, whether it exists or not.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, whole or not at all, and returns its path.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let path = self.file(name);
        files::write_whole(&path, bytes)?;
        Ok(path)
    }

    /// A file to be written piece by piece.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn new_file(&self, name: &str) -> Result<NewFile, StoreError> {
        NewFile::create(self.file(name))
    }

    /// Removes a file that an earlier report may have left.
    ///
    /// # Errors
    /// There is such a file, and it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::write("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }
}

/// A file that gets its name when it is whole. Dropped before [`NewFile::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    part: PathBuf,
    file: File,
    finished: bool,
}

impl NewFile {
    /// Begins a file; folders on the way are created.
    ///
    /// # Errors
    /// The file or a folder cannot be created.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        if let Some(folder) = path.parent() {
            files::create_folder(folder)?;
        }
        let part = files::part_of(&path);
        let file = File::create(&part).map_err(StoreError::write("create", &part))?;
        Ok(Self {
            path,
            part,
            file,
            finished: false,
        })
    }

    /// The path that the file will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn finish(mut self) -> Result<PathBuf, StoreError> {
        files::rename(&self.part, &self.path)?;
        self.finished = true;
        Ok(std::mem::take(&mut self.path))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.finished {
            // The error that led here matters more than a file that stays behind: the next attempt replaces it.
            let _ = fs::remove_file(&self.part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_file_leaves_the_old_one_alone() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("deep/trials.parquet");
        let write = |text: &str, finish: bool| {
            let mut file = NewFile::create(&path).expect("created");
            file.write_all(text.as_bytes()).expect("written");
            if finish {
                file.finish().expect("finished");
            }
        };
        write("old", true);
        write("half of the new", false);
        assert_eq!(fs::read_to_string(&path).expect("read"), "old");
        write("new", true);
        assert_eq!(fs::read_to_string(&path).expect("read"), "new");
        let left = fs::read_dir(folder.path().join("deep")).expect("listed");
        assert_eq!(left.count(), 1, "only the finished file stays");
    }

    #[test]
    fn a_folder_is_emptied_and_a_missing_file_is_removed() {
        let root = tempfile::tempdir().expect("temporary folder");
        let report = ReportFolder::create(root.path().join("report")).expect("created");
        let figures = report.emptied("figures").expect("new");
        figures.write("old.svg", b"x").expect("written");
        let figures = report.emptied("figures").expect("emptied");
        assert!(!figures.file("old.svg").exists());
        report.remove("pareto.csv").expect("nothing to remove");
        report.write("pareto.csv", b"x").expect("written");
        report.remove("pareto.csv").expect("removed");
        assert!(!report.file("pareto.csv").exists());
    }
}
