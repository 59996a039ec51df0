//! How far long work is: on standard error, and only where it is a terminal.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar. Nothing is drawn where nobody would see it move.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar of this length.
    pub(crate) fn new(length: u64) -> Self {
        let target = match io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(length), target);
        let style = ProgressStyle::with_template("[{bar:30}] {pos} of {len}  {msg}");
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// So far, and in words.
    pub(crate) fn set(&self, done: u64, words: String) {
        self.0.set_position(done);
        self.0.set_message(words);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
