//! A developer at the command line: with the API's address and a key, and nothing of the services' own settings.

use std::process::{Child, ExitStatus, Stdio};

use super::process::{self, Log, Program};
use super::{Ended, Stack};
use crate::api::Api;
use crate::eventually;

/// Runs developers' commands.
#[derive(Clone, Debug)]
pub struct Developer {
    program: Program,
}

impl Stack {
    /// A developer of the tenant whose client this is, with its key.
    pub fn developer(&self, api: &Api) -> Developer {
        let mut program = self.program();
        program.environment = [
            ("PLUMBLINE_URL", format!("http://{}", self.listen)),
            ("PLUMBLINE_API_KEY", api.key().to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        Developer { program }
    }
}

impl Developer {
    /// Give a variable another value; an empty one counts as none.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        process::set_variable(&mut self.program.environment, name, value);
        self
    }

    /// Run a command, however it ends.
    pub async fn ends(&self, arguments: &[&str]) -> Ended {
        self.ends_with_input(arguments, "").await
    }

    /// As [`ends`](Self::ends), with this as its standard input.
    pub async fn ends_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let output = self.program.output(arguments, input, Stdio::piped()).await;
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Start a command that goes on. `name` is unique in the test.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(&self, name: &str, arguments: &[&str]) -> Running {
        let directory = self
            .program
            .log
            .path()
            .parent()
            .expect("a log lies in a directory");
        let (stdout, stderr) = (
            Log::new(directory.join(format!("{name}.out"))),
            Log::new(directory.join(format!("{name}.err"))),
        );
        let program = Program {
            log: stderr.clone(),
            ..self.program.clone()
        };
        Running {
            child: program.spawn_with(arguments, &stdout),
            stdout,
            stderr,
        }
    }
}

/// A command that goes on. Dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Log,
    stderr: Log,
}

impl Running {
    /// Wait until it has written this to either stream, this often.
    ///
    /// # Panics
    /// When it ends before that, or takes too long.
    pub async fn wait_for(&mut self, text: &str, times: usize) {
        eventually(&format!("{text} {times} times"), async || {
            let all = format!("{}{}", self.stdout.text(), self.stderr.text());
            if all.matches(text).count() >= times {
                return Some(());
            }
            let ended = self.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "it ended: {ended:?} {all}");
            None
        })
        .await;
    }

    /// What it has written to standard output so far: complete lines.
    pub fn lines(&self) -> Vec<String> {
        let text = self.stdout.text();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete.lines().map(str::to_owned).collect()
    }

    /// Press Ctrl-C.
    pub fn interrupt(&self) {
        process::signal("INT", self.child.id());
    }

    /// Wait until it ends: how, and what it has written.
    pub async fn wait_exit(mut self) -> Ended {
        let status: ExitStatus = eventually("the command to end", async || {
            self.child.try_wait().expect("a child can be asked")
        })
        .await;
        Ended {
            code: status.code(),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail for one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
