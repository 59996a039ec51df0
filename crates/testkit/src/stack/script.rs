//! Running the scripts that start and stop private servers, and reading the files that they write.

use std::path::Path;
use std::process::{Command, Stdio};

/// Run a script and wait for its end.
///
/// # Panics
/// When it fails; the message shows what it said.
pub(super) async fn run(script: &str, arguments: Vec<String>) {
    let script = script.to_owned();
    let running = tokio::task::spawn_blocking(move || {
        let output = Command::new(&script)
            .args(&arguments)
            .stdin(Stdio::null())
            .output();
        let output = output.unwrap_or_else(|error| panic!("cannot run {script}: {error}"));
        assert!(
            output.status.success(),
            "{script} {} failed: {}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    });
    if let Err(error) = running.await {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// The value of a name in a file of `NAME=value` lines.
///
/// # Panics
/// When the file or the name is not there.
pub fn value(file: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
    let prefix = format!("{name}=");
    let found = text.lines().find_map(|line| line.strip_prefix(&prefix));
    let found = found.unwrap_or_else(|| panic!("{name} is not in {}", file.display()));
    found.trim_matches('\'').to_owned()
}
