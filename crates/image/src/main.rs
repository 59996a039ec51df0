//! `plumbline-image`: the three programs in one file, for the container image. It is the one by whose name it is called
//! (`argv[0]`): what they share, which is most of them, is there once.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

/// A program of ours, from its arguments and settings to its exit code.
type Program = fn() -> ExitCode;

const PROGRAMS: [(&str, Program); 3] = [
    ("plumbline", plumbline_cli::program),
    ("plumbline-api", plumbline_api::program),
    ("plumbline-dispatcher", plumbline_dispatcher::program),
];

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    match called_by(&called) {
        Some(program) => program(),
        None => {
            let names = PROGRAMS.map(|(name, _)| name).join(", ");
            eprintln!(
                "error: {}: no program has this name; link to this file as one of: {names}",
                called.display()
            );
            ExitCode::from(64)
        }
    }
}

/// The program of this name, whatever the directory.
fn called_by(name: &OsStr) -> Option<Program> {
    let name = Path::new(name).file_name()?;
    let (_, program) = PROGRAMS.iter().find(|(own, _)| name == *own)?;
    Some(*program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_name_in_any_directory_and_by_no_other() {
        for (name, program) in PROGRAMS {
            for path in [name.to_owned(), format!("/usr/bin/{name}"), format!("./{name}")] {
                let found = called_by(OsStr::new(&path)).expect(&path);
                assert!(std::ptr::fn_addr_eq(found, program), "{path}");
            }
        }
        for path in ["", "/", "plumbline-image", "plumbline-apis", "plumbline-api/.."] {
            assert!(called_by(OsStr::new(path)).is_none(), "{path}");
        }
    }
}
