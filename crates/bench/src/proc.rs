//! What the kernel tells of processes and of the machine: CPU time, bytes written and resident memory.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The kernel's unit in `/proc/*/stat`: 100 a second wherever Linux runs, whatever its own tick is.
const TICKS_PER_SECOND: f64 = 100.0;
/// No tree of processes that we start is deeper. A bound, should a table that was read while it changed hold a ring.
const DEPTH_MAX: usize = 32;

/// A time that processes have used, in the kernel's ticks.
pub(crate) fn seconds(ticks: u64) -> f64 {
    ticks as f64 / TICKS_PER_SECOND
}

/// One process: what `/proc/<pid>/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    parent: u32,
    /// User and system time of its own threads, the ended ones too.
    own: u64,
    /// The same of those of its children that have ended and been waited for, and of theirs.
    reaped: u64,
    /// Bytes that it, and those children, have written to disks; 0 where we may not know.
    written: u64,
}

impl Times {
    fn parse(stat: &str) -> Option<Self> {
        // The second field is the program's name in parentheses and may contain anything, parentheses too.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: number(11)? + number(12)?,
            reaped: number(13)? + number(14)?,
            written: 0,
        })
    }

    /// What `/proc/<pid>/io` says of bytes for disks: a page counts when it is made dirty, each time anew.
    fn parse_written(io: &str) -> Option<u64> {
        let line = io.lines().find_map(|line| line.strip_prefix("write_bytes:"))?;
        line.trim().parse().ok()
    }
}

/// What a disk has done since the machine began.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Writes, after neighbours were made one.
    pub(crate) writes: u64,
    /// Flushes of its cache: what an `fsync` waits for.
    pub(crate) flushes: u64,
}

impl Disk {
    /// The disk on which a directory lies; nothing done where the kernel counts for none, as of a directory in memory.
    pub(crate) fn of(directory: &Path) -> io::Result<Self> {
        let device = fs::metadata(directory)?.dev();
        let number = (rustix::fs::major(device), rustix::fs::minor(device));
        Ok(Self::parse(&fs::read_to_string("/proc/diskstats")?, number).unwrap_or_default())
    }

    /// What `/proc/diskstats` says of a device, by its two numbers.
    fn parse(diskstats: &str, (major, minor): (u32, u32)) -> Option<Self> {
        diskstats.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
            let is_it = number(0)? == u64::from(major) && number(1)? == u64::from(minor);
            is_it.then_some(Self {
                writes: number(7)?,
                flushes: number(18)?,
            })
        })
    }

    /// What it has done since then.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            writes: self.writes.saturating_sub(earlier.writes),
            flushes: self.flushes.saturating_sub(earlier.flushes),
        }
    }
}

/// Every process of the machine at one moment.
#[derive(Debug, Default)]
pub(crate) struct Processes(HashMap<u32, Times>);

impl Processes {
    /// Now.
    pub(crate) fn now() -> io::Result<Self> {
        let mut processes = HashMap::new();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // It may have ended since the directory was read.
            if let Ok(stat) = fs::read_to_string(entry.path().join("stat"))
                && let Some(mut times) = Times::parse(&stat)
            {
                // It is another user's, perhaps.
                let io = fs::read_to_string(entry.path().join("io")).unwrap_or_default();
                times.written = Times::parse_written(&io).unwrap_or(0);
                processes.insert(pid, times);
            }
        }
        Ok(Self(processes))
    }

    /// Ticks of one process alone.
    pub(crate) fn ticks_of(&self, pid: u32) -> u64 {
        self.0.get(&pid).map_or(0, |times| times.own)
    }

    /// Ticks of whole families: these processes, their descendants, and all descendants that have ended. A child that
    /// ends moves its time to its parent, so that the sum never falls.
    pub(crate) fn ticks_of_families(&self, roots: &[u32]) -> u64 {
        self.0
            .iter()
            .filter(|(pid, _)| self.is_of(**pid, roots))
            .map(|(_, times)| times.own + times.reaped)
            .sum()
    }

    /// Bytes that whole families have written to disks, in the same way.
    pub(crate) fn written_by_families(&self, roots: &[u32]) -> u64 {
        self.0
            .iter()
            .filter(|(pid, _)| self.is_of(**pid, roots))
            .map(|(_, times)| times.written)
            .sum()
    }

    fn is_of(&self, pid: u32, roots: &[u32]) -> bool {
        let mut current = pid;
        for _ in 0..DEPTH_MAX {
            if roots.contains(&current) {
                return true;
            }
            match self.0.get(&current) {
                Some(times) if times.parent != 0 => current = times.parent,
                _ => return false,
            }
        }
        false
    }
}

/// What all processors have done since the machine started, in ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Worked for anybody here, the kernel included.
    pub(crate) busy: u64,
    /// Wanted to work while the host gave the processor to somebody else.
    pub(crate) stolen: u64,
}

impl Machine {
    /// Now.
    pub(crate) fn now() -> io::Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        Self::parse(&text)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/stat has no line `cpu`"))
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let fields: Vec<u64> = line
            .split_ascii_whitespace()
            .map_while(|field| field.parse().ok())
            .collect();
        // user nice system idle iowait irq softirq steal; what guests used is in user already.
        let [user, nice, system, _idle, _iowait, irq, softirq, stolen, ..] = fields[..] else {
            return None;
        };
        Some(Self {
            busy: user + nice + system + irq + softirq,
            stolen,
        })
    }
}

