//! The log beside its peers: the same work, in one run, in turns that alternate, so that what the machine does meanwhile falls on all of them.
//!
//! See `README.md` beside `Cargo.toml`.

mod chart;
mod peers;
mod report;
mod store;
mod work;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use hdrhistogram::Histogram;

use report::{Entry, Row};
use store::{Kind, Peer, Setup, Store};
use work::Work;

/// Measures the log beside its peers by the same work, in turns that alternate.
#[derive(Parser, Debug)]
struct Arguments {
    /// Only rows whose name has one of these words.
    words: Vec<String>,
    /// How often each store has its turn.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Only these stores beside the log and the raw floor; several times.
    #[arg(long = "peer", value_name = "NAME")]
    peers: Vec<String>,
    /// Where the stores write, on the disk to be measured; the system's temporary directory by default.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Writes all figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draws the medians.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.rounds > 0, "--rounds takes at least 1");
    let parent = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    let peers = chosen(&arguments.peers);
    let mut rows = Vec::new();
    for work in work::ALL
        .iter()
        .filter(|work| is_wanted(work, &arguments.words))
    {
        let row = measure(work, &peers, &parent, arguments.rounds).with_context(|| work.name)?;
        print!("{row}");
        rows.push(row);
    }
    ensure!(!rows.is_empty(), "no row has one of these words");
    println!("{}", report::promises(&peers));
    if let Some(path) = &arguments.json {
        std::fs::write(path, report::json(&rows)).with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &arguments.svg {
        chart::draw(&rows, path)?;
    }
    Ok(())
}

fn is_wanted(work: &Work, words: &[String]) -> bool {
    words.is_empty() || words.iter().any(|word| work.name.contains(word.as_str()))
}

fn chosen(names: &[String]) -> Vec<Peer> {
    let mut peers = peers::all();
    let is_named = |peer: &Peer| {
        names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(peer.name))
    };
    peers.retain(|peer| names.is_empty() || peer.kind != Kind::Peer || is_named(peer));
    peers
}

/// A store with its turns so far.
struct Running<'a> {
    peer: &'a Peer,
    store: Box<dyn Store>,
    /// Nanoseconds a record, one figure for each turn.
    turns: Vec<f64>,
    calls: Histogram<u64>,
    // Gone with its directory at the end of the row.
    _dir: tempfile::TempDir,
}

fn measure(work: &Work, peers: &[Peer], parent: &std::path::Path, rounds: usize) -> Result<Row> {
    let mut running = Vec::new();
    for peer in peers.iter().filter(|peer| work.is_for(peer.abilities)) {
        running.push(start(work, peer, parent).with_context(|| peer.name)?);
    }
    // What was put in before is not to be written back while the turns are taken.
    ensure!(Command::new("sync").status()?.success(), "sync failed");
    // The first turn warms up and is not counted.
    for round in 0..=rounds {
        for turn in 0..running.len() {
            let at = (round + turn) % running.len();
            let one = &mut running[at];
            let piece = work.run(&*one.store).with_context(|| one.peer.name)?;
            if round > 0 {
                one.turns
                    .push(piece.took.as_nanos() as f64 / piece.records as f64);
                work.note_calls(&*one.store, &mut one.calls)
                    .with_context(|| one.peer.name)?;
            }
        }
    }
    Ok(Row {
        work: *work,
        entries: running.into_iter().map(Entry::of).collect(),
    })
}

fn start<'a>(work: &Work, peer: &'a Peer, parent: &std::path::Path) -> Result<Running<'a>> {
    let dir = tempfile::Builder::new()
        .prefix("peers-")
        .tempdir_in(parent)?;
    let durability = work.durability_for(peer.abilities);
    let store = (peer.open)(Setup {
        dir: dir.path(),
        durability,
    })?;
    work.fill(&*store, durability)?;
    Ok(Running {
        peer,
        store,
        turns: Vec::new(),
        calls: Histogram::new(3)?,
        _dir: dir,
    })
}
