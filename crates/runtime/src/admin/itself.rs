//! What every process tells of itself, beside CPU, memory and file descriptors.

use std::path::{Path, PathBuf};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, IntGaugeVec, Opts};

use super::Readiness;

/// Reads what is known when it is asked for.
pub(super) struct Itself {
    readiness: Readiness,
    ready: IntGauge,
    draining: IntGauge,
    checks: IntGaugeVec,
    build: IntGaugeVec,
    memory_max: IntGauge,
}

impl Itself {
    pub(super) fn new(readiness: Readiness) -> Result<Self, prometheus::Error> {
        let build = IntGaugeVec::new(
            Opts::new("plumbline_build_info", "Always 1; the label is the release."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            readiness,
            ready: IntGauge::new(
                "plumbline_ready",
                "1 while every check passes and the process does not drain, as on /readyz; else 0.",
            )?,
            draining: IntGauge::new(
                "plumbline_draining",
                "1 once the process has been told to stop and finishes what is in flight.",
            )?,
            checks: IntGaugeVec::new(
                Opts::new(
                    "plumbline_check_ready",
                    "1 while this check passes, else 0: the database takes writes, the broker takes messages.",
                ),
                &["check"],
            )?,
            build,
            memory_max: IntGauge::new(
                "plumbline_memory_max_bytes",
                "Memory that the process may use: the smallest limit of its control groups, else the machine's memory; 0 \
                 where neither can be read.",
            )?,
        })
    }

    fn parts(&self) -> [&dyn Collector; 5] {
        [
            &self.ready,
            &self.draining,
            &self.checks,
            &self.build,
            &self.memory_max,
        ]
    }
}

impl Collector for Itself {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (checks, is_draining) = self.readiness.checks();
        self.ready.set(i64::from(self.readiness.is_ready()));
        self.draining.set(i64::from(is_draining));
        for (name, passes) in checks {
            self.checks.with_label_values(&[name]).set(i64::from(passes));
        }
        let limit = memory_max(&|path| std::fs::read_to_string(path).ok()).unwrap_or(0);
        self.memory_max.set(i64::try_from(limit).unwrap_or(i64::MAX));
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}

/// The memory that this process may use, in bytes, from what the files of Linux say.
fn memory_max(read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| {
        // `0::/path` in the second version, `9:memory:/path` in the first.
        let mut fields = line.splitn(3, ':').skip(1);
        let (root, file) = match fields.next()? {
            "" => ("/sys/fs/cgroup", "memory.max"),
            names if names.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let own = fields.next()?.trim_start_matches('/');
        // A group above may allow less. Inside a container the path may be the host's, and only the root is there.
        let group: PathBuf = Path::new(root).join(own);
        group
            .ancestors()
            .take_while(|group| group.starts_with(root))
            .filter_map(|group| read(&group.join(file))?.trim().parse::<u64>().ok())
            .min()
    });
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1_024)
    });
    // "No limit" is a huge number in the first version.
    limits.chain(machine).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_counts() {
        let memory = ("/proc/meminfo", "MemTotal:        8000 kB\nMemFree: 1 kB\n");
        for (files, expected) in [
            (&[][..], None),
            (&[memory], Some(8_192_000)),
            // The second version: no limit of its own, one above.
            (
                &[
                    memory,
                    ("/proc/self/cgroup", "0::/pods/one\n"),
                    ("/sys/fs/cgroup/pods/one/memory.max", "max\n"),
                    ("/sys/fs/cgroup/pods/memory.max", "4096\n"),
                ],
                Some(4_096),
            ),
            // In a container: its own root.
            (
                &[
                    memory,
                    ("/proc/self/cgroup", "0::/\n"),
                    ("/sys/fs/cgroup/memory.max", "67108864\n"),
                ],
                Some(8_192_000),
            ),
            // The first version; the path is the host's.
            (
                &[
                    memory,
                    ("/proc/self/cgroup", "3:cpu,cpuacct:/a\n2:memory:/docker/abc\n"),
                    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "65536\n"),
                ],
                Some(65_536),
            ),
            (
                &[
                    memory,
                    ("/proc/self/cgroup", "2:memory:/\n"),
                    (
                        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                        "9223372036854771712\n",
                    ),
                ],
                Some(8_192_000),
            ),
        ] {
            let read = |path: &Path| {
                let found = files.iter().find(|(name, _)| Path::new(name) == path);
                found.map(|(_, text)| (*text).to_owned())
            };
            assert_eq!(memory_max(&read), expected, "{files:?}");
        }
    }
}
