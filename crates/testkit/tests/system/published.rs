//! The receiver of BuildWorkPro's webhooks page, line by line as published, under node.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{fs, io};

use plumbline_testkit::eventually;

const RECEIVER: &str = include_str!("../fixtures/published_receiver.mjs");
const EXPRESS: &str = include_str!("../fixtures/express_stand_in.mjs");

/// The published receiver, running. Dropped, it is gone.
pub(crate) struct PublishedReceiver {
    node: Child,
    output: std::path::PathBuf,
    url: String,
}

impl PublishedReceiver {
    /// Run it with a secret, in a new directory below this one.
    pub(crate) async fn start(below: &Path, secret: &str) -> Self {
        let directory = below.join(format!("published-{:08x}", rand::random::<u32>()));
        let express = directory.join("node_modules/express");
        let output = directory.join("output.txt");
        let prepare = || -> io::Result<fs::File> {
            fs::create_dir_all(&express)?;
            fs::write(express.join("index.mjs"), EXPRESS)?;
            fs::write(
                express.join("package.json"),
                r#"{"name":"express","exports":"./index.mjs"}"#,
            )?;
            fs::write(directory.join("receiver.mjs"), RECEIVER)?;
            fs::File::create(&output)
        };
        let file = prepare().expect("the scratch directory can be written");
        let node = Command::new("node")
            .arg("receiver.mjs")
            .current_dir(&directory)
            .env("BWP_WEBHOOK_SECRET", secret)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file can be cloned"))
            .stderr(file)
            .spawn();
        let node =
            node.expect("node runs the published receiver: install Node.js, such as Debian's `nodejs`");
        let mut receiver = Self {
            node,
            output,
            url: String::new(),
        };
        let port = receiver.wait_for_line("listening on ").await;
        receiver.url = format!("http://127.0.0.1:{port}/bwp");
        receiver
    }

    /// Where it receives.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What it has printed.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.output).expect("its output is there")
    }

    /// Wait for a line that begins so, and return its rest.
    pub(crate) async fn wait_for_line(&self, beginning: &str) -> String {
        eventually(&format!("node to print `{beginning}`"), async || {
            let output = self.output();
            // Only a finished line.
            let complete = &output[..output.rfind('\n').map_or(0, |end| end + 1)];
            complete
                .lines()
                .find_map(|line| line.strip_prefix(beginning).map(str::to_owned))
        })
        .await
    }
}

impl Drop for PublishedReceiver {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
        if std::thread::panicking() {
            eprintln!("--- the published receiver printed\n{}", self.output());
        }
    }
}
