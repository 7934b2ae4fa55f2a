//! `stratalog`: the tool. Appends to, reads and checks Kafka log directories, no broker needed.

#![allow(
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program speaks to people, and has the system's clock and files"
)]

mod append;
mod inspection;
mod lines;
mod tail;
#[cfg(unix)]
mod torture;

use std::fs::TryLockError;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stratalog::ErrorKind;

/// Appends to, reads and checks Kafka log directories, without a broker.
#[derive(Parser)]
#[command(version, about, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 2 wrong use, 10 I/O, 11 disk full, 12 damage found or a promise broken, 13 locked, \
14 closed after an earlier failure, 15 invalid argument, 16 unsupported format, 17 over a limit";

#[derive(Subcommand)]
enum Command {
    /// Appends each line of standard input as a record; creates log directory and topic where missing.
    Append(append::Options),
    /// Prints records, from where you say; beside a live writer if there is one.
    Tail(tail::Options),
    /// Prints every batch and record of a partition directory, without writing to it.
    Dump {
        /// JSON lines, the ones that Kafka's own classes give (the only form so far).
        #[arg(long, required = true)]
        json: bool,
        /// The partition's directory, e.g. data/user_clicks-0.
        dir: PathBuf,
    },
    /// Prints the offsets for times of a partition directory, without writing to it.
    Offsets {
        /// JSON lines, the ones that Kafka's own classes give (the only form so far).
        #[arg(long, required = true)]
        json: bool,
        /// The partition's directory, e.g. data/user_clicks-0.
        dir: PathBuf,
        /// EARLIEST, LATEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED or milliseconds since 1970.
        #[arg(required = true, allow_negative_numbers = true)]
        targets: Vec<String>,
    },
    /// Checks every byte of a partition directory, without writing to it.
    Verify {
        /// The partition's directory, e.g. data/user_clicks-0.
        dir: PathBuf,
    },
    /// Tries your settings on your disk: kills a writer again and again, and compares all that was acknowledged.
    #[cfg(unix)]
    Torture(torture::Options),
    /// The writer that `torture` kills.
    #[cfg(unix)]
    #[command(name = torture::child::COMMAND, hide = true)]
    TortureChild(torture::child::Options),
}

/// How a command that ran to its end says it ended; the numbers are exit codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Done = 0,
    /// Damage was found, or a promise was broken.
    Damage = 12,
    /// Old message formats, or codecs that this build leaves out.
    Unsupported = 16,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Append(options) => append::run(&options),
        Command::Tail(options) => tail::run(&options),
        Command::Dump { dir, json: _ } => inspection::dump(&dir),
        Command::Offsets {
            dir,
            targets,
            json: _,
        } => inspection::offsets(&dir, &targets),
        Command::Verify { dir } => inspection::verify(&dir),
        #[cfg(unix)]
        Command::Torture(options) => torture::run(&options),
        #[cfg(unix)]
        Command::TortureChild(options) => torture::child::run(&options),
    };
    match done {
        Ok(outcome) => ExitCode::from(outcome as u8),
        // Who read our output has enough: `stratalog tail ... | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stratalog: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// The exit code that tells the kind of an error to a script.
fn exit_code(error: &anyhow::Error) -> u8 {
    let mut causes = error.chain();
    let Some(error) = causes.find_map(|cause| cause.downcast_ref::<stratalog::Error>()) else {
        let is_locked = |cause: &TryLockError| matches!(cause, TryLockError::WouldBlock);
        if error
            .chain()
            .any(|cause| cause.downcast_ref().is_some_and(is_locked))
        {
            return 13;
        }
        let is_io = error.chain().any(|cause| cause.is::<std::io::Error>());
        return if is_io { 10 } else { 15 };
    };
    match error.kind() {
        ErrorKind::Full => 11,
        ErrorKind::Gap | ErrorKind::Corrupt => 12,
        ErrorKind::Locked => 13,
        ErrorKind::Closed | ErrorKind::Failed => 14,
        ErrorKind::InvalidInput
        | ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::OffsetOutOfRange
        | ErrorKind::Fenced
        | ErrorKind::OutOfSequence => 15,
        ErrorKind::Unsupported => 16,
        ErrorKind::TooLarge => 17,
        _ => 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_of_the_command_line_holds_together() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
