//! The web console in a browser, against the whole system: the suite in `crates/api/console/e2e` says what people do.

use std::path::Path;
use std::process::Stdio;

use plumbline_testkit::Stack;
use tokio::process::Command;

#[tokio::test]
async fn people_find_their_way_in_a_browser() {
    let stack = Stack::builder()
        // A retry can be watched without waiting for long, and without missing that it waits.
        .setting("RETRY_SCHEDULE", "4s,4s,4s,4s,4s,4s")
        .dispatchers(2)
        .start()
        .await;
    let console = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/console");
    let binaries = plumbline_testkit::stack::binary("plumbline");
    let chromium = std::env::var_os("PLUMBLINE_TEST_CHROMIUM")
        .expect("PLUMBLINE_TEST_CHROMIUM is not set: `make test-up` installs a browser and says where it is");
    let suite = Command::new("npm")
        .args(["run", "--silent", "e2e"])
        .current_dir(&console)
        .env("PLUMBLINE_URL", format!("http://{}", stack.listen()))
        .env(
            "PLUMBLINE_BIN",
            binaries.parent().expect("a file lies in a directory"),
        )
        .env("PLUMBLINE_DATABASE_URL", stack.database().url().as_str())
        .env("PLUMBLINE_CHROMIUM", chromium)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("npm runs: `make test-up` installs what it needs");
    let said = format!(
        "{}\n{}",
        String::from_utf8_lossy(&suite.stdout),
        String::from_utf8_lossy(&suite.stderr)
    );
    assert!(suite.status.success(), "{said}");
    assert!(said.contains("passed"), "it should have tried something: {said}");
}
