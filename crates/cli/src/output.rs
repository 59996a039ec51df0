//! What people and programs read: lines, tables and colours on standard output, notices on standard error.

mod progress;
mod table;
mod time;

use std::io::{self, IsTerminal as _, Stderr, Stdout, Write as _};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde::Serialize;

use crate::outcome::Failure;

pub(crate) use self::progress::Progress;
pub(crate) use self::table::{Cell, Table};
pub(crate) use self::time::{age, clock, moment, until, when};

/// All is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Something failed.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
/// Somebody should look.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// What matters less.
pub(crate) const DIM: Style = Style::new().dimmed();
/// What matters more.
pub(crate) const BOLD: Style = Style::new().bold();

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Where a command writes.
pub(crate) struct Output {
    stdout: AutoStream<Stdout>,
    stderr: AutoStream<Stderr>,
    is_json: bool,
}

impl Output {
    /// Write as it was asked for.
    pub(crate) fn new(color: Color, is_json: bool) -> Self {
        let choice = match color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Self {
            stdout: AutoStream::new(io::stdout(), choice),
            stderr: AutoStream::new(io::stderr(), choice),
            is_json,
        }
    }

    /// Whether the result is for programs.
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// A line of the result.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        writeln!(self.stdout, "{}", text.as_ref())
            .and_then(|()| self.stdout.flush())
            .map_err(Failure::Output)
    }

    /// A JSON object of the result, on a line.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::Output(error.into()))?;
        self.line(text)
    }

    /// A word aside, which is not part of the result. If the stream is gone there is nobody to tell.
    pub(crate) fn notice(&mut self, text: impl AsRef<str>) {
        let _ = writeln!(self.stderr, "{}", text.as_ref());
    }

    /// Ask whether to go on. `None` where nobody can answer.
    pub(crate) fn ask(&mut self, question: &str) -> Option<bool> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        let _ = write!(self.stderr, "{question} [y/N] ").and_then(|()| self.stderr.flush());
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).ok()?;
        Some(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
    }
}

/// A text in a style.
pub(crate) fn paint(style: Style, text: impl AsRef<str>) -> String {
    format!("{style}{}{style:#}", text.as_ref())
}

/// The style of a delivery's status.
pub(crate) fn status_style(status: &str) -> Style {
    match status {
        "succeeded" => GOOD,
        "failed" | "exhausted" => BAD,
        "pending" | "skipped" => WARN,
        _ => Style::new(),
    }
}

/// The style of an answer's status.
pub(crate) fn answer_style(status: Option<u16>) -> Style {
    match status {
        Some(200..=299) => GOOD,
        _ => BAD,
    }
}

/// `1 event`, `2 events`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        number => match noun.strip_suffix('y') {
            Some(stem) => format!("{number} {stem}ies"),
            None => format!("{number} {noun}s"),
        },
    }
}