/// Resident memory of a process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) resident: u64,
    /// The most that it ever was.
    pub(crate) peak: u64,
}

impl Memory {
    /// Of a running process.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
        Self::parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no VmRSS: it has ended"))
    }

    fn parse(status: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kilobytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kilobytes * 1_024)
        };
        Some(Self {
            resident: bytes("VmRSS:")?,
            peak: bytes("VmHWM:")?,
        })
    }
}

/// CPU seconds of the living threads of a process, finer than ticks: for so little work that ticks would miss it.
pub(crate) fn fine_seconds(pid: u32) -> io::Result<f64> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile; one that ends in an idle process has done nothing to speak of.
        let text = fs::read_to_string(Path::new(&task?.path()).join("schedstat")).unwrap_or_default();
        nanoseconds += text
            .split_ascii_whitespace()
            .next()
            .and_then(|field| field.parse::<u64>().ok())
            .unwrap_or(0);
    }
    Ok(nanoseconds as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(parent: u32, own: u64, reaped: u64) -> Times {
        Times {
            parent,
            own,
            reaped,
            written: own,
        }
    }

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let fields = "S 7 1 1 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 1 0 500 0 0";
        for name in ["postgres", "a b", "a) S 9 (b", ""] {
            let stat = format!("42 ({name}) {fields}");
            let expected = Times {
                written: 0,
                ..times(7, 33, 77)
            };
            assert_eq!(Times::parse(&stat), Some(expected), "{stat}");
        }
        for broken in ["", "42 (x)", "42 (x) S 7 1 1 0", "42 x S 7"] {
            assert_eq!(Times::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_family_is_its_head_and_all_below_it_with_those_that_have_ended() {
        let processes = Processes(HashMap::from([
            (1, times(0, 1_000, 1_000)),
            (10, times(1, 1, 2)),
            (11, times(10, 4, 0)),
            (12, times(11, 8, 16)),
            (20, times(1, 32, 0)),
            // Broken tables end, too.
            (30, times(31, 64, 0)),
            (31, times(30, 64, 0)),
        ]));
        assert_eq!(processes.ticks_of_families(&[10]), 1 + 2 + 4 + 8 + 16);
        assert_eq!(processes.ticks_of_families(&[10, 20]), 31 + 32);
        assert_eq!(processes.ticks_of_families(&[11, 10]), 31);
        assert_eq!(processes.ticks_of_families(&[99]), 0);
        assert_eq!(processes.written_by_families(&[10]), 1 + 4 + 8);
        assert_eq!((processes.ticks_of(10), processes.ticks_of(99)), (1, 0));
    }

    #[test]
    fn a_child_that_ends_takes_nothing_from_its_family() {
        let before = Processes(HashMap::from([(10, times(1, 5, 0)), (11, times(10, 7, 0))]));
        let after = Processes(HashMap::from([(10, times(1, 6, 7))]));
        assert_eq!(
            after.ticks_of_families(&[10]) - before.ticks_of_families(&[10]),
            1
        );
    }

    #[test]
    fn bytes_for_disks_are_read_from_their_line() {
        let io = "rchar: 5\nwchar: 6\nread_bytes: 7\nwrite_bytes: 8192\ncancelled_write_bytes: 9\n";
        assert_eq!(Times::parse_written(io), Some(8_192));
        assert_eq!(Times::parse_written(""), None);
    }

    #[test]
    fn what_a_disk_did_is_read_from_its_line() {
        let diskstats = "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n \
            254       0 vda 12 7 6 18 20344 59 13 18 0 51 39 29 4 47 91 5713 18\n \
            254       1 vda1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n";
        let disk = Disk {
            writes: 20_344,
            flushes: 5_713,
        };
        assert_eq!(Disk::parse(diskstats, (254, 0)), Some(disk));
        assert_eq!(Disk::parse(diskstats, (254, 1)), None, "an old kernel");
        assert_eq!(Disk::parse(diskstats, (8, 0)), None);
    }

    #[test]
    fn the_machine_works_waits_and_is_robbed() {
        let stat = "cpu  1 2 4 1000 500 8 16 32 1 0\ncpu0 9 9 9 9 9 9 9 9 9 9\nintr 5\n";
        assert_eq!(Machine::parse(stat), Some(Machine { busy: 31, stolen: 32 }));
        assert_eq!(Machine::parse("cpu0 1 2 3\n"), None);
        assert!(Machine::now().is_ok_and(|machine| machine.busy > 0));
    }

    #[test]
    fn memory_is_in_bytes() {
        let status = "Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t  20 kB\nVmRSS:\t      10 kB\n";
        assert_eq!(
            Memory::parse(status),
            Some(Memory {
                resident: 10_240,
                peak: 20_480
            })
        );
        assert_eq!(Memory::parse("Name:\tzombie\n"), None);
    }

    #[test]
    fn this_process_is_known_to_the_kernel() {
        let pid = std::process::id();
        assert!(Memory::of(pid).is_ok_and(|memory| memory.peak >= memory.resident && memory.resident > 0));
        assert!(fine_seconds(pid).is_ok_and(|seconds| seconds > 0.0));
        assert!(Processes::now().is_ok_and(|processes| processes.0.contains_key(&pid)));
    }
}
