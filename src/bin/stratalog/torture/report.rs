//! What a run found, in words and figures, or as one JSON object.

use std::io::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use stratalog::FsyncPolicy;

use super::judge::Tally;
use super::settings::Settings;

/// A latency above an hour counts as an hour.
const LONGEST_NANOS: u64 = 3_600_000_000_000;

/// Everything that is counted.
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) elapsed: Duration,
    pub(crate) rounds: u64,
    pub(crate) kills: u64,
    /// Of the kills, those before the log was open.
    pub(crate) kills_while_opening: u64,
    pub(crate) pauses: u64,
    pub(crate) second_openers: u64,
    pub(crate) fills: u64,
    pub(crate) trims: u64,
    pub(crate) truncations: u64,
    pub(crate) acknowledged: u64,
    /// Acknowledged, and not yet durable when the child was killed.
    pub(crate) unsynced: u64,
    pub(crate) torn_tails: u64,
    pub(crate) gaps: u64,
    pub(crate) tally: Tally,
    pub(crate) appends: Histogram<u64>,
    pub(crate) syncs: Histogram<u64>,
    pub(crate) recoveries: Histogram<u64>,
}

impl Report {
    pub(crate) fn new(seed: u64) -> anyhow::Result<Self> {
        Ok(Self {
            seed,
            elapsed: Duration::ZERO,
            rounds: 0,
            kills: 0,
            kills_while_opening: 0,
            pauses: 0,
            second_openers: 0,
            fills: 0,
            trims: 0,
            truncations: 0,
            acknowledged: 0,
            unsynced: 0,
            torn_tails: 0,
            gaps: 0,
            tally: Tally::default(),
            appends: Histogram::new_with_bounds(1, LONGEST_NANOS, 3)?,
            syncs: Histogram::new_with_bounds(1, LONGEST_NANOS, 3)?,
            recoveries: Histogram::new_with_bounds(1, LONGEST_NANOS, 3)?,
        })
    }

    pub(crate) fn verdict(&self) -> &'static str {
        if self.tally.is_broken() {
            "broken"
        } else {
            "kept"
        }
    }

    /// What a power cut could have taken of what was not synced, and which row of the manual's table says so.
    fn power_cut(settings: &Settings) -> &'static str {
        match settings.fsync.policy {
            FsyncPolicy::Always => {
                "row 2: with fsync always a power cut takes no acknowledged record"
            }
            FsyncPolicy::Never => {
                "row 2: with fsync never a power cut may take what was appended since the last completed background sync \
                 (one starts every 30 s or 64 MiB), never more than 1 GiB"
            }
            _ => {
                "row 2: with this policy a power cut may take what is above the durable end, and leaves a prefix without holes"
            }
        }
    }

    /// What this run could not or did not try, in words.
    pub(crate) fn not_tested(&self, fill: bool) -> Vec<&'static str> {
        let mut list = vec![
            "power cuts and crashes of the system: a kill leaves the page cache, and needs no sync to be survived (row 2)",
            "errors of the medium on write, sync and read (rows 9 to 11), and damage that it does in silence (row 7)",
            "whether the disk honours a flush (row 24)",
        ];
        if !fill {
            list.push("a full disk (row 8): say --fill, on a file system that nobody else needs");
        }
        list
    }

    pub(crate) fn print(
        &self,
        settings: &Settings,
        fill: bool,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        let tally = &self.tally;
        writeln!(
            out,
            "promises {}: {} rounds in {:.1} s, seed {}",
            self.verdict(),
            self.rounds,
            self.elapsed.as_secs_f64(),
            self.seed
        )?;
        for told in &tally.told {
            writeln!(out, "  {told}")?;
        }
        writeln!(
            out,
            "records: {} acknowledged, {} compared, {} lost, {} wrong, {} of them in silence; {} other promises broken",
            self.acknowledged, tally.compared, tally.lost, tally.wrong, tally.silent, tally.other
        )?;
        writeln!(
            out,
            "faults: {} kills, {} of them while the log was opening; {} pauses, {} second openers, {} full disks, {} trims and \
             {} truncations under a reader",
            self.kills,
            self.kills_while_opening,
            self.pauses,
            self.second_openers,
            self.fills,
            self.trims,
            self.truncations
        )?;
        writeln!(
            out,
            "found at reopening: {} torn tails (row 6), {} gaps",
            self.torn_tails, self.gaps
        )?;
        writeln!(
            out,
            "not yet synced when their process was killed: {} records; row 1: kept under every policy; {}",
            self.unsynced,
            Self::power_cut(settings)
        )?;
        latency(out, "append", &self.appends)?;
        if settings.fsync.policy == FsyncPolicy::Always {
            writeln!(out, "sync: each append waits for one")?;
        } else {
            latency(out, "sync", &self.syncs)?;
        }
        latency(out, "open after a kill", &self.recoveries)?;
        for what in self.not_tested(fill) {
            writeln!(out, "not tested: {what}")?;
        }
        Ok(())
    }

    pub(crate) fn to_json(&self, settings: &Settings, fill: bool) -> Value {
        let tally = &self.tally;
        json!({
            "verdict": self.verdict(),
            "seed": self.seed,
            "settings": settings.words(self.seed).join(" "),
            "seconds": self.elapsed.as_secs_f64(),
            "rounds": self.rounds,
            "kills": self.kills,
            "kills_while_opening": self.kills_while_opening,
            "pauses": self.pauses,
            "second_openers": self.second_openers,
            "full_disks": self.fills,
            "trims": self.trims,
            "truncations": self.truncations,
            "acknowledged": self.acknowledged,
            "compared": tally.compared,
            "lost": tally.lost,
            "wrong": tally.wrong,
            "silent": tally.silent,
            "other": tally.other,
            "told": tally.told,
            "torn_tails": self.torn_tails,
            "gaps": self.gaps,
            "unsynced": self.unsynced,
            "power_cut": Self::power_cut(settings),
            "append_ns": figures(&self.appends),
            "sync_ns": figures(&self.syncs),
            "open_ns": figures(&self.recoveries),
            "not_tested": self.not_tested(fill),
        })
    }
}

fn figures(histogram: &Histogram<u64>) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    json!({
        "count": histogram.len(),
        "p50": histogram.value_at_quantile(0.5),
        "p99": histogram.value_at_quantile(0.99),
        "p99.9": histogram.value_at_quantile(0.999),
        "max": histogram.max(),
    })
}

fn latency(out: &mut impl Write, name: &str, histogram: &Histogram<u64>) -> std::io::Result<()> {
    if histogram.is_empty() {
        return writeln!(out, "{name}: none measured");
    }
    let micros = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64() * 1e6;
    writeln!(
        out,
        "{name}: p50 {:.1} us, p99 {:.1} us, p99.9 {:.1} us, max {:.1} us, of {}",
        micros(histogram.value_at_quantile(0.5)),
        micros(histogram.value_at_quantile(0.99)),
        micros(histogram.value_at_quantile(0.999)),
        micros(histogram.max()),
        histogram.len()
    )
}
