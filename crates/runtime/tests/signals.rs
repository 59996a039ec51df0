//! A real process, real signals.
//!
//! The test binary starts itself: `drains_when_told` is the child when `SIGNALS_TEST_CHILD` is set.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use plumbline_runtime::shutdown::Shutdown;

const CHILD: &str = "SIGNALS_TEST_CHILD";

#[test]
fn the_first_signal_drains_and_the_second_ends_the_process_with_130() {
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
        let mut process = Process::start("impatient");
        process.wait_for("listening");
        process.signal(first);
        process.wait_for("draining");
        process.signal(second);
        assert_eq!(process.exit_code(), Some(130), "after {first} then {second}");
    }
}

#[test]
fn a_process_that_drains_after_one_signal_ends_with_0() {
    let mut process = Process::start("patient");
    process.wait_for("listening");
    process.signal("TERM");
    process.wait_for("draining");
    assert_eq!(process.exit_code(), Some(0));
}

#[tokio::test]
async fn drains_when_told() {
    let Ok(temper) = std::env::var(CHILD) else { return };
    let shutdown = Shutdown::on_signals();
    say("listening");
    shutdown.requested().await;
    say("draining");
    if temper == "impatient" {
        std::future::pending::<()>().await;
    }
}

/// Past the test harness's capture, which would keep the line to itself.
fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").expect("the parent reads");
    out.flush().expect("the parent reads");
}

struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Process {
    fn start(temper: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this binary has a path"))
            .args(["--exact", "drains_when_told", "--nocapture"])
            .env(CHILD, temper)
            .stdout(Stdio::piped())
            .spawn()
            .expect("this binary starts");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        Self { child, lines }
    }

    fn wait_for(&mut self, wanted: &str) {
        let said = self
            .lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains(wanted));
        assert!(said, "the child never said {wanted:?}");
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh")
            .args(["-c", &kill])
            .status()
            .expect("sh starts");
        assert!(status.success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("the child ends").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
