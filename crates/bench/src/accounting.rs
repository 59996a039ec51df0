//! Who used the processors between two moments: Plumbline's processes by kind, the harness, and strangers.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::proc::{Disk, Machine, Memory, Processes, fine_seconds, seconds};

/// The processes whose CPU a delivery costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Api,
    Dispatcher,
    PostgreSql,
    RabbitMq,
}

impl Kind {
    /// All, in the order of the tables.
    pub(crate) const ALL: [Self; 4] = [Self::Api, Self::Dispatcher, Self::PostgreSql, Self::RabbitMq];

    /// As people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Api => "API",
            Self::Dispatcher => "dispatcher",
            Self::PostgreSql => "PostgreSQL",
            Self::RabbitMq => "RabbitMQ",
        }
    }
}

/// The processes of one system, by their ids.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    pub(crate) api: u32,
    pub(crate) dispatchers: Vec<u32>,
    pub(crate) postgresql: u32,
    pub(crate) rabbitmq: u32,
    /// Where the servers have their data.
    pub(crate) data: PathBuf,
}

/// The clocks of everybody at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    at: Instant,
    kinds: [u64; 4],
    written: [u64; 4],
    harness: u64,
    machine: Machine,
    disk: Disk,
}

/// What was used between two readings, in seconds of CPU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    kinds: [f64; 4],
    /// Bytes for disks.
    written: [u64; 4],
    /// By this process.
    pub(crate) harness: f64,
    /// By anybody else on this machine, the kernel's own threads included.
    pub(crate) strangers: f64,
    /// By the host for somebody else.
    pub(crate) stolen: f64,
    /// By the disk of the servers' data, whoever asked.
    pub(crate) disk: Disk,
    /// How long it was, on the wall.
    pub(crate) wall: f64,
}

impl Spent {
    /// By one kind of process.
    pub(crate) fn of(&self, kind: Kind) -> f64 {
        self.kinds[kind as usize]
    }

    /// Bytes that one kind of process has written to disks.
    pub(crate) fn written_by(&self, kind: Kind) -> u64 {
        self.written[kind as usize]
    }

    /// Of two times together.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut kinds = self.kinds;
        for (sum, more) in kinds.iter_mut().zip(other.kinds) {
            *sum += more;
        }
        let mut written = self.written;
        for (sum, more) in written.iter_mut().zip(other.written) {
            *sum += more;
        }
        Self {
            kinds,
            written,
            harness: self.harness + other.harness,
            strangers: self.strangers + other.strangers,
            stolen: self.stolen + other.stolen,
            disk: Disk {
                writes: self.disk.writes + other.disk.writes,
                flushes: self.disk.flushes + other.disk.flushes,
            },
            wall: self.wall + other.wall,
        }
    }

    /// By Plumbline and its servers.
    pub(crate) fn system(&self) -> f64 {
        self.kinds.iter().sum()
    }
}

impl Reading {
    /// What has been used since an earlier reading.
    pub(crate) fn since(&self, earlier: &Self) -> Spent {
        let used = |later: u64, earlier: u64| seconds(later.saturating_sub(earlier));
        let (mut kinds, mut written) = ([0.0; 4], [0; 4]);
        for kind in Kind::ALL {
            let index = kind as usize;
            kinds[index] = used(self.kinds[index], earlier.kinds[index]);
            written[index] = self.written[index].saturating_sub(earlier.written[index]);
        }
        let harness = used(self.harness, earlier.harness);
        let busy = used(self.machine.busy, earlier.machine.busy);
        Spent {
            kinds,
            written,
            harness,
            strangers: (busy - harness - kinds.iter().sum::<f64>()).max(0.0),
            stolen: used(self.machine.stolen, earlier.machine.stolen),
            disk: self.disk.since(earlier.disk),
            wall: self.at.duration_since(earlier.at).as_secs_f64(),
        }
    }
}

