//! `stratalog dump`, `offsets` and `verify`: what stands in a partition directory, without writing to it.

use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stratalog::inspect::{self, FindingKind, Format, Progress, Target};

use crate::Outcome;

/// A progress bar is shown once a check takes this long.
const PATIENCE: Duration = Duration::from_secs(2);

const REDRAWN_EVERY: Duration = Duration::from_millis(100);

pub(crate) fn dump(dir: &Path) -> anyhow::Result<Outcome> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let summary = inspect::dump(dir, Format::Json, &mut out)?;
    out.flush()?;
    Ok(if summary.damaged > 0 {
        Outcome::Damage
    } else if summary.unsupported > 0 {
        Outcome::Unsupported
    } else {
        Outcome::Done
    })
}

pub(crate) fn offsets(dir: &Path, targets: &[String]) -> anyhow::Result<Outcome> {
    let targets: Vec<Target> = targets
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    inspect::offsets(dir, &targets, Format::Json, &mut out)?;
    out.flush()?;
    Ok(Outcome::Done)
}

pub(crate) fn verify(dir: &Path) -> anyhow::Result<Outcome> {
    let findings = inspect::verify(dir)?;
    let progress = findings.progress();
    let outcome = std::thread::scope(|scope| {
        // Dropped when the work ends, however it ends.
        let (_at_work, ended) = mpsc::channel();
        if std::io::stderr().is_terminal() {
            scope.spawn(|| show(&progress, ended));
        }
        print_all(findings)
    })?;
    let verdict = match outcome {
        Outcome::Done => "ok",
        Outcome::Damage => "damaged",
        Outcome::Unsupported => "ok as far as it can be read",
    };
    writeln!(
        std::io::stdout().lock(),
        "{verdict}: {} batches, {} records, {} bytes checked",
        progress.batches(),
        progress.records(),
        progress.checked_bytes()
    )?;
    Ok(outcome)
}

fn print_all(findings: inspect::Verification) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::Done;
    for finding in findings {
        let finding = finding?;
        writeln!(std::io::stdout().lock(), "{finding}")?;
        if finding.is_damage() {
            outcome = Outcome::Damage;
        } else if finding.kind() == FindingKind::Unsupported && outcome == Outcome::Done {
            outcome = Outcome::Unsupported;
        }
    }
    Ok(outcome)
}

/// A bar on the terminal, once the check takes longer than anybody's patience.
fn show(progress: &Progress, ended: mpsc::Receiver<()>) {
    let bar = ProgressBar::hidden();
    if let Ok(style) = ProgressStyle::with_template("{bytes}/{total_bytes} {bar:40} {eta}") {
        bar.set_style(style);
    }
    let started = Instant::now();
    while ended.recv_timeout(REDRAWN_EVERY) == Err(RecvTimeoutError::Timeout) {
        if bar.is_hidden() && started.elapsed() > PATIENCE {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.set_length(progress.total_bytes());
        bar.set_position(progress.checked_bytes());
    }
    bar.finish_and_clear();
}
