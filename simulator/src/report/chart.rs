//! SVG charts.

use crate::strategy::Strategy;
use plotters::coord::ranged1d::SegmentedCoord;
use plotters::coord::types::{RangedCoordf64, RangedCoordi32};
use plotters::prelude::*;
use plotters::style::full_palette::GREY_600;

type Error = Box<dyn std::error::Error + Send + Sync>;
type BarChart<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, SegmentedCoord<RangedCoordi32>>>;

/// Width and height of a chart, in pixels.
const SIZE: (u32, u32) = (560, 260);
const FONT: &str = "sans-serif";

/// A bar chart with a bar per strategy. Bars end at twice the median, so that outliers do not hide the other values. Each bar is
/// labelled with its value and `unit`.
///
/// # Errors
/// The chart cannot be drawn.
pub fn bars(title: &str, unit: &str, bars: &[(Strategy, f64)]) -> Result<String, Error> {
    let end = axis_end(bars);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        // The range of rows includes both ends.
        let rows = 0..bars.len() as i32 - 1;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, (FONT, 14))
            .margin(8)
            .x_label_area_size(24)
            .y_label_area_size(136)
            .build_cartesian_2d(0.0..end * 1.15, rows.into_segmented())
            .map_err(|error| error.to_string())?;
        draw_names(&mut chart, bars)?;
        for (index, (strategy, value)) in bars.iter().enumerate() {
            let row = (bars.len() - 1 - index) as i32;
            let length = value.min(end);
            let bar = Rectangle::new(
                [
                    (0.0, SegmentValue::Exact(row)),
                    (length, SegmentValue::Exact(row + 1)),
                ],
                colour(*strategy).filled(),
            );
            chart
                .draw_series([bar])
                .map_err(|error| error.to_string())?;
            let label = Text::new(
                format!(" {value:.2} {unit}"),
                (length, SegmentValue::CenterOf(row)),
                (FONT, 11),
            );
            chart
                .draw_series([label])
                .map_err(|error| error.to_string())?;
        }
        area.present().map_err(|error| error.to_string())?;
    }
    Ok(svg)
}

/// End of the value axis: the maximum, but at most twice the median.
fn axis_end(bars: &[(Strategy, f64)]) -> f64 {
    let mut values: Vec<f64> = bars.iter().map(|(_, value)| *value).collect();
    values.sort_unstable_by(f64::total_cmp);
    let median = values.get(values.len() / 2).copied().unwrap_or_default();
    let max = values.last().copied().unwrap_or_default();
    let end = max.min(median * 2.0);
    if end > 0.0 { end } else { max.max(1.0) }
}

/// Draws the axes, with the strategies' names from top to bottom.
fn draw_names(chart: &mut BarChart<'_, '_>, bars: &[(Strategy, f64)]) -> Result<(), Error> {
    let name = |row: &SegmentValue<i32>| match row {
        SegmentValue::CenterOf(row) => (bars.len() - 1)
            .checked_sub(*row as usize)
            .and_then(|row| bars.get(row))
            .map_or_else(String::new, |(strategy, _)| strategy.name().to_owned()),
        SegmentValue::Exact(_) | SegmentValue::Last => String::new(),
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .y_labels(bars.len())
        .y_label_formatter(&name)
        .x_label_formatter(&|value| format!("{value:.2}"))
        .label_style((FONT, 11))
        .draw()
        .map_err(|error| error.to_string().into())
}

fn colour(strategy: Strategy) -> RGBColor {
    match strategy {
        Strategy::Meridian => RGBColor(20, 100, 180),
        Strategy::MeridianServerOnly | Strategy::MeridianRegionOnly => RGBColor(150, 185, 220),
        Strategy::Oracle => RGBColor(200, 160, 60),
        _ => RGBColor(150, 150, 150),
    }
}

/// A line chart of home shares in percent, one value per second. Vertical grey lines mark disturbances.
///
/// # Errors
/// The chart cannot be drawn.
pub fn home_shares(
    title: &str,
    lines: &[(String, &[u8])],
    disturbances: &[f64],
) -> Result<String, Error> {
    let seconds = lines.iter().map(|(_, share)| share.len()).max();
    let seconds = seconds.unwrap_or(1).max(1) as f64;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (SIZE.0 * 2, SIZE.1)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .caption(title, (FONT, 14))
            .margin(8)
            .x_label_area_size(24)
            .y_label_area_size(40)
            .build_cartesian_2d(0.0..seconds * 1.3, 0.0..105.0)
            .map_err(|error| error.to_string())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .label_style((FONT, 11))
            .x_label_formatter(&|second| format!("{second:.0} s"))
            .y_label_formatter(&|share| format!("{share:.0} %"))
            .draw()
            .map_err(|error| error.to_string())?;
        for at in disturbances {
            let line = LineSeries::new([(*at, 0.0), (*at, 105.0)], GREY_600.mix(0.6));
            chart.draw_series(line).map_err(|error| error.to_string())?;
        }
        for (index, (name, share)) in lines.iter().enumerate() {
            let colour = Palette99::pick(index).to_rgba();
            let points = share.iter().enumerate();
            let points = points.map(|(second, share)| (second as f64 + 1.0, f64::from(*share)));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))
                .map_err(|error| error.to_string())?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .label_font((FONT, 11))
            .border_style(TRANSPARENT)
            .draw()
            .map_err(|error| error.to_string())?;
        area.present().map_err(|error| error.to_string())?;
    }
    Ok(svg)
}