impl Meter {
    /// Read all clocks.
    pub(crate) fn read(&self) -> io::Result<Reading> {
        let processes = Processes::now()?;
        let (mut kinds, mut written) = ([0; 4], [0; 4]);
        for kind in Kind::ALL {
            kinds[kind as usize] = processes.ticks_of_families(self.pids(kind));
            written[kind as usize] = processes.written_by_families(self.pids(kind));
        }
        Ok(Reading {
            at: Instant::now(),
            kinds,
            written,
            // Not its family: the services are its children.
            harness: processes.ticks_of(std::process::id()),
            machine: Machine::now()?,
            disk: Disk::of(&self.data)?,
        })
    }

    fn pids(&self, kind: Kind) -> &[u32] {
        match kind {
            Kind::Api => std::slice::from_ref(&self.api),
            Kind::Dispatcher => &self.dispatchers,
            Kind::PostgreSql => std::slice::from_ref(&self.postgresql),
            Kind::RabbitMq => std::slice::from_ref(&self.rabbitmq),
        }
    }

    /// Memory of the largest process of a kind.
    pub(crate) fn memory(&self, kind: Kind) -> io::Result<Memory> {
        let mut largest = Memory::default();
        for pid in self.pids(kind) {
            let memory = Memory::of(*pid)?;
            largest.resident = largest.resident.max(memory.resident);
            largest.peak = largest.peak.max(memory.peak);
        }
        Ok(largest)
    }

    /// CPU seconds of the services alone, finer than the readings: for a system that does nearly nothing.
    pub(crate) fn fine_services(&self) -> io::Result<f64> {
        self.pids(Kind::Api)
            .iter()
            .chain(self.pids(Kind::Dispatcher))
            .map(|pid| fine_seconds(*pid))
            .sum()
    }

    /// Wait until Plumbline and its servers do nearly nothing; `false` when the patience is over before.
    pub(crate) async fn wait_calm(&self, patience: Duration) -> io::Result<bool> {
        const LOOK_EVERY: Duration = Duration::from_millis(250);
        /// A broker that does nothing uses some percent of a core for its own figures.
        const CALM_SHARE: f64 = 0.10;
        const TIMES: u32 = 2;

        let (deadline, mut calm) = (Instant::now() + patience, 0);
        let mut before = self.read()?;
        while calm < TIMES {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.read()?;
            let spent = now.since(&before);
            before = now;
            calm = if spent.system() < spent.wall * CALM_SHARE {
                calm + 1
            } else {
                0
            };
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_of_ours_used_was_used_by_strangers() {
        let at = Instant::now();
        let reading = |after: u64, kinds, harness, busy, stolen| Reading {
            at: at + Duration::from_secs(after),
            kinds,
            written: kinds,
            harness,
            machine: Machine { busy, stolen },
            disk: Disk {
                writes: 10 * after,
                flushes: 2 * after,
            },
        };
        let before = reading(0, [100, 100, 100, 100], 50, 1_000, 5);
        let after = reading(2, [110, 120, 130, 140], 70, 1_200, 15);
        let spent = after.since(&before);
        assert!((spent.system() - 1.0).abs() < 1e-9);
        assert!((spent.of(Kind::Dispatcher) - 0.2).abs() < 1e-9);
        assert_eq!(spent.written_by(Kind::RabbitMq), 40);
        assert!((spent.harness - 0.2).abs() < 1e-9);
        assert!((spent.strangers - 0.8).abs() < 1e-9);
        assert!((spent.stolen - 0.1).abs() < 1e-9);
        assert_eq!((spent.disk.writes, spent.disk.flushes), (20, 4));
        assert!((spent.wall - 2.0).abs() < 1e-9);
        // Ticks are rounded for each process by itself: never less than nothing.
        assert!(reading(1, [110; 4], 50, 1_001, 5).since(&before).strangers.abs() < 1e-9);
    }
}
