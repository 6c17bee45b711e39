//! `vifbench patches list|check|build`.

use serde_json::json;
use vifbench_provisioning::data::{DataDir, DataError};
use vifbench_provisioning::lab::{Combination, build_images};
use vifbench_provisioning::modules::ModuleError;
use vifbench_provisioning::modules::builder::{
    BuildError, Kernel, ModuleBuilder, PatchCheck, default_cache_dir,
};
use vifbench_scenarios::progress::Progress;
use vifbench_wait::Cancel;

use crate::cli::{Format, PatchesCommand};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::stdout;

/// Builds modules from vifbench's own patches into the cache.
pub fn builder() -> Result<ModuleBuilder, DataError> {
    let series = DataDir::from_env().series()?;
    Ok(ModuleBuilder::new(series, default_cache_dir()))
}

/// Carries out the command.
pub fn run(
    command: &PatchesCommand,
    format: Format,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Exit, Failure> {
    let builder = builder()?.with_cancel(cancel.clone());
    let done = match command {
        PatchesCommand::List { kernel } => list(&builder, kernel, format),
        PatchesCommand::Check { kernel } => check(&builder, kernel, format, progress),
        PatchesCommand::Build { kernel, release } => {
            build(&builder, kernel, release.as_deref(), format, progress)
        }
    };
    match done {
        // Whatever a step that was cut short calls itself.
        Err(_) if cancel.is_cancelled() => Err(Failure::Interrupted),
        done => done,
    }
}

fn list(builder: &ModuleBuilder, line: &str, format: Format) -> Result<Exit, Failure> {
    let series = builder.series(line).map_err(ModuleError::from)?;
    match format {
        Format::Text => {
            for (index, patch) in series.patches.iter().enumerate() {
                writeln!(stdout(), "{} {}", patch.name, patch.subject)?;
                for variant in series
                    .variants
                    .iter()
                    .filter(|variant| variant.patches == index + 1)
                {
                    writeln!(stdout(), "    so far: variant {}", variant.name)?;
                }
            }
        }
        Format::Json => {
            let patches: Vec<_> = series
                .patches
                .iter()
                .map(|patch| json!({"name": patch.name, "subject": patch.subject}))
                .collect();
            let variants: Vec<_> = series
                .variants
                .iter()
                .map(|variant| json!({"name": variant.name, "patches": variant.patches}))
                .collect();
            stdout()
                .json(&json!({"kernel": series.line, "patches": patches, "variants": variants}))?;
        }
    }
    Ok(Exit::Pass)
}

fn check(
    builder: &ModuleBuilder,
    line: &str,
    format: Format,
    progress: &dyn Progress,
) -> Result<Exit, Failure> {
    let kernel = kernel(builder, line, None, progress)?;
    let task = progress.start("checking patches", None);
    let checks = builder
        .check(&kernel, &|text| task.message(text))
        .map_err(ModuleError::from)?;
    task.finish(&format!("{} for {}", checks.len(), kernel.release));
    let good = checks.iter().all(PatchCheck::passes);
    match format {
        Format::Text => {
            for check in &checks {
                let mark = if check.passes() { "good" } else { "FAULTS" };
                writeln!(stdout(), "{mark:<7} {}", check.patch.name)?;
                for finding in check.style.findings.iter().chain(&check.warnings) {
                    writeln!(stdout(), "        {finding}")?;
                }
            }
        }
        Format::Json => {
            let rows: Vec<_> = checks
                .iter()
                .map(|check| {
                    json!({
                        "patch": check.patch.name, "good": check.passes(),
                        "style": check.style.findings, "warnings": check.warnings,
                    })
                })
                .collect();
            stdout().json(&json!({"kernel": kernel.release, "patches": rows}))?;
        }
    }
    Ok(if good { Exit::Pass } else { Exit::Setup })
}

/// The kernel of that release; without one the newest that headers are installed for, or else the virtual lab's.
fn kernel(
    builder: &ModuleBuilder,
    line: &str,
    release: Option<&str>,
    progress: &dyn Progress,
) -> Result<Kernel, Failure> {
    let release = match release {
        Some(release) => release.to_owned(),
        None => match builder.newest_kernel(line) {
            Err(BuildError::NoHeadersOfLine { .. }) if Combination::kernels().contains(&line) => {
                let lab = Combination::new(Some(line), None)?;
                build_images(&lab, progress)?.kernel()?
            }
            newest => return Ok(newest.map_err(ModuleError::from)?),
        },
    };
    let task = progress.start(&format!("Linux {release}"), None);
    let kernel = builder
        .kernel(&release, &|text| task.message(text))
        .map_err(ModuleError::from)?;
    task.finish(&format!("{}, {}", kernel.version, kernel.compiler));
    Ok(kernel)
}

fn build(
    builder: &ModuleBuilder,
    line: &str,
    release: Option<&str>,
    format: Format,
    progress: &dyn Progress,
) -> Result<Exit, Failure> {
    let kernel = kernel(builder, line, release, progress)?;
    let series = builder.series(line).map_err(ModuleError::from)?;
    for variant in &series.variants {
        let task = progress.start(&format!("building {}", variant.name), None);
        let built = builder
            .build(&variant.name, &kernel, &|text| task.message(text))
            .map_err(ModuleError::from)?;
        task.finish(if built.cached {
            "in the cache"
        } else {
            "built"
        });
        match format {
            Format::Text => {
                writeln!(stdout(), "{} for {}", variant.name, built.release)?;
                for module in [&built.netback, &built.netfront] {
                    writeln!(stdout(),
                        "  {} build-id {}",
                        module.path.display(),
                        module.file.build_id
                    )?;
                }
            }
            Format::Json => stdout().json(&json!({
                    "variant": variant.name, "kernel": built.release,
                    "netback": {"path": built.netback.path.display().to_string(), "build_id": built.netback.file.build_id},
                    "netfront": {"path": built.netfront.path.display().to_string(), "build_id": built.netfront.file.build_id},
                }))?,
        }
    }
    Ok(Exit::Pass)
}
