//! What is shown of the turns: medians, how far they spread, the times of single calls, ratios.

use std::fmt;

use serde_json::{Value, json};

use crate::Running;
use crate::store::{Kind, Peer};
use crate::work::{What, Work};

/// One store in one row.
#[derive(Debug)]
pub struct Entry {
    pub name: &'static str,
    pub kind: Kind,
    /// Median over the turns, in nanoseconds a record.
    pub median_ns: f64,
    /// The middle half of the turns lies within so much of the median, as a share of it.
    pub spread: f64,
    /// Of single calls, in nanoseconds; none for a scan.
    pub calls: Option<Calls>,
}

#[derive(Debug)]
pub struct Calls {
    pub p50: u64,
    pub p99: u64,
    pub p9999: u64,
    pub max: u64,
}

#[derive(Debug)]
pub struct Row {
    pub work: Work,
    pub entries: Vec<Entry>,
}

impl Entry {
    pub fn of(running: Running<'_>) -> Self {
        let mut turns = running.turns;
        turns.sort_by(f64::total_cmp);
        let at = |share: f64| turns[((turns.len() - 1) as f64 * share).round() as usize];
        let calls = &running.calls;
        Self {
            name: running.peer.name,
            kind: running.peer.kind,
            median_ns: at(0.5),
            spread: (at(0.75) - at(0.25)) / at(0.5),
            calls: (!calls.is_empty()).then(|| Calls {
                p50: calls.value_at_quantile(0.5),
                p99: calls.value_at_quantile(0.99),
                p9999: calls.value_at_quantile(0.9999),
                max: calls.max(),
            }),
        }
    }
}

impl Row {
    fn median_of(&self, kind: Kind) -> Option<f64> {
        let medians = self.entries.iter().filter(|entry| entry.kind == kind);
        medians.map(|entry| entry.median_ns).min_by(f64::total_cmp)
    }

    /// How many times as fast as `kind` the log is.
    pub fn ratio_to(&self, kind: Kind) -> Option<f64> {
        Some(self.median_of(kind)? / self.median_of(Kind::Ours)?)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = self.median_of(Kind::Ours);
        writeln!(f, "\n{}", self.work.name)?;
        writeln!(
            f,
            "  {:<18} {:>12} {:>8} {:>8} {:>10} {:>10} {:>10} {:>10}",
            "", "ns a record", "spread", "ours is", "p50 us", "p99 us", "p99.99 us", "max us"
        )?;
        for entry in &self.entries {
            let times = ours.map_or(0.0, |ours| entry.median_ns / ours);
            let mut line = format!(
                "  {:<18} {:>12.1} {:>7.0}% {:>7.2}x",
                entry.name,
                entry.median_ns,
                entry.spread * 100.0,
                times
            );
            if let Some(calls) = &entry.calls {
                for ns in [calls.p50, calls.p99, calls.p9999, calls.max] {
                    line += &format!(" {:>10.1}", ns as f64 / 1000.0);
                }
            }
            writeln!(f, "{line}")?;
        }
        for (kind, whom) in [
            (Kind::Peer, "the best peer"),
            (Kind::Floor, "the raw floor"),
        ] {
            if let Some(ratio) = self.ratio_to(kind) {
                writeln!(f, "  {ratio:.2} x {whom}")?;
            }
        }
        Ok(())
    }
}

/// What each store promises, so that no figure is read without it.
pub fn promises(peers: &[Peer]) -> String {
    let mut text = String::from("\nwhat each promises here\n");
    for peer in peers {
        text += &format!("  {:<18} {}\n", peer.name, peer.promises);
    }
    text
}

pub fn json(rows: &[Row]) -> String {
    let rows: Vec<Value> = rows.iter().map(row).collect();
    format!("{:#}\n", json!({ "rows": rows }))
}

fn row(row: &Row) -> Value {
    let what = match row.work.what {
        What::Append => "append",
        What::Scan => "scan",
        What::Get => "get",
    };
    let entries: Vec<Value> = row
        .entries
        .iter()
        .map(|entry| {
            let calls = entry.calls.as_ref();
            json!({
                "store": entry.name,
                "median_ns_per_record": entry.median_ns,
                "spread": entry.spread,
                "call_p50_ns": calls.map(|calls| calls.p50),
                "call_p99_ns": calls.map(|calls| calls.p99),
                "call_p99_99_ns": calls.map(|calls| calls.p9999),
                "call_max_ns": calls.map(|calls| calls.max),
            })
        })
        .collect();
    json!({
        "work": row.work.name,
        "what": what,
        "record_bytes": row.work.record_bytes,
        "batch": row.work.batch,
        "threads": row.work.threads,
        "ratio_to_best_peer": row.ratio_to(Kind::Peer),
        "ratio_to_raw_floor": row.ratio_to(Kind::Floor),
        "stores": entries,
    })
}
