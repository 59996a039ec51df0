//! Receivers that are not ours: the products' published examples line by line, and the libraries that their
//! customers verify with. `make test-up` installs the libraries.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{fs, io};

use plumbline_testkit::eventually;

const RECEIVER: &str = include_str!("../fixtures/published_receiver.mjs");
const EXPRESS: &str = include_str!("../fixtures/express_stand_in.mjs");

/// A library that verifies signatures, in one language.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Library {
    /// For Node.js, by its package's name.
    Node(&'static str),
    /// For Python, by its module's name.
    Python(&'static str),
    /// For Rust, by its crate's name.
    Rust(&'static str),
}

/// A receiver in a process of its own. Dropped, it is gone.
pub(crate) struct Peer {
    child: Child,
    output: PathBuf,
    url: String,
}

impl Peer {
    /// The receiver of BuildWorkPro's page, in a new directory below this one.
    pub(crate) async fn buildworkpro(below: &Path, secret: &str) -> Self {
        let directory = new_directory(below);
        let express = directory.join("node_modules/express");
        let prepare = || -> io::Result<()> {
            fs::create_dir_all(&express)?;
            fs::write(express.join("index.mjs"), EXPRESS)?;
            fs::write(
                express.join("package.json"),
                r#"{"name":"express","exports":"./index.mjs"}"#,
            )?;
            fs::write(directory.join("receiver.mjs"), RECEIVER)
        };
        prepare().expect("the scratch directory can be written");
        let mut command = Command::new("node");
        command
            .arg("receiver.mjs")
            .current_dir(&directory)
            .env("BWP_WEBHOOK_SECRET", secret);
        Self::start(command, &directory, "/bwp").await
    }

    /// The receiver of Buildr's guide, with the libraries that it names.
    pub(crate) async fn buildr(below: &Path, secret: &str) -> Self {
        let mut command = node(below, "buildr.mjs");
        command.env("WEBHOOK_SECRET", secret);
        Self::start(command, &new_directory(below), "/webhook").await
    }

    /// A receiver that verifies with a library, and says what it thinks of forgeries.
    pub(crate) async fn library(below: &Path, library: Library, secret: &str) -> Self {
        let mut command = match library {
            Library::Node(package) => {
                let mut command = node(below, "library.mjs");
                command.arg(package);
                command
            }
            Library::Python(module) => {
                let mut command = Command::new("python3");
                command
                    .arg(source("library.py"))
                    .arg(module)
                    .env("PYTHONPATH", installed().join("python"));
                command
            }
            Library::Rust(name) => {
                let mut command = Command::new(installed().join("target/debug/library"));
                command.arg(name);
                command
            }
        };
        command.env("WEBHOOK_SECRET", secret);
        Self::start(command, &new_directory(below), "/").await
    }

    async fn start(mut command: Command, directory: &Path, path: &str) -> Self {
        let output = directory.join("output.txt");
        let file = fs::File::create(&output).expect("the scratch directory can be written");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file can be cloned"))
            .stderr(file)
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}: `make test-up` installs it"));
        let mut peer = Self {
            child,
            output,
            url: String::new(),
        };
        let port = peer.wait_for_line("listening on ").await;
        peer.url = format!("http://127.0.0.1:{port}{path}");
        peer
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
        eventually(&format!("a receiver to print `{beginning}`"), async || {
            let output = self.output();
            // Only a finished line.
            let complete = &output[..output.rfind('\n').map_or(0, |end| end + 1)];
            complete
                .lines()
                .find_map(|line| line.strip_prefix(beginning).map(str::to_owned))
        })
        .await
    }

    /// What a library said of a request: as it came, with a byte of its body changed, and with an old timestamp.
    pub(crate) async fn verdicts(&self) -> [String; 3] {
        let line = self.wait_for_line("judged ").await;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- a receiver printed\n{}", self.output());
        }
    }
}

fn new_directory(below: &Path) -> PathBuf {
    let directory = below.join(format!("peer-{:08x}", rand::random::<u32>()));
    fs::create_dir_all(&directory).expect("the scratch directory can be written");
    directory
}

/// Where the libraries are.
pub(crate) fn installed() -> PathBuf {
    std::env::var("PLUMBLINE_TEST_PEERS")
        .expect("PLUMBLINE_TEST_PEERS names the receivers' libraries: `make test-up` installs them")
        .into()
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/peers")
        .join(name)
}

/// Node with a script of ours; it finds packages by where the script lies, so that lies beside a link to them.
fn node(below: &Path, script: &str) -> Command {
    let directory = new_directory(below);
    let prepare = || -> io::Result<()> {
        std::os::unix::fs::symlink(installed().join("node_modules"), directory.join("node_modules"))?;
        fs::copy(source(script), directory.join(script)).map(drop)
    };
    prepare().expect("the scratch directory can be written");
    let mut command = Command::new("node");
    command.arg(script).current_dir(directory);
    command
}
