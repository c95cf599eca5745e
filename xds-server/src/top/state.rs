//! What the view shows, and what keys change.

use anyhow::Result;
use meridian_xds_server::serve::report::Report;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Columns that a key moves the view by.
const COLUMNS: u16 = 8;

/// What the view shows.
pub struct State {
    /// The address of the control plane.
    pub address: String,
    /// Its last report.
    pub report: Option<Report>,
    /// Why there is no newer one.
    pub error: Option<String>,
    /// Whether the keys are explained.
    pub has_help: bool,
    /// The first line and column that are shown.
    pub scroll: (u16, u16),
    /// Lines that fit.
    pub page: u16,
}

/// What follows from a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// It goes on.
    Stay,
    /// It ends.
    Quit,
}

impl State {
    /// Before the first report.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            report: None,
            error: None,
            has_help: false,
            scroll: (0, 0),
            page: 1,
        }
    }

    /// Takes a report. Where there is none, the last one stays.
    pub fn take(&mut self, report: Result<Report>) {
        match report {
            Ok(report) => {
                self.report = Some(report);
                self.error = None;
            }
            Err(error) => self.error = Some(format!("{error:#}")),
        }
    }

    /// What a key does.
    pub fn press(&mut self, key: KeyEvent) -> Step {
        if key.kind == KeyEventKind::Release {
            return Step::Stay;
        }
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        let (line, column) = &mut self.scroll;
        match key.code {
            KeyCode::Char('c') if is_control => return Step::Quit,
            KeyCode::Char('q') => return Step::Quit,
            KeyCode::Char('?') => self.has_help = !self.has_help,
            KeyCode::Up => *line = line.saturating_sub(1),
            // The view knows where the end is.
            KeyCode::Down => *line = line.saturating_add(1),
            KeyCode::PageUp => *line = line.saturating_sub(self.page),
            KeyCode::PageDown => *line = line.saturating_add(self.page),
            KeyCode::Left => *column = column.saturating_sub(COLUMNS),
            KeyCode::Right => *column = column.saturating_add(COLUMNS),
            _ => {}
        }
        Step::Stay
    }
}
