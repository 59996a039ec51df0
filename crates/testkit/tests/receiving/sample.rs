//! A receiver of `docs/receiving/verify` as a process of its own, started as its readers start it.

// Two test programs use it, neither all of it.
#![allow(dead_code)]

use std::env;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use plumbline_testkit::{eventually, ports};

/// A language that the guide has receivers in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Node,
    Python,
    Go,
    Ruby,
    Php,
    Rust,
}

impl Language {
    /// Every language.
    pub(crate) const ALL: [Self; 6] = [
        Self::Node,
        Self::Python,
        Self::Go,
        Self::Ruby,
        Self::Php,
        Self::Rust,
    ];

    /// How its files end.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Node => "js",
            Self::Python => "py",
            Self::Go => "go",
            Self::Ruby => "rb",
            Self::Php => "php",
            Self::Rust => "rs",
        }
    }
}

/// Where a receiver on this port receives.
pub(crate) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/webhook")
}

/// The directory of the guide.
pub(crate) fn guide() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("this crate lies two directories below the workspace")
        .join("docs/receiving")
}

/// A running receiver. Dropped, it is gone; if the test failed, what it printed is shown.
pub(crate) struct Sample {
    child: Child,
    directory: PathBuf,
    port: u16,
}

impl Sample {
    /// The guide's receiver of a profile's webhooks in a language, with this in `WEBHOOK_SECRET`.
    ///
    /// # Panics
    /// When the language is not installed, or it does not start.
    pub(crate) async fn start(profile: &str, language: Language, secret: &str) -> Self {
        Self::start_on(ports::free().port(), profile, language, secret).await
    }

    /// As [`start`](Self::start), on this port of 127.0.0.1.
    pub(crate) async fn start_on(port: u16, profile: &str, language: Language, secret: &str) -> Self {
        let directory = new_directory();
        let mut command = command(profile, language, &directory, port);
        command.env("WEBHOOK_SECRET", secret);
        Self::spawn(command, directory, port).await
    }

    /// Any receiver, which takes its port from `PORT`.
    pub(crate) async fn run_on(port: u16, command: Command) -> Self {
        Self::spawn(command, new_directory(), port).await
    }

    /// How one ends whose `WEBHOOK_SECRET` is empty, and what it says.
    pub(crate) async fn ends(profile: &str, language: Language) -> (ExitStatus, String) {
        let (directory, port) = (new_directory(), ports::free().port());
        let mut command = command(profile, language, &directory, port);
        command.env("WEBHOOK_SECRET", "");
        let mut sample = Self::launch(&mut command, directory, port);
        let status = eventually(&format!("{command:?} to end"), async || {
            sample.child.try_wait().expect("a child can be asked")
        })
        .await;
        (status, sample.output())
    }

    fn launch(command: &mut Command, directory: PathBuf, port: u16) -> Self {
        let file = fs::File::create(directory.join("output")).expect("the directory can be written");
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .env("PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file can be cloned"))
            .stderr(file)
            .spawn();
        Self {
            child: installed(child, &name),
            directory,
            port,
        }
    }

    async fn spawn(mut command: Command, directory: PathBuf, port: u16) -> Self {
        let mut sample = Self::launch(&mut command, directory, port);
        eventually(&format!("{command:?} to listen"), async || {
            let ended = sample.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "{command:?} has ended: {ended:?}");
            TcpStream::connect(("127.0.0.1", port)).ok()
        })
        .await;
        sample
    }

    /// Where it receives.
    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    /// What it has printed.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.directory.join("output")).expect("its output is there")
    }

    /// Which events it says to have received, in order: `bid.accepted evt_…`. The rest of such a line is left out.
    pub(crate) fn received(&self) -> Vec<String> {
        let output = self.output();
        let lines = output.lines();
        lines
            // PHP writes the time before it.
            .filter_map(|line| line.split_once("received ").map(|(_, rest)| rest))
            .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
            .collect()
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- a receiver printed\n{}", self.output());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The guide's receiver of a profile's webhooks in a language, as its first lines say.
fn command(profile: &str, language: Language, directory: &Path, port: u16) -> Command {
    let file = guide().join(format!("verify/{profile}.{}", language.extension()));
    match language {
        Language::Node => {
            let module = directory.join("receiver.mjs");
            fs::copy(&file, &module).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            program("node", &[], &module)
        }
        Language::Python => program("python3", &[], &file),
        Language::Ruby => program("ruby", &[], &file),
        Language::Php => {
            let mut command = program("php", &["-S", &format!("127.0.0.1:{port}")], &file);
            // Where it remembers what it handled.
            command.env("TMPDIR", directory);
            command
        }
        Language::Go => {
            let binary = directory.join("receiver");
            let mut build = Command::new("go");
            build.args(["build", "-o"]).arg(&binary).arg(&file);
            let built = installed(build.output(), "go");
            let words = String::from_utf8_lossy(&built.stderr);
            assert!(built.status.success(), "go build {}: {words}", file.display());
            Command::new(binary)
        }
        // Cargo builds them with this test.
        Language::Rust => Command::new(match profile {
            "buildworkpro" => env!("CARGO_BIN_EXE_plumbline-guide-buildworkpro"),
            "buildr" => env!("CARGO_BIN_EXE_plumbline-guide-buildr"),
            "buildmarkets" => env!("CARGO_BIN_EXE_plumbline-guide-buildmarkets"),
            other => panic!("the guide has no profile {other}"),
        }),
    }
}

fn program(name: &str, arguments: &[&str], file: &Path) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).arg(file);
    command
}

/// A directory of one's own; whoever makes it removes it.
pub(crate) fn new_directory() -> PathBuf {
    let directory = env::temp_dir().join(format!("plumbline-guide-{:016x}", rand::random::<u64>()));
    fs::create_dir_all(&directory).expect("a temporary directory");
    directory
}

/// What came of starting a program.
///
/// # Panics
/// When it is not there, with the remedy: a test that cannot run has failed.
fn installed<T>(started: std::io::Result<T>, program: &str) -> T {
    let need = if program == "go" { "go" } else { "languages" };
    started.unwrap_or_else(|error| {
        panic!("cannot start {program}: {error}: `deploy/dev/install.sh {need}` installs it")
    })
}
