//! The medians as bars, a panel for each row; shorter is better.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::report::Row;
use crate::store::Kind;

const WIDTH: u32 = 900;
const PANEL_HEIGHT: u32 = 260;

pub fn draw(rows: &[Row], path: &Path) -> Result<()> {
    let height = PANEL_HEIGHT * rows.len() as u32;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    let drawn = area
        .fill(&WHITE)
        .map_err(|error| anyhow!("{error}"))
        .and_then(|()| {
            for (row, panel) in rows.iter().zip(area.split_evenly((rows.len(), 1))) {
                draw_row(row, &panel).map_err(|error| anyhow!("{error}"))?;
            }
            area.present().map_err(|error| anyhow!("{error}"))
        });
    drawn.map_err(|error| error.context(path.display().to_string()))
}

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw_row(row: &Row, panel: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Drawn {
    let slowest = row
        .entries
        .iter()
        .map(|entry| entry.median_ns)
        .fold(1.0, f64::max);
    let fastest = row
        .entries
        .iter()
        .map(|entry| entry.median_ns)
        .fold(slowest, f64::min);
    let names: Vec<&str> = row.entries.iter().map(|entry| entry.name).collect();
    let mut chart = ChartBuilder::on(panel)
        .caption(
            format!("{}, ns a record (log scale)", row.work.name),
            ("sans-serif", 16),
        )
        .margin(12)
        .x_label_area_size(24)
        .y_label_area_size(130)
        .build_cartesian_2d(
            (fastest / 2.0..slowest * 1.5).log_scale(),
            (0..names.len() - 1).into_segmented(),
        )?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(names.len())
        .y_label_formatter(&|at| match at {
            SegmentValue::CenterOf(at) | SegmentValue::Exact(at) => {
                names.get(*at).copied().unwrap_or("").to_owned()
            }
            SegmentValue::Last => String::new(),
        })
        .draw()?;
    chart.draw_series(row.entries.iter().enumerate().map(|(at, entry)| {
        let color = match entry.kind {
            Kind::Ours => BLUE.mix(0.8),
            Kind::Floor => BLACK.mix(0.3),
            Kind::Peer => BLUE.mix(0.3),
        };
        let corners = [
            (fastest / 2.0, SegmentValue::Exact(at)),
            (entry.median_ns, SegmentValue::Exact(at + 1)),
        ];
        let mut bar = Rectangle::new(corners, color.filled());
        bar.set_margin(3, 3, 0, 0);
        bar
    }))?;
    Ok(())
}
